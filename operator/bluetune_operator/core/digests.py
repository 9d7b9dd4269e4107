"""Digests of what resources say, which the next release can compare with its own."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

DIGEST_FORM = "said:"
"""How these digests begin. Older ones were made of defaults, too, which a release may add."""


def digest_of_parts(*parts: BaseModel | str | None) -> str:
    """sha256 of what the parts say."""
    said = [said_by(part) if isinstance(part, BaseModel) else part for part in parts]
    return DIGEST_FORM + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def said_by(part: BaseModel) -> Any:
    """What a part of a resource says, but for what is the default: a release that adds a field edits nothing."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
