"""`index -f`: a version's index with a folder as the store, and no cluster and no S3."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.index_records import IndexProgress
from bluetune_api.index_target import Vectors
from bluetune_api.objectstore import LocalStore
from bluetune_api.plans import method_plan
from bluetune_api.records import IndexPlan, MethodPlan, Plan, RunOwner, digest_of
from bluetune_trainer.cli.indexing import Indexer, in_words, loss_in_words
from bluetune_trainer.cli.laptop import NAMESPACE
from bluetune_trainer.cli.manifests import read_model
from bluetune_trainer.data.reading import pin
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.versions import read_manifest

SECONDS_BETWEEN_LINES = 5.0


def index_manifests(
    paths: Sequence[Path], folder: Path, version: str, model: str | None, *, stop: threading.Event
) -> str:
    """Make all shards, one after the other. Those that are there are kept, so the same command goes on where it was.

    Raises:
        PlanInvalid, DataInvalid, PluginFailed, Stopped: as a Job's trainer would.
    """
    if not folder.is_dir():
        raise PlanInvalid(f"--store: there is no folder {folder}; it must hold versions/ and items/")
    found, method = read_model(paths, model)
    store = LocalStore(folder)
    _, data = read_manifest(store, version)
    index = found.spec.serving.index if found.spec.serving else None
    shards, vectors = (index.shards, index.vectors) if index else (1, None)
    read_by = method_plan(method.spec) if method else MethodPlan()
    plan = Plan(
        kind="Index",
        owner=RunOwner(
            kind="EmbeddingModel",
            name=found.metadata.name,
            namespace=found.metadata.namespace or NAMESPACE,
            uid=found.metadata.uid or "local",
        ),
        model=found.metadata.name,
        store=found.spec.store.location(),
        method=read_by,
        index=IndexPlan(
            version=version,
            digest=digest_of(data),
            run=_run(store, read_by, shards, vectors),
            shards=shards,
            vectors=vectors,
        ),
    )
    assert plan.index is not None  # noqa: S101 - set above
    indexer = Indexer(store, plan, stop=stop)
    said = -SECONDS_BETWEEN_LINES

    def report(progress: IndexProgress) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"  {progress_in_words(progress)}", file=sys.stderr)

    for shard in range(plan.index.shards):
        print(f"shard {shard + 1} of {plan.index.shards}: {in_words(indexer.make(shard, report))}", file=sys.stderr)
    whole = indexer.finish(report)
    assert whole is not None  # noqa: S101 - every shard was made above
    where = store.uri(store_layout.index_manifest(version))
    return f"indexed {whole.count} items with {version}{loss_in_words(whole)}: {where}"


def progress_in_words(progress: IndexProgress) -> str:
    """How far it is, for people."""
    if not progress.total:
        return progress.stage.lower()
    left = f", {progress.seconds_left} s left" if progress.seconds_left is not None else ""
    return f"{progress.stage.lower()}: {progress.done} of {progress.total} items, {progress.rate} a second{left}"


def _run(store: LocalStore, method: MethodPlan, shards: int, vectors: Vectors | None) -> str:
    """The same for the same inputs: what was pinned for others does not hold, and what they left is removed."""
    inputs = [method.wire(), shards, vectors and vectors.wire(), [one.wire() for one in pin(store, method.items.path)]]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
