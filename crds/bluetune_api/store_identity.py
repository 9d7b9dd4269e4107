"""Whose a store is, and which version is live: records of the operator that outlive the model's status."""

import json
from typing import Annotated, Any

from pydantic import Field

from bluetune_api.base import Digest, Metrics, Name, ShortText, Uid, VersionId
from bluetune_api.reading import Record
from bluetune_api.records import FormatVersion, Moment

TAKE_OVER_ANNOTATION = "bluetune.dev/take-over-from"
"""Annotation of an EmbeddingModel that takes its store over from another owner: `<namespace>/<name>/<uid>` of that."""


class _Kept(Record):
    def encode(self) -> bytes:
        """Canonical JSON: the same record always gives the same bytes."""
        wire: dict[str, Any] = self.wire()
        return json.dumps(wire, sort_keys=True, separators=(",", ":")).encode()


class StoreOwner(_Kept):
    """owner.json: the EmbeddingModel that a prefix belongs to. Created once, with a conditional create."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    cluster: Uid | None = None
    """uid of the cluster's namespace kube-system; absent where the operator may not read it."""
    namespace: Name
    """The model's namespace."""
    name: Name
    """Its name."""
    uid: Uid
    """Its uid."""

    def reference(self) -> str:
        """The owner as the annotation that takes over names it."""
        return f"{self.namespace}/{self.name}/{self.uid}"


class PromotedVersion(_Kept):
    """A version that was promoted."""

    version: VersionId
    """Its id."""
    digest: Digest
    """sha256 of its manifest."""
    promoted_at: Moment
    """When it became current."""
    task: ShortText | None = None
    """Task that made it; absent for the base."""
    metrics: Metrics | None = None
    """What the gate measured."""


class CurrentRecord(PromotedVersion):
    """current.json: the version that is live, written at each promotion."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    history: Annotated[list[PromotedVersion], Field(max_length=10)] = Field(default_factory=list)
    """What was live before, newest first."""
