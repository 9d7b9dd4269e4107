"""spec.serving.promote of an EmbeddingModel: a person puts a kept version into production, once."""

from typing import Literal

from bluetune_api.base import ApiModel, Rule, ShortText, StatusModel, Text, Timestamp, VersionId


class Promote(ApiModel):
    """A version to roll out without the gate, once."""

    RULES = (
        Rule(
            "self.version != self.replaces",
            "version and replaces must differ",
            lambda p: p.version != p.replaces,
            "replaces",
        ),
    )

    version: VersionId
    """The version to serve."""
    replaces: VersionId
    """The current version (`status.current.version`) that it is to replace. While another one is current, nothing is
    rolled out."""


class PromoteStatus(StatusModel):
    """What became of `spec.serving.promote`. While the field says the same, nothing more is done about it."""

    version: VersionId
    """The `version` that was asked for."""
    replaces: VersionId
    """The `replaces` that was asked for."""
    outcome: Literal["Started", "Promoted", "Failed", "PassedOver"]
    """Started: its rollout is under way. Promoted: the version became current, or was already. Failed: its rollout
    failed. PassedOver: nothing was rolled out."""
    time: Timestamp
    """When that became so."""
    reason: ShortText | None = None
    """Why, as one word."""
    message: Text | None = None
    """Why, for people."""
