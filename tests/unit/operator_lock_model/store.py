"""A model's object store in memory, and what the trainer writes into it."""

import hashlib
from functools import cache

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectInfo, ObjectNotFound, Page, StoreError
from bluetune_api.records import (
    CheckReport,
    GateReport,
    Manifest,
    ManifestFile,
    Plan,
    Probe,
    Result,
    RunOwner,
    digest_of,
    version_of,
)

BATCH = "b1"


class MemoryStore:
    """As `AsyncStore`, without waiting: of what the store holds, the lock depends on nothing that can change."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away: StoreError | None = None
        """What the operator's reads come to, if they fail."""

    async def get(self, key: str) -> bytes:
        self._answer()
        if key not in self.kept:
            raise ObjectNotFound(key)
        return self.kept[key]

    def _answer(self) -> None:
        if self.away is not None:
            raise self.away

    async def get_or_none(self, key: str) -> bytes | None:
        self._answer()
        return self.kept.get(key)

    async def stat(self, key: str) -> ObjectInfo | None:
        self._answer()
        data = self.kept.get(key)
        return ObjectInfo(key, len(data), "etag", 0.0) if data is not None else None

    async def put(self, key: str, data: bytes) -> None:
        self.kept[key] = data

    async def create(self, key: str, data: bytes) -> bool:
        return self.kept.setdefault(key, data) is data

    async def require_conditional_writes(self) -> None:
        pass

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def objects(self, prefix: str) -> list[ObjectInfo]:
        return [
            ObjectInfo(key, len(self.kept[key]), "etag", 0.0) for key in sorted(self.kept) if key.startswith(prefix)
        ]

    async def folders(self, prefix: str) -> list[str]:
        return sorted({key.removeprefix(prefix).split("/")[0] for key in self.kept if key.startswith(prefix)})

    async def page(self, prefix: str, after: str = "") -> Page:
        return Page([info for info in await self.objects(prefix) if info.key > after])

    def uri(self, key: str = "") -> str:
        return f"s3://bucket/m/{key}"

    # What the trainer does

    def import_base(self) -> tuple[str, str]:
        """The first version and its digest; and a batch to learn from."""
        self.kept[store_layout.batch_marker(BATCH)] = b""
        version, digest, manifest = published("base", None)
        self.kept[store_layout.manifest(version)] = manifest
        return version, digest

    def check(self, plan: Plan) -> None:
        """A good batch."""
        self.kept.setdefault(store_layout.check(plan.owner.uid), _report(plan.batch_id or ""))

    def train(self, plan: Plan) -> None:
        """A version that the gate lets pass; the result last."""
        version, digest, manifest = published(plan.owner.uid, plan.start_version)
        self.kept.setdefault(store_layout.manifest(version), manifest)
        live = plan.live_version or plan.start_version or ""
        self.kept.setdefault(store_layout.result(plan.owner.uid), _result(plan.owner.uid, live, version, digest))


@cache
def published(content: str, parent: str | None) -> tuple[str, str, bytes]:
    """Version, digest and manifest of a model; its content is a word."""
    data = content.encode()
    manifest = Manifest(
        files=[ManifestFile(path="model.txt", size=len(data), sha256=hashlib.sha256(data).hexdigest())],
        dimension=2,
        parent=parent,
        probe=Probe(texts=["a"], vectors=[[1.0, 0.0]]),
    ).encode()
    digest = digest_of(manifest)
    return version_of(digest), digest, manifest


@cache
def _report(batch: str) -> bytes:
    counts = {"sessions": 9, "sessions_with_clicks": 9, "positives": 9, "results": 9, "duplicates": 0}
    return (
        CheckReport(
            valid=True, batch_id=batch, batch=[], items=[], coverage=1.0, broken_lines=0, catalogue_size=9, **counts
        )
        .model_dump_json(by_alias=True)
        .encode()
    )


@cache
def _result(uid: str, live: str, version: str, digest: str) -> bytes:
    gate = GateReport(
        metric="ndcg@10", against=live, baseline={"ndcg@10": 0.5}, candidate={"ndcg@10": 0.6}, delta=0.1, sessions=9
    )
    owner = RunOwner(kind="FineTuningTask", name="t", namespace="n", uid=uid)
    result = Result(kind="Train", owner=owner, version=version, digest=digest, uri="s3://bucket/m", gate=gate)
    return result.model_dump_json(by_alias=True).encode()
