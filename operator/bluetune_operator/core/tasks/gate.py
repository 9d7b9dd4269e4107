"""May a new version go into production? One pure function of what the trainer measured."""

from dataclasses import dataclass
from typing import Literal

from bluetune_api.gate_verdict import gate_verdict
from bluetune_api.model import EmbeddingModelStatus, Serving
from bluetune_api.reasons import Reason, known_reason
from bluetune_api.records import Result


@dataclass(frozen=True)
class Promotion:
    """The answer: `Promoted`'s status, reason and message. Unknown is: roll it out."""

    promoted: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str


def taken_over(
    *, wanted: bool, version: str | None, first: str, said: tuple[str, str] | None, current: str | None
) -> Promotion | None:
    """What became of a version that a task took over from another one of its key; None if it did not ask.

    Args:
        wanted: the task's deployAsBlue.
        version: what was taken over; None if the first one published nothing.
        first: name of the task that did the work.
        said: reason and message of its `Promoted`; None if it is gone, or never said.
        current: what blue serves.
    """
    if not wanted:
        return None
    if version is not None and version == current:
        return Promotion("True", "AlreadyCurrent", f"blue serves {version} already")
    result = f"{version} of task {first!r}" if version else f"the end of task {first!r}"
    reason = known_reason(said[0]) if said is not None else None
    if said is not None and reason is not None and reason not in ("NotRequested", "Promoted", "AlreadyCurrent"):
        return Promotion("False", reason, f"{result} was taken over, and was not rolled out: {said[1]}")
    why = "that task did not ask for it" if reason == "NotRequested" else "another task with this key did the work"
    advice = "set spec.serving.promote of the model to serve it, or apply a task with another idempotencyKey"
    return Promotion("False", "NotRequested", f"{result} was taken over and is not rolled out: {why}; {advice}")


def promotion(
    *,
    wanted: bool,
    result: Result,
    live_version: str | None,
    serving: Serving | None,
    model: EmbeddingModelStatus | None,
) -> Promotion:
    """Decide about a version that was just published.

    Args:
        wanted: the task's deployAsBlue.
        result: what the trainer wrote.
        live_version: what blue served when the lock was taken.
        serving: the model's, as it is now.
        model: the model's status, as it is now.
    """
    if not wanted:
        return Promotion("False", "NotRequested", f"{result.version} is published; deployAsBlue is false")
    if serving is None:
        return Promotion("False", "NoServing", f"{result.version} is published; the model has no spec.serving")
    if serving.rollback_to is not None:
        return Promotion(
            "False",
            "Pinned",
            f"the model stays with {serving.rollback_to} while spec.serving.rollbackTo is set; remove it and run again",
        )
    current = model.current.version if model and model.current else None
    if current == result.version:
        return Promotion("True", "AlreadyCurrent", f"blue serves {result.version} already")
    if current != live_version:
        return Promotion(
            "False",
            "GateStale",
            f"blue served {live_version or 'nothing'} when this run began and serves {current or 'nothing'} now; run"
            " again to be compared with that",
        )
    if result.gate is not None and current is not None and result.gate.against != current:
        return Promotion(
            "False",
            "GateStale",
            f"the trainer compared with {result.gate.against}, and blue serves {current}; run again",
        )
    verdict = gate_verdict(result.gate, serving.gate)
    if verdict.reason == "GatePassed":
        return Promotion("Unknown", "RolloutRequested", verdict.message)
    return Promotion("False", verdict.reason, verdict.message)
