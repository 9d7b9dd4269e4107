"""What is written down of a rollout: its step, when that began, and what is said of it."""

from datetime import datetime
from typing import Literal

from bluetune_api.index_target import OpenSearch, Pgvector, Vectors
from bluetune_api.model import Rollout, Serving
from bluetune_api.reasons import Reason, known_reason
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.digests import digest_of_parts
from bluetune_operator.core.rollout.limits import MAX_UNDONE
from bluetune_operator.core.times import stamp

Step = Literal["Reindex", "Load", "Patch", "Wait", "Verify", "Promote", "RollingBack", "Done", "Failed"]

BACK = "; going back to "
"""Stands in the message between why the rollout failed and how the way back goes."""


def reason_of(rollout: Rollout, otherwise: Reason = "RolloutFailed") -> Reason:
    """Why it went back, if it did."""
    return known_reason(rollout.reason) or otherwise


def cause_of(rollout: Rollout) -> str:
    """The message up to how the way back goes."""
    return (rollout.message or "the rollout failed").partition(BACK)[0]


def back_message(rollout: Rollout, progress: str) -> str:
    """Why it failed, where it goes back to, and how that goes."""
    text = f"{cause_of(rollout)}{BACK}{rollout.source}"
    return f"{text}: {progress}" if progress else text


def touched(rollout: Rollout) -> bool:
    """Whether the Deployment may tell the new version already."""
    if rollout.step in ("Wait", "Verify", "Promote", "RollingBack") or rollout.touched_at is not None:
        return True
    return rollout.step == "Patch" and rollout.acted_at is not None


def index_asked(serving: Serving) -> str:
    """Digest of what `serving.index` says of the index that servers read: where it is, and what its vectors are. How
    much shorter vectors may lose changes neither."""
    index = serving.index
    if index is None:
        return digest_of_parts(None)
    target, vectors = index.target, index.vectors
    if target.pgvector is not None:
        least = Pgvector.model_fields["min_recall"].default
        target = target.model_copy(update={"pgvector": target.pgvector.model_copy(update={"min_recall": least})})
    if target.opensearch is not None:
        least = OpenSearch.model_fields["min_recall"].default
        target = target.model_copy(update={"opensearch": target.opensearch.model_copy(update={"min_recall": least})})
    if vectors is not None:
        vectors = vectors.model_copy(update={"min_recall": Vectors.model_fields["min_recall"].default})
    return digest_of_parts(target, vectors)


def index_edited(rollout: Rollout, serving: Serving) -> bool:
    """Whether `serving.index` asks for another index than the rollout has made. Rollouts that an earlier release began
    do not say what they have made."""
    return rollout.index is not None and rollout.index != index_asked(serving)


def index_anew(rollout: Rollout, now: datetime) -> Rollout:
    """It makes its index anew, before the Deployment is told of that."""
    touched_at = rollout.touched_at or (stamp(now) if touched(rollout) else None)
    text = "serving.index was changed after the rollout had made the index: it is made anew"
    fresh = {"index": None, "index_loss": None, "undone": None, "acted_at": None, "touched_at": touched_at}
    return at_step(rollout.model_copy(update=fresh), "Reindex", now, text)


def acted(rollout: Rollout, now: datetime) -> Rollout:
    """The step's Job is made, or the Deployment told: what hindered it hinders no longer."""
    reason = rollout.reason if rollout.step == "RollingBack" else None
    return rollout.model_copy(update={"acted_at": stamp(now), "reason": reason})


def at_step(rollout: Rollout, step: Step, now: datetime, message: str | None, reason: str | None = None) -> Rollout:
    """It enters a step; also the same one, anew."""
    return rollout.model_copy(
        update={
            "step": step,
            "step_started_at": stamp(now),
            "message": shortened(message) if message else None,
            "reason": reason,
        }
    )


def saying(rollout: Rollout, message: str) -> Rollout:
    """It says this."""
    return rollout.model_copy(update={"message": shortened(message) if message else None})


def noting(rollout: Rollout, message: str) -> Rollout:
    """Say it, on the way back after why the rollout failed."""
    return saying(rollout, back_message(rollout, message) if rollout.step == "RollingBack" else message)


def changed(deployment: str, writer: str, undone: int | None) -> str:
    """What is said while others' change is to be undone."""
    times = f" (time {undone} of {MAX_UNDONE})" if undone else ""
    return f"Deployment {deployment} was changed by {writer}{times}"


def fight(rollout: Rollout, deployment: str, writer: str) -> str:
    """What is said when others changed it too often."""
    times = (rollout.undone or 0) + 1
    return (
        f"Deployment {deployment} was told to serve the version, and {times} times it no longer did; its spec was last"
        f" written by {writer}: have that writer leave bluetune's fields alone (apply, do not replace)"
    )
