"""What goes into the object store before anything runs: base model, catalogue, and a batch of simulated clicks."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from minio import Minio
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.records import Result
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from semanlink import clicks, dataset
from semanlink.base import base_folder
from semanlink.metrics import DEPTH
from semanlink.target import Storage

Hit = dict[str, Any]
BUCKET, MODEL_PREFIX, BASE_PREFIX = "bluetune", "semanlink", "bases/all-minilm-l6-v2"


def open_store(storage: Storage, prefix: str) -> S3Store:
    """A folder of the demo's bucket, from this process."""
    location = StoreLocation(endpoint=storage.endpoint, bucket=BUCKET, prefix=prefix, secure=False)
    return S3Store(location, access_key=storage.access_key, secret_key=storage.secret_key)


def empty_bucket(storage: Storage) -> None:
    """Make the bucket, or remove what an earlier demo left in the model's folder."""
    client = Minio(storage.endpoint, access_key=storage.access_key, secret_key=storage.secret_key, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    store = open_store(storage, MODEL_PREFIX)
    for info in list(store.list("")):
        store.delete(info.key)


def upload_base(storage: Storage) -> int:
    """Upload the base model's files; returns their bytes. What is there already stays."""
    store, folder = open_store(storage, BASE_PREFIX), base_folder()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        key = path.relative_to(folder).as_posix()
        there = store.stat(key)
        if there is None or there.size != path.stat().st_size:
            store.upload(key, path)
    return sum(path.stat().st_size for path in files)


def upload_catalogue(storage: Storage, documents: Sequence[dataset.Document]) -> None:
    """Upload the items."""
    open_store(storage, MODEL_PREFIX).put("items/items.jsonl", dataset.items_jsonl(documents))


def upload_clicks(storage: Storage, data: dataset.Semanlink, seed: int, count: int) -> tuple[str, int, int]:
    """Simulate and upload a batch, its `_SUCCESS` last; returns its id, the sessions with a click, and the clicks."""
    seen = data.judgments.split(seed).seen
    simulated = list(
        clicks.simulate(data.documents, seen, zero_shot_cosines(data, seen.queries), count=count, seed=seed)
    )
    batch, store = f"simulated-{seed}-{count}", open_store(storage, MODEL_PREFIX)
    store.put(f"{store_layout.batch(batch)}sessions.jsonl", clicks.jsonl(simulated))
    store.put(store_layout.batch_marker(batch), b"")
    made = [len(session["events"]) for session in simulated]
    return batch, sum(bool(n) for n in made), sum(made)


def zero_shot_cosines(data: dataset.Semanlink, queries: Sequence[str]) -> NDArray[np.float32]:
    """queries × documents, of the base model; the documents' vectors are kept in the cache."""
    import torch

    from bluetune_trainer.training.encoder import Encoder
    from bluetune_trainer.training.precision import bf16_pays

    torch.set_num_threads(os.cpu_count() or 1)
    folder = base_folder()
    encoder = Encoder.load(folder)
    texts = [document.text for document in data.documents]
    kept = _cache_file(folder, texts)
    if kept.exists():
        vectors = np.load(kept)
    else:
        vectors = encoder.encode(texts, "item", bf16=bf16_pays("cpu"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{os.getpid()}-{kept.name}")
        np.save(temporary, vectors)
        os.replace(temporary, kept)
    return np.asarray(encoder.encode(queries, "query") @ vectors.T, np.float32)


def rankings_of(storage: Storage, version: str, data: dataset.Semanlink, queries: Sequence[str]) -> list[list[Hit]]:
    """The ten best documents for each query, by a version that blue does not serve."""
    from bluetune_trainer.store.versions import download_version
    from bluetune_trainer.training.encoder import Encoder
    from bluetune_trainer.training.precision import bf16_pays

    with tempfile.TemporaryDirectory() as folder:
        download_version(open_store(storage, MODEL_PREFIX), version, Path(folder))
        encoder = Encoder.load(folder)
    vectors = encoder.encode([document.text for document in data.documents], "item", bf16=bf16_pays("cpu"))
    best = np.argsort(-(encoder.encode(queries, "query") @ vectors.T), axis=1, kind="stable")[:, :DEPTH]
    found = [[data.documents[i] for i in row] for row in best.tolist()]
    return [[{"object_id": document.item_id, "title": document.title} for document in row] for row in found]


def result_of(storage: Storage, task_uid: str) -> Result:
    """What the trainer wrote about a run."""
    return Result.model_validate_json(open_store(storage, MODEL_PREFIX).get(store_layout.result(task_uid)))


def _cache_file(folder: Path, texts: Sequence[str]) -> Path:
    content = hashlib.sha256((folder / "model.safetensors").read_bytes())
    content.update("\n".join(texts).encode())
    return dataset.cache_folder() / "datasets" / f"zero-shot-{content.hexdigest()[:16]}.npy"


def save_report(storage: Storage, url: str, folder: Path) -> Path:
    """Fetch a task's `status.reportUrl` into a folder; returns the file."""
    store = open_store(storage, MODEL_PREFIX)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_bytes(store.get(url.removeprefix(store.uri("") + "/")))
    return path
