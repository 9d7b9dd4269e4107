"""The vector index of one version: a LanceDB table in the store, below `indexes/<version>/`.

It is written whole under a name of its own and then announced by `index.json`, created once: of two Jobs that race one
wins, and nobody ever opens half an index. A serving pod copies it to its own disk and then needs no store to answer.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bluetune_api.objectstore import ObjectNotFound, ObjectStore

TABLE = "items"
SEPARATOR = ". "


class IndexMissing(Exception):
    """There is no index of this version; the message says what to do."""


@dataclass(frozen=True)
class Item:
    """An item of the catalogue."""

    item_id: str
    title: str
    description: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """What is encoded: the same fields, joined the same way, as the FineTuningMethod's `items` says."""
        return SEPARATOR.join(part for part in (self.title, self.description) if part)


@dataclass(frozen=True)
class Hit:
    """A search result."""

    object_id: str
    title: str
    description: str
    url: str
    score: float
    """Cosine of query and item."""


def read_items(store: ObjectStore, folder: str) -> list[Item]:
    """The catalogue, from all `*.jsonl` below a folder of the store."""
    return [item for info in store.list(folder) if info.key.endswith(".jsonl") for item in _parse(store.get(info.key))]


def _parse(data: bytes) -> Iterator[Item]:
    for line in data.splitlines():
        if line.strip():
            raw = json.loads(line)
            yield Item(str(raw["item_id"]), raw.get("title") or "", raw.get("description") or "", raw.get("url") or "")


def announcement(version: str) -> str:
    """Key of the object that says where a version's index is."""
    return f"indexes/{version}/index.json"


def exists(store: ObjectStore, version: str) -> bool:
    """Whether a version has a complete index."""
    return store.stat(announcement(version)) is not None


def publish(
    store: ObjectStore, version: str, digest: str, items: Sequence[Item], vectors: NDArray[np.float32], workdir: Path
) -> bool:
    """Write the index of a version; False if another Job was first.

    Args:
        vectors: items × dimension, unit length.
        workdir: an empty folder to build the table in.
    """
    database = lancedb.connect(workdir)
    columns = {field: [getattr(item, field) for item in items] for field in ("item_id", "title", "description", "url")}
    vector = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
    database.create_table(TABLE, pa.table({**columns, "vector": vector}))
    folder = f"indexes/{version}/{uuid.uuid4().hex}/"
    paths = sorted(path for path in workdir.rglob("*") if path.is_file())
    files = [{"path": path.relative_to(workdir).as_posix(), "sha256": _sha256(path)} for path in paths]
    for path, file in zip(paths, files, strict=True):
        store.upload(folder + file["path"], path)
    record = {"version": version, "digest": digest, "folder": folder, "rows": len(items), "files": files}
    if store.create(announcement(version), json.dumps(record).encode()):
        return True
    for file in files:
        store.delete(folder + file["path"])
    return False


class Index:
    """An index on this machine's disk, open for search."""

    def __init__(self, folder: Path, rows: int, version: str) -> None:
        self._table = lancedb.connect(folder).open_table(TABLE)
        self.rows, self.version = rows, version

    @classmethod
    def fetch(cls, store: ObjectStore, version: str, digest: str | None, folder: Path) -> "Index":
        """Copy a version's index from the store and open it.

        Raises IndexMissing if there is none, or one of other files than announced.
        """
        try:
            record = json.loads(store.get(announcement(version)))
        except ObjectNotFound:
            raise IndexMissing(
                f"{store.uri(announcement(version))} does not exist: version {version} was never indexed; run the"
                " reindex Job (serving.reindex of the EmbeddingModel, or `python -m search_service.reindex`)"
            ) from None
        if digest is not None and record["digest"] != digest:
            raise IndexMissing(f"the index of {version} was made for {record['digest']}, not for {digest}: index again")
        for file in record["files"]:
            path = folder / file["path"]
            store.download(record["folder"] + file["path"], path)
            if _sha256(path) != file["sha256"]:
                raise IndexMissing(f"{store.uri(record['folder'] + file['path'])} is damaged: its sha256 is another")
        return cls(folder, record["rows"], record["version"])

    def search(self, vector: NDArray[np.float32], limit: int) -> list[Hit]:
        """The nearest items of a unit vector, nearest first."""
        found: list[dict[str, Any]] = self._table.search(vector).distance_type("dot").limit(limit).to_list()
        return [
            Hit(row["item_id"], row["title"], row["description"], row["url"], round(1 - row["_distance"], 4))
            for row in found
        ]


def as_json(hit: Hit) -> dict[str, Any]:
    """A result as the API answers it."""
    return asdict(hit)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
