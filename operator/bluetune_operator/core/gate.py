"""May a new version go into production? One pure function of what the trainer measured."""

from dataclasses import dataclass
from typing import Literal

from bluetune_api.model import EmbeddingModelStatus, Serving
from bluetune_api.records import Result


@dataclass(frozen=True)
class Promotion:
    """The answer: `Promoted`'s status, reason and message. Unknown is: roll it out."""

    promoted: Literal["True", "False", "Unknown"]
    reason: str
    message: str


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
    return _judged(result, serving)


def _judged(result: Result, serving: Serving) -> Promotion:
    report, gate = result.gate, serving.gate
    if report is None:
        return Promotion("False", "GateNotMeasured", "the trainer measured nothing for the gate; see its report")
    if report.metric != gate.metric:
        return Promotion(
            "False",
            "GateStale",
            f"the trainer compared by {report.metric}, and spec.serving.gate.metric is {gate.metric} now; run again",
        )
    asked = gate.min_delta
    said = (
        f"{report.metric} on {report.sessions} held-out {'queries' if report.source == 'Judgments' else 'sessions'}:"
        f" {_number(report.candidate, report.metric)} against {_number(report.baseline, report.metric)} of"
        f" {report.against}, {report.delta:+.4f}"
    )
    if report.delta < asked:
        return Promotion("False", "GateNotPassed", f"{said}; at least {asked:+.4f} is asked for")
    if gate.confidence is not None:
        if report.low is None or report.confidence != gate.confidence:
            return Promotion("False", "GateNotMeasured", f"{said}; no interval at confidence {gate.confidence}")
        if report.low < asked:
            return Promotion(
                "False",
                "GateNotPassed",
                f"{said}; the {gate.confidence:.0%} interval begins at {report.low:+.4f}, below {asked:+.4f}",
            )
    return Promotion("Unknown", "RolloutRequested", said)


def _number(metrics: dict[str, float], metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metric in metrics else "?"
