"""A store with a version and a catalogue, of which indexes are made."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest
from bluetune_api.index_target import Vectors
from bluetune_api.objectstore import LocalStore, ObjectStore
from bluetune_api.records import IndexPlan, MethodPlan, Plan, Result, RunOwner
from bluetune_trainer.cli.importing import run_import
from bluetune_trainer.cli.indexing import Indexer, Opened, run_index
from bluetune_trainer.indexing.encoding import text_digest
from bluetune_trainer.store.versions import download_version
from bluetune_trainer.training.model import Tower
from trainer.model_table import FAMILIES
from trainer.tiny_models import write_family

ITEMS = 150
Rows = dict[str, tuple[str, NDArray[np.float32]]]
"""By id: digest of the text, vector."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    family = next(family for family in FAMILIES if family.type == "bert")
    return write_family(tmp_path_factory.mktemp("tiny"), family)


class World:
    """A folder as a store with a version and a catalogue."""

    def __init__(self, folder: Path, base: Path | None, version: Result | None = None) -> None:
        self.folder = folder
        self.store = LocalStore(folder)
        self.texts = {f"sku-{n}": f"{['red', 'blue', 'green'][n % 3]} thing {n} " * (1 + n % 5) for n in range(ITEMS)}
        self.write("a.jsonl", self.texts)
        self.method = MethodPlan.model_validate({"settings": {"precision": "FP32"}})
        self.vectors: Vectors | None = None
        """How the plan wants them."""
        self.owner = RunOwner(kind="EmbeddingModel", name="shop", namespace="ns", uid="u")
        plan = self._plan("Import", base_uri=str(base))
        self.version = version or run_import(self.store, plan, lambda _: self.store, stop=threading.Event())

    def write(self, name: str, texts: dict[str, str | None]) -> None:
        lines = [
            {"item_id": key, "_deleted": True} if text is None else {"item_id": key, "title": text}
            for key, text in texts.items()
        ]
        (self.folder / "items").mkdir(parents=True, exist_ok=True)
        (self.folder / "items" / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def _plan(self, kind: str, **fields: object) -> Plan:
        location = {"endpoint": "minio:9000", "bucket": "shop", "prefix": "p", "secure": False}
        return Plan.model_validate(
            {"kind": kind, "owner": self.owner, "model": "shop", "store": location, "method": self.method, **fields}
        )

    def plan(self, shards: int = 1, run: str = "r1") -> Plan:
        index = IndexPlan(
            version=self.version.version, digest=self.version.digest, run=run, shards=shards, vectors=self.vectors
        )
        return self._plan("Index", index=index)

    def index(self, shards: int = 1, run: str = "r1") -> IndexManifest:
        for shard in range(shards):
            run_index(self.store, self.plan(shards, run), shard, stop=threading.Event())
        return self.manifest()

    def manifest(self) -> IndexManifest:
        return IndexManifest.model_validate_json(self.store.get(store_layout.index_manifest(self.version.version)))

    def rows(self) -> Rows:
        """What the manifest's parts hold."""
        found: Rows = {}
        for shard in self.manifest().shards:
            table = pq.read_table(self.folder / store_layout.index(self.version.version) / shard.path)
            assert table.column_names == ["id", "vector", "text_digest", "version"]
            assert set(table.column("version").to_pylist()) <= {self.version.version}
            assert table.num_rows == shard.rows
            for row in table.to_pylist():
                assert row["id"] not in found
                found[row["id"]] = row["text_digest"], np.array(row["vector"], np.float32)
        return found

    def expected(self, tmp: Path) -> Rows:
        """The same, by the model itself."""
        download_version(self.store, self.version.version, tmp / "version")
        from bluetune_api.method import Settings
        from bluetune_trainer.training.opening import open_served

        model = open_served(tmp / "version", Settings())
        vectors = model.encode([text.strip() for text in self.texts.values()], "item")
        keys = self.texts
        return {
            key: (text_digest(text.strip()).hex(), vector)
            for (key, text), vector in zip(keys.items(), vectors, strict=True)
        }


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, base: Path) -> World:
    return World(tmp_path_factory.mktemp("imported") / "store", base)


@pytest.fixture
def world(tmp_path: Path, imported: World) -> World:
    shutil.copytree(imported.folder, tmp_path / "store")
    return World(tmp_path / "store", None, imported.version)


@pytest.fixture
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version is opened by the first test that encodes with it."""
    own = Indexer._open

    def kept(self: Indexer) -> Opened:
        if self._index.digest not in OPENED:
            OPENED[self._index.digest] = own(self)
        return OPENED[self._index.digest]

    monkeypatch.setattr(Indexer, "_open", kept)


OPENED: dict[str, Opened] = {}


def same(found: Rows, expected: Rows) -> bool:
    return found.keys() == expected.keys() and all(
        found[key][0] == digest and np.allclose(found[key][1], vector, atol=1e-5)
        for key, (digest, vector) in expected.items()
    )


def encoded_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is encoded from now on."""
    seen: list[str] = []
    own = Tower.encode

    def encode(self: Tower, inputs: list[str], *args: object, **kwargs: object) -> NDArray[np.float32]:
        seen.extend(inputs)
        return own(self, inputs, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Tower, "encode", encode)
    return seen


class Killed(BaseException):
    """The process is gone."""


def dying_at(store: ObjectStore, write: int) -> ObjectStore:
    """A store whose process is killed right before its n-th write, or deletion."""

    class Dying:
        def __init__(self) -> None:
            self.writes = 0

        def __getattr__(self, name: str) -> object:
            call = getattr(store, name)
            if name not in ("put", "create", "upload", "delete"):
                return call

            def counted(key: str, *args: object) -> object:
                if "_progress/" in key:
                    return call(key, *args)
                self.writes += 1
                if self.writes > write:
                    raise Killed
                return call(key, *args)

            return counted

    return Dying()  # type: ignore[return-value]
