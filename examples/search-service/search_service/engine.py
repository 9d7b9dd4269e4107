"""What answers a query: an encoder and the index of the same version, loaded together and verified."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bluetune_api.method import Settings
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import digest_of
from bluetune_api.store_layout import MANIFEST
from bluetune_trainer.store.versions import download_version
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.opening import open_served
from search_service.index import Hit, Index

Kind = Literal["query", "item"]


def fetch_encoder(store: ObjectStore, version: str, digest: str | None, folder: Path) -> tuple[Model, str]:
    """Download and open a version; every file is compared with the manifest, the manifest with the digest.

    Returns the encoder and the manifest's digest. Raises what `download_version` raises.
    """
    shutil.rmtree(folder, ignore_errors=True)
    download_version(store, version, folder, digest=digest)
    return open_served(folder, Settings()), digest_of((folder / MANIFEST).read_bytes())


class Engine:
    """One version, ready to answer. Requests may come from several threads."""

    def __init__(self, encoder: Model, index: Index, version: str, digest: str) -> None:
        self._encoder, self._index = encoder, index
        self._lock = threading.Lock()
        self.version, self.digest = version, digest

    @classmethod
    def load(cls, store: ObjectStore, version: str, digest: str | None, workdir: Path, threads: int) -> "Engine":
        """Fetch model and index of a version into `workdir`, and open them."""
        torch.set_num_threads(threads)
        encoder, found = fetch_encoder(store, version, digest, workdir / "model")
        shutil.rmtree(workdir / "index", ignore_errors=True)
        engine = cls(encoder, Index.fetch(store, version, found, workdir / "index"), version, found)
        engine.search("the first search opens everything", 1)
        return engine

    @property
    def rows(self) -> int:
        """Items in the index."""
        return self._index.rows

    @property
    def index_version(self) -> str:
        """Version whose vectors the index holds, as the index says."""
        return self._index.version

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """texts × dimension, unit length."""
        with self._lock:  # torch uses all its threads for one request; more at once only wait for each other
            return self._encoder.encode(texts, kind)

    def search(self, query: str, limit: int) -> list[Hit]:
        """The items nearest to a query, nearest first."""
        return self._index.search(self.encode([query], "query")[0], limit)
