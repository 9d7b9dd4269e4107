"""Old versions go whole or not at all: the operator dies after each write of a removal. The store is a folder."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bluetune_api import store_layout
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Manifest, ManifestFile, Probe, digest_of, version_of
from bluetune_api.s3 import S3Store
from bluetune_api.store_identity import StoreOwner
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.store import AsyncStore, _Endpoint
from bluetune_operator.adapters.workers import Workers
from bluetune_operator.core.kinds import LEASES, MODELS, Kind, Object
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.models.retention import AGAIN_SECONDS, RetentionReconciler

NOW = "2026-01-01T00:00:00Z"
FILES = ("config.json", "model.safetensors")


class Folder(LocalStore):
    """Read with the bounds that the operator asks for."""

    def get(self, key: str, *, most: int | None = None, seconds: float | None = None) -> bytes:
        return super().get(key)


class Died(BaseException):
    """The operator, right after a write."""


class Dying(CrashPoint):
    """As the real one, but the test goes on."""

    def written(self) -> None:
        assert self._left is not None
        self._left -= 1
        if self._left < 0:
            raise Died


def publish(store: LocalStore, content: str) -> str:
    """As the trainer does: files, then the manifest."""
    files = [ManifestFile(path=name, size=1, sha256="0" * 64) for name in FILES]
    probe = Probe(texts=[content], vectors=[[1.0]])
    data = Manifest(files=files, dimension=1, probe=probe).encode()
    version = version_of(digest_of(data))
    for name in FILES:
        store.put(store_layout.version(version) + name, content.encode())
    store.create(store_layout.manifest(version), data)
    return version


class World:
    """A model that nobody works on, its store, and operators that may die."""

    def __init__(self, folder: Path) -> None:
        self.store = Folder(folder)
        self.base = publish(self.store, "base")
        self.old = [publish(self.store, f"old {n}") for n in range(2)]
        self.store.put(store_layout.index(self.old[0]) + "table/data", b"vectors")
        self.current = publish(self.store, "current")
        self.newest = publish(self.store, "newest")
        self._age()
        owner = StoreOwner(namespace="ns", name="shop", uid="u")
        self.store.put(store_layout.OWNER, owner.encode())
        self.spec: Object = {
            "base": {"uri": "/models/base"},
            "store": {"endpoint": "s:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}},
            "retention": {"keepVersions": 2},
            "serving": {"deployment": "blue", "container": "server"},
        }

    def _age(self) -> None:
        for number, version in enumerate((self.base, *self.old, self.current, self.newest)):
            path = self.store._path(store_layout.manifest(version))
            os.utime(path, (1000 + number, 1000 + number))

    def model(self) -> Object:
        current = {"version": self.current, "uri": "s3://b/x", "digest": "sha256:" + "0" * 64, "promotedAt": NOW}
        status = {"baseVersion": self.base, "current": current}
        metadata = {"name": "shop", "namespace": "ns", "uid": "u", "creationTimestamp": NOW}
        return {"apiVersion": "bluetune.dev/v1alpha1", "kind": MODELS.name, "metadata": metadata, "spec": self.spec} | {
            "status": status
        }

    def versions(self) -> set[str]:
        """What exists; fails if something exists in part."""
        found = set()
        for version in self.store.folders(store_layout.VERSIONS):
            if self.store.stat(store_layout.manifest(version)) is not None:
                found.add(version)
                assert all(self.store.stat(store_layout.version(version) + name) for name in FILES), version
        return found

    def leftovers(self) -> list[str]:
        keys = [i.key for f in (store_layout.VERSIONS, "indexes/", store_layout.RETIRED) for i in self.store.list(f)]
        return [key for key in keys if key.split("/")[1].removesuffix(".json") not in self.versions()]

    def operator(self, writes: int = 10_000) -> bool:
        """One life of an operator, which lives through so many writes and dies after the next one, if there is one:
        reconciles until there is nothing left to do; False if it died."""
        try:
            asyncio.run(self._reconcile(writes))
        except Died:
            return False
        return True

    def tries(self) -> bool:
        """One look of an operator; False if it has to come again."""
        return asyncio.run(self._reconcile(10_000, looks=1)) is None

    async def _reconcile(self, writes: int, looks: int = 1000) -> float | None:
        workers = Workers("test", 1)
        opened = AsyncStore(cast("S3Store", self.store), workers, _Endpoint(asyncio.Semaphore(1)), Dying(writes), None)

        async def get(kind: Kind, _namespace: str, _name: str) -> Object | None:
            return self.model() if kind == MODELS else None

        async def listed(*_: Any, **__: Any) -> list[Object]:
            return []

        async def open_store(_: Object) -> AsyncStore:
            return opened

        async def emit(*_: Any, **__: Any) -> None:
            return None

        context = SimpleNamespace(
            kube=SimpleNamespace(get=get, list=listed),
            cache=ObjectCache(),
            stores=SimpleNamespace(open=open_store),
            events=SimpleNamespace(emit=emit),
            clock=lambda: datetime.now(UTC),
        )
        try:
            again: float | None = 0.0
            while looks and again is not None:
                looks, again = looks - 1, await RetentionReconciler(cast("Context", context)).reconcile("ns", "shop")
            return again
        finally:
            workers.close()


@pytest.fixture
def worlds(tmp_path: Path) -> Callable[[], World]:
    numbers = iter(range(1000))
    return lambda: World(tmp_path / str(next(numbers)))


def test_it_dies_after_every_write_in_one_removal_and_the_end_is_the_same(worlds: Callable[[], World]) -> None:
    deaths = 0
    for writes in range(40):
        world = worlds()
        died = not world.operator(writes)
        deaths += died
        world.versions()
        assert world.operator()
        assert world.versions() == {world.base, world.current, world.newest}
        assert world.leftovers() == []
        if not died:
            break
    assert deaths == 2 * len(("copy", "manifest", *FILES, "copy")) + len(("index",))


def test_an_operator_that_dies_after_each_of_its_writes_ends_too(worlds: Callable[[], World]) -> None:
    world = worlds()
    for _ in range(40):
        if world.operator(0):
            break
        world.versions()
    assert world.versions() == {world.base, world.current, world.newest}
    assert world.leftovers() == []


@pytest.mark.parametrize("writes", range(12))
def test_a_version_pinned_or_published_again_after_the_death_is_whole_if_it_exists(
    worlds: Callable[[], World], writes: int
) -> None:
    pinned, again = worlds(), worlds()
    pinned.operator(writes)
    existed = pinned.old[0] in pinned.versions()
    pinned.spec["serving"]["rollbackTo"] = pinned.old[0]
    assert pinned.operator()
    assert (pinned.old[0] in pinned.versions()) == existed
    assert pinned.leftovers() == []

    again.operator(writes)
    publish(again.store, "old 0")
    again.spec["serving"]["rollbackTo"] = again.old[0]
    assert again.operator()
    assert again.old[0] in again.versions()
    assert again.leftovers() == []


def test_while_a_task_holds_the_model_the_api_server_is_asked_nothing() -> None:
    cache = ObjectCache()
    metadata = {"name": "bluetune-shop", "namespace": "ns", "uid": "l", "labels": {"bluetune.dev/model": "shop"}}
    cache.put(LEASES, {"metadata": metadata, "spec": {"holderIdentity": "t/1"}})
    context = SimpleNamespace(cache=cache)  # no API server, and no store
    again = asyncio.run(RetentionReconciler(cast("Context", context)).reconcile("ns", "shop"))
    assert again == AGAIN_SECONDS


def test_what_somebody_is_just_publishing_is_left_alone(worlds: Callable[[], World]) -> None:
    world = worlds()
    half = store_layout.version("v00000000dead") + "config.json"
    world.store.put(half, b"so far")
    assert world.operator()
    assert world.leftovers() == [half]


@pytest.mark.parametrize("owner", [StoreOwner(namespace="ns", name="other", uid="o").encode(), b"", None])
def test_nothing_is_removed_from_a_store_that_is_not_the_models(
    worlds: Callable[[], World], owner: bytes | None
) -> None:
    world = worlds()
    world.store.delete(store_layout.OWNER)
    if owner is not None:
        world.store.put(store_layout.OWNER, owner)
    before = [info.key for info in world.store.list("")]
    assert not world.tries()
    assert [info.key for info in world.store.list("")] == before


def test_nothing_more_is_removed_once_another_takes_the_store_over(worlds: Callable[[], World]) -> None:
    world = worlds()
    assert not world.operator(2)  # it dies in the middle of a removal
    world.store.put(store_layout.OWNER, StoreOwner(namespace="ns", name="other", uid="o").encode())
    before = [info.key for info in world.store.list("")]
    assert not world.tries()
    assert [info.key for info in world.store.list("")] == before
