"""An import that is asked to stop leaves off between two files, and publishes nothing."""

import threading
from pathlib import Path

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Plan
from bluetune_trainer.cli.importing import run_import
from bluetune_trainer.errors import Stopped


def test_an_import_that_is_asked_to_stop_fetches_no_further_file_and_publishes_nothing(tmp_path: Path) -> None:
    stop, fetched = threading.Event(), []

    class Base(LocalStore):
        def download(self, key: str, path: Path, *, etag: str | None = None) -> None:
            super().download(key, path, etag=etag)
            fetched.append(key)
            stop.set()

    for folder in ("base", "store"):
        (tmp_path / folder).mkdir()
    base, store = Base(tmp_path / "base"), LocalStore(tmp_path / "store")
    for name in ("config.json", "model.safetensors"):
        base.put(name, b"{}")
    plan = Plan.model_validate(
        {
            "kind": "Import",
            "owner": {"kind": "EmbeddingModel", "name": "m", "namespace": "n", "uid": "u1"},
            "model": "m",
            "store": {"endpoint": "minio:9000", "bucket": "models"},
            "base_uri": "s3://models/base",
        }
    )
    with pytest.raises(Stopped, match="before anything was published"):
        run_import(store, plan, lambda _location: base, stop=stop)
    assert fetched == ["config.json"]
    assert store.folders("versions/") == []
