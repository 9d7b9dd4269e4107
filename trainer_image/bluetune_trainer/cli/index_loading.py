"""Load: a version's index, from its parts in the store into a database."""

import os
import threading

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import IndexPlan, Plan
from bluetune_trainer.errors import PlanInvalid, StoreDamaged
from bluetune_trainer.indexing.announcing import read_index
from bluetune_trainer.indexing.loading import Loader
from bluetune_trainer.indexing.search_cluster import Access
from bluetune_trainer.indexing.search_loading import SearchLoader
from bluetune_trainer.store.progress import RecordWriter

DATABASE = "BLUETUNE_INDEX_DATABASE"
"""Variable with the database's address and password."""
USERNAME, PASSWORD, AUTHORITY = "BLUETUNE_INDEX_USERNAME", "BLUETUNE_INDEX_PASSWORD", "BLUETUNE_INDEX_CA"
"""Variables that say how to get into OpenSearch; each may be absent."""


def run_load(store: ObjectStore, plan: Plan, *, stop: threading.Event) -> str:
    """Load the index that the plan names. Returns what was done, in words.

    Raises:
        PlanInvalid: the plan names no database, or its address is not set.
        StoreDamaged: there is no index of that version.
    """
    index = plan.index
    assert index is not None  # noqa: S101 - the plan was judged when it was read
    if index.pgvector is None and index.opensearch is None:
        raise PlanInvalid(
            "the plan has neither index.pgvector nor index.opensearch, one of which a plan of kind Load needs"
        )
    address = os.environ.get(DATABASE)
    if index.pgvector is not None and not address:
        raise PlanInvalid(f"{DATABASE} is not set; it must hold the database's address, postgresql://…")
    manifest = read_index(store, index.version)
    if manifest is None or manifest.digest != index.digest:
        raise StoreDamaged(
            f"{store.uri(store_layout.index_manifest(index.version))} is {'not of' if manifest else 'missing for'}"
            f" {index.digest}; roll out again",
            reason="IndexMissing",
        )
    require_vectors(index, manifest)
    writer = RecordWriter[IndexProgress](store, store_layout.index_shard_progress(index.version, index.run, 0))
    writer.start()
    try:
        if index.opensearch is not None:
            access = Access(*(os.environ.get(name) or None for name in (USERNAME, PASSWORD, AUTHORITY)))
            searched = SearchLoader(store, manifest, index.opensearch, index.vectors, report=writer.report, stop=stop)
            return searched.load(access)
        assert index.pgvector is not None and address  # noqa: S101, PT018 - looked at above
        return Loader(store, manifest, index.pgvector, index.vectors, report=writer.report, stop=stop).load(address)
    finally:
        writer.close()


def require_vectors(index: IndexPlan, manifest: IndexManifest) -> None:
    """Raises StoreDamaged if the index in the store has other vectors than the plan asks for."""
    wanted = index.vectors
    dimension, _ = manifest.own_vectors()
    asked = ((wanted.dimensions or dimension) if wanted else dimension, wanted.type if wanted else "Float32")
    found = manifest.dimension, manifest.vectors.type if manifest.vectors else "Float32"
    if asked != found:
        raise StoreDamaged(
            f"the index of {index.version} in the store has vectors of {found[0]} × {found[1]}, and serving.index asks"
            f" for {asked[0]} × {asked[1]}; roll out again",
            reason="IndexMissing",
        )
