"""What runs found out against a live version, kept beside it until the version is removed."""

import logging
from collections.abc import Sequence

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import KeptEvidence
from bluetune_trainer.store.runs import create, read

log = logging.getLogger(__name__)


def earlier_evidence(store: ObjectStore, live_version: str, uid: str) -> Sequence[KeptEvidence]:
    """Evidence of all other runs that were compared with a live version, in the order of their uids.

    Raises:
        StoreFailed: a record cannot be read.
    """
    own = store_layout.kept_evidence(live_version, uid)
    found = (info.key for info in store.list(store_layout.evidence(live_version)) if info.key != own)
    records = (read(store, key, KeptEvidence) for key in sorted(found))
    return [record for record in records if record is not None]


def keep_evidence(store: ObjectStore, live_version: str, uid: str, evidence: KeptEvidence) -> None:
    """Store what a run found out, once; the same run finds out the same again."""
    create(store, store_layout.kept_evidence(live_version, uid), evidence)
