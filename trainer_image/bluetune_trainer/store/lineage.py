"""The parameters that made a version and its ancestors, from their manifests."""

import logging

from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import LineageParams
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.versions import read_manifest

log = logging.getLogger(__name__)

MAX_VERSIONS = 10


def lineage_params(store: ObjectStore, version: str | None) -> list[LineageParams]:
    """Parameters of a version and of its ancestors, newest first, equal ones once; of MAX_VERSIONS at most.

    A base was not trained and has none. An ancestor that retention removed ends the walk.
    """
    found: list[LineageParams] = []
    for _ in range(MAX_VERSIONS):
        if version is None:
            break
        try:
            manifest, _data = read_manifest(store, version)
        except PlanInvalid:
            log.info("the lineage is known up to here; an older version is gone", extra={"version": version})
            break
        if manifest.batch_id is None:
            break
        if manifest.params and all(manifest.params != other.params for other in found):
            found.append(LineageParams(origin=version, params=manifest.params))
        version = manifest.parent
    return found
