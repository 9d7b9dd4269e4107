"""Fetch: put a verified version where a server finds it, before the server starts."""

import os
import re
from pathlib import Path

from pydantic import ValidationError

from bluetune_api.base import DIGEST_PATTERN
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Manifest
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.errors import PlanInvalid, in_words
from bluetune_trainer.store.versions import download_version

STORE = "BLUETUNE_STORE"
"""Variable with a StoreLocation as JSON."""


def location() -> StoreLocation:
    """The store that the environment names.

    Raises:
        PlanInvalid: it names none, or what it says is no StoreLocation.
    """
    text = os.environ.get(STORE)
    if not text:
        raise PlanInvalid(f"{STORE} is not set; it must hold the store as JSON: endpoint, bucket, prefix, secure")
    try:
        return StoreLocation.model_validate_json(text)
    except ValidationError as error:
        raise PlanInvalid(f"{STORE} is not a store: {in_words(error)}") from error


def run_fetch(store: ObjectStore, version: str, digest: str, into: Path) -> Manifest:
    """Fill the folder with the version's files and its manifest.json, all verified against the digest."""
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise PlanInvalid(f"--digest: {digest!r} must be sha256: and 64 hexadecimal digits")
    return download_version(store, version, into, digest=digest)
