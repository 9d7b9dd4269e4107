"""Which batches of clicks the store holds."""

from collections.abc import Collection

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.plans import BATCH_ID, CompleteBatch


def complete_batches(store: ObjectStore, skip: Collection[str] = ()) -> list[CompleteBatch]:
    """All batches with a `_SUCCESS`, but for those in `skip`: one listing, and one look at each folder's marker."""
    found = []
    for name in store.folders(store_layout.CLICKSTREAM):
        if name in skip or not BATCH_ID.fullmatch(name):
            continue
        marker = store.stat(store_layout.batch_marker(name))
        if marker is not None:
            found.append(CompleteBatch(name, marker.modified))
    return found
