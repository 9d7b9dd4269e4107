"""Fetch: put a verified version where a server finds it, before the server starts."""

import re
from pathlib import Path

from bluetune_api.base import DIGEST_PATTERN
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Manifest
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.environment import STORE, location_of_environment
from bluetune_trainer.store.versions import download_version


def location() -> StoreLocation:
    """The store that the environment names.

    Raises:
        PlanInvalid: it names none, or what it says is no StoreLocation.
    """
    found = location_of_environment()
    if found is None:
        raise PlanInvalid(f"{STORE} is not set; it must hold the store as JSON: endpoint, bucket, prefix, secure")
    return found


def run_fetch(store: ObjectStore, version: str, digest: str, into: Path) -> Manifest:
    """Fill the folder with the version's files and its manifest.json, all verified against the digest."""
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise PlanInvalid(f"--digest: {digest!r} must be sha256: and 64 hexadecimal digits")
    return download_version(store, version, into, digest=digest)
