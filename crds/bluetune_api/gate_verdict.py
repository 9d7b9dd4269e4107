"""May a version pass the gate? One pure function, so that the trainer's report and the operator cannot disagree."""

from dataclasses import dataclass
from typing import Literal

from bluetune_api.model import Gate
from bluetune_api.records import GateReport


@dataclass(frozen=True)
class GateVerdict:
    """The answer, with what was measured."""

    reason: Literal["GatePassed", "GateNotPassed", "GateNotMeasured", "GateStale"]
    message: str


def gate_verdict(report: GateReport | None, gate: Gate) -> GateVerdict:
    """Judge what the trainer measured (None: nothing) by what the gate asks for now."""
    if report is None:
        return GateVerdict("GateNotMeasured", "the trainer measured nothing for the gate; see its report")
    if report.metric != gate.metric:
        return GateVerdict(
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
        return GateVerdict("GateNotPassed", f"{said}; at least {asked:+.4f} is asked for")
    if gate.confidence is not None:
        if report.low is None or report.confidence != gate.confidence:
            return GateVerdict("GateNotMeasured", f"{said}; no interval at confidence {gate.confidence}")
        if report.low < asked:
            return GateVerdict(
                "GateNotPassed",
                f"{said}; the {gate.confidence:.0%} interval begins at {report.low:+.4f}, below {asked:+.4f}",
            )
    return GateVerdict("GatePassed", said)


def _number(metrics: dict[str, float], metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metric in metrics else "?"
