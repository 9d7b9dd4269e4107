"""What the gate decided, in words: a report, a model's terminal and the operator say the same. Pure."""

from dataclasses import dataclass
from typing import Literal

from bluetune_api.gate_verdict import GateVerdict, gate_verdict
from bluetune_api.model import Gate
from bluetune_api.records import GateReport, JudgeName
from bluetune_trainer.report import numbers

Tone = Literal["good", "bad", "open"]
JUDGES: dict[JudgeName, str] = {
    "Local": "clicks, local judge",
    "Symmetric": "clicks, symmetric judge",
    "People": "people's judgments",
}


@dataclass(frozen=True)
class Decision:
    """The gate's answer."""

    title: str
    """In a few words; it claims no more than the verdict."""
    tone: Tone
    verdict: GateVerdict


def decision(report: GateReport | None, gate: Gate) -> Decision:
    """The answer to what was measured (None: nothing), by what the gate asks for."""
    verdict = gate_verdict(report, gate)
    if verdict.reason == "GatePassed":
        sure = report is not None and report.low is not None and report.low > 0
        # a negative minDelta, or no confidence, lets pass what nobody calls better
        title, tone = ("Better", "good") if sure else ("Passes the gate, and may be no better", "open")
    elif verdict.reason == "GateNotPassed":
        gained = report is not None and 0 < report.delta <= gate.min_delta
        title, tone = ("Not better by as much as is asked for" if gained else "Not better"), "bad"
    elif verdict.reason == "GateUndecided":
        title, tone = "Undecided", "open"
    elif verdict.reason == "GateGuarded":
        title, tone = "Refused by a guard", "bad"
    else:
        title, tone = "Not measured", "open"
    return Decision(title, tone, verdict)  # type: ignore[arg-type]


def tone_of(delta: float, low: float | None, asked: float) -> Tone:
    """What one interval says by itself of more than `asked`."""
    if delta <= asked:
        return "bad"
    return "good" if low is not None and low > asked else "open"


def measured_on(report: GateReport) -> str:
    """What two versions were compared on."""
    sessions = numbers.count(report.sessions)
    if report.source == "Judgments":
        return f"{sessions} judged queries"
    queries = f" of {numbers.count(report.queries)} different queries" if report.queries is not None else ""
    if report.folds:
        return f"{sessions} sessions{queries}, each compared by one of {report.folds} trainings that did not see it"
    return f"{sessions} held-out sessions{queries} that no training saw"
