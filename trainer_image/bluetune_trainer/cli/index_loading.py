"""Load: a version's index, from its parts in the store into a database."""

import os
import threading

from bluetune_api import store_layout
from bluetune_api.index_records import IndexProgress
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Plan
from bluetune_trainer.errors import PlanInvalid, StoreDamaged
from bluetune_trainer.indexing.announcing import read_index
from bluetune_trainer.indexing.loading import Loader
from bluetune_trainer.store.progress import RecordWriter

DATABASE = "BLUETUNE_INDEX_DATABASE"
"""Variable with the database's address and password."""


def run_load(store: ObjectStore, plan: Plan, *, stop: threading.Event) -> str:
    """Load the index that the plan names. Returns what was done, in words.

    Raises:
        PlanInvalid: the plan names no database, or its address is not set.
        StoreDamaged: there is no index of that version.
    """
    index = plan.index
    assert index is not None  # noqa: S101 - the plan was judged when it was read
    if index.pgvector is None:
        raise PlanInvalid("the plan has no index.pgvector, which a plan of kind Load needs")
    address = os.environ.get(DATABASE)
    if not address:
        raise PlanInvalid(f"{DATABASE} is not set; it must hold the database's address, postgresql://…")
    manifest = read_index(store, index.version)
    if manifest is None or manifest.digest != index.digest:
        raise StoreDamaged(
            f"{store.uri(store_layout.index_manifest(index.version))} is {'not of' if manifest else 'missing for'}"
            f" {index.digest}; roll out again",
            reason="IndexMissing",
        )
    writer = RecordWriter[IndexProgress](store, store_layout.index_shard_progress(index.version, index.run, 0))
    writer.start()
    try:
        return Loader(store, manifest, index.pgvector, report=writer.report, stop=stop).load(address)
    finally:
        writer.close()
