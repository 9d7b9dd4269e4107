"""spec.notify of an EmbeddingModel: who hears what became of its runs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Name, Rule, ShortText, StatusModel, Text, Timestamp
from bluetune_api.pods import KeyReference

URL_PATTERN = r"^https?://[A-Za-z0-9.\[\]:_-]+(/[^ \x00-\x1f\x7f\\]*)?$"
"""A URL without user and password: what is secret belongs into a Secret."""
Url = Annotated[str, StringConstraints(min_length=8, max_length=1024, pattern=URL_PATTERN)]

NoticeEvent = Literal["Promoted", "Refused", "Failed", "RolledBack", "Paused"]
ALL_EVENTS: tuple[NoticeEvent, ...] = ("Promoted", "Refused", "Failed", "RolledBack", "Paused")
MAX_PENDING, MAX_SEEN = 100, 200


class Notify(ApiModel):
    """A webhook."""

    RULES = (
        Rule(
            "has(self.url) != has(self.urlSecretRef)",
            "set exactly one of url and urlSecretRef",
            lambda n: (n.url is None) != (n.url_secret_ref is None),
        ),
    )

    name: Name
    """What it is called; what is still to be told to it goes to its new address if that is changed."""
    url: Url | None = None
    """Where to POST. No redirect is followed, and addresses of the node, of its link and of clouds' metadata are
    refused."""
    url_secret_ref: KeyReference | None = None
    """Key of a Secret that holds the address, as of a Slack webhook, which is a secret itself."""
    format: Literal["CloudEvents", "Slack"] = "CloudEvents"
    """CloudEvents 1.0 as structured JSON, or a `text` as Slack's incoming webhooks and their like take it."""
    events: Annotated[list[NoticeEvent], Field(min_length=1, max_length=len(ALL_EVENTS))] = Field(
        default_factory=lambda: list(ALL_EVENTS)
    )
    """What is told. Promoted: a version went into production. Refused: the gate refused one. Failed: a run failed.
    RolledBack: a rollout went back. Paused: `spec.retrain` makes no more tasks."""
    signing_secret_ref: KeyReference | None = None
    """Key of a Secret; the header `X-Bluetune-Signature` is then `sha256=` and the HMAC-SHA256 of the body, in
    hexadecimal."""


class Notice(StatusModel):
    """What one webhook is still to be told."""

    id: ShortText
    """Idempotency key: the same whenever it is sent again."""
    target: ShortText
    """Name of the webhook."""
    event: NoticeEvent
    """What happened."""
    time: Timestamp
    """When it happened."""
    subject: ShortText
    """Name of the task, or of the model."""
    reason: ShortText
    """Why, as one word."""
    message: Text
    """Why, for people."""
    version: ShortText | None = None
    """Version that it is about."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """How often it was sent in vain."""
    next_time: Timestamp
    """When it is sent next."""


class NotifyStatus(StatusModel):
    """What webhooks were told."""

    since: Timestamp
    """What happened up to this time is told no more."""
    seen: Annotated[list[ShortText], Field(max_length=MAX_SEEN)] | None = None
    """Ids of what was taken in since then, with their times."""
    pending: Annotated[list[Notice], Field(max_length=MAX_PENDING)] | None = None
    """What is still to be told."""
    delivered: Annotated[int, Field(ge=0)] = 0
    """Notices that a webhook took."""
    lost: Annotated[int, Field(ge=0)] = 0
    """Notices that were given up."""
    last_error: Text | None = None
    """Why the last one was not taken; absent after one that was."""
