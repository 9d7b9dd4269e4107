"""May a version pass the gate? One pure function, so that the trainer's report and the operator cannot disagree."""

from dataclasses import dataclass
from typing import Literal

from bluetune_api.model import Gate
from bluetune_api.records import GateReport

FEWEST_QUERIES = 10
"""For an interval. Of n queries without any difference, all agree by chance once in 2^(n-1) times; below about ten the
percentile interval holds the mean less often than it says (B. Efron, R. Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13)."""


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
        f"{report.metric} on {report.sessions} {_units(report)}:"
        f" {_number(report.candidate, report.metric)} against {_number(report.baseline, report.metric)} of"
        f" {report.against}, {report.delta:+.4f}"
    )
    if report.delta <= asked:
        return GateVerdict("GateNotPassed", f"{said}; more than {asked:+.4f} is asked for")
    if gate.confidence > 0:
        if report.low is None:
            return GateVerdict("GateNotMeasured", f"{said}; the trainer gave no interval")
        if report.confidence != gate.confidence:
            return GateVerdict(
                "GateStale",
                f"{said}; measured at confidence {report.confidence:g}, and spec.serving.gate.confidence is"
                f" {gate.confidence:g} now; run again",
            )
        if report.queries is not None and report.queries < FEWEST_QUERIES:
            return GateVerdict(
                "GateNotMeasured",
                f"{said}; too few to tell a gain from chance: at least {FEWEST_QUERIES} different queries are needed;"
                " train on more sessions, or name spec.serving.gate.judgments",
            )
        said += f" (interval at {gate.confidence:g} from {report.low:+.4f})"
        # an interval that begins at minDelta is that of a candidate which ranks nearly all queries as before
        if report.low <= asked:
            more = "more judged queries" if report.source == "Judgments" else "clicks on more different queries"
            return GateVerdict(
                "GateNotPassed", f"{said}; it must lie above {asked:+.4f}, so this may be chance: {more} tell"
            )
    return GateVerdict("GatePassed", said)


def _units(report: GateReport) -> str:
    if report.source == "Judgments":
        return "judged queries"
    return "held-out sessions" + (f" of {report.queries} queries" if report.queries is not None else "")


def _number(metrics: dict[str, float], metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metric in metrics else "?"
