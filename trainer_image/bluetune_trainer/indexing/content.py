"""What bluetune writes on a table of PostgreSQL (as its comment) and on an index of OpenSearch (in its mapping).

Whoever made a table or an index without it is not bluetune.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Content:
    """What a table or an index holds."""

    store: str
    """The model's store: what belongs to other models is left alone."""
    version: str
    generation: str
    loaded: tuple[int, ...] = field(default=())
    """Shards that are in it, while it is being filled."""

    def document(self) -> dict[str, Any]:
        """As the `_meta` of a mapping."""
        return {"bluetune": asdict(self)}

    def encode(self) -> str:
        """As the comment of a table."""
        return json.dumps(self.document(), sort_keys=True)

    def with_shard(self, shard: int) -> "Content":
        """With one more shard in it."""
        return replace(self, loaded=(*self.loaded, shard))

    def same_index(self, other: "Content") -> bool:
        """Whether both are of one index."""
        return (self.store, self.version, self.generation) == (other.store, other.version, other.generation)


def content_of(comment: str | None) -> Content | None:
    """What a comment says; None for one that bluetune did not write."""
    try:
        return content_in(json.loads(comment or ""))
    except ValueError:
        return None


def content_in(document: object) -> Content | None:
    """What a mapping's `_meta` says; None for one that bluetune did not write."""
    said = document.get("bluetune") if isinstance(document, Mapping) else None
    try:
        return Content(
            str(said["store"]),  # type: ignore[index] # its TypeError is caught
            str(said["version"]),  # type: ignore[index]
            str(said["generation"]),  # type: ignore[index]
            tuple(int(n) for n in said["loaded"]),  # type: ignore[index]
        )
    except (ValueError, TypeError, KeyError):
        return None
