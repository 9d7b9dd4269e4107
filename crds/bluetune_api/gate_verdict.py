"""May a version pass the gate? One pure function, so that the trainer's report and the operator cannot disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bluetune_api.model import Gate
from bluetune_api.records import GateGuard, GateReport

MIN_QUERIES = 10
"""Minimum number of queries for an interval. Of n queries without any difference, all agree by chance once in
2^(n-1) times; below about ten an interval holds the mean less often than it says (B. Efron, R. Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13)."""
NAMED_GUARDS = 3
"""Failed guards that a message quotes."""
WHAT_TO_DO = {
    "Agreement": "if another ranking is wanted, lower spec.serving.gate.minAgreement",
    "Forgetting": "train with phrases_per_session or lower rates, or raise spec.serving.gate.maxForgetting",
    "Slice": "give these queries more sessions, or judge them (spec.serving.gate.judgments)",
    "Query": "if the new results are right, change the query's entry in spec.serving.gate.guards",
}
"""What a failed guard says, by its kind."""


@dataclass(frozen=True)
class GateVerdict:
    """The answer, with what was measured."""

    reason: Literal["GatePassed", "GateGuarded", "GateNotPassed", "GateUndecided", "GateNotMeasured", "GateStale"]
    message: str


def gate_verdict(report: GateReport | None, gate: Gate) -> GateVerdict:
    """Judge what the trainer measured (None: nothing) by what the gate asks for now.

    Three answers: better (GatePassed), not better (GateNotPassed), and a gain that may be chance (GateUndecided). A
    guard that failed refuses also what is better (GateGuarded).
    """
    if report is None:
        return GateVerdict("GateNotMeasured", "the trainer measured nothing for the gate; see its report")
    if report.metric != gate.metric:
        return GateVerdict(
            "GateStale",
            f"the trainer compared by {report.metric}, and spec.serving.gate.metric is {gate.metric} now; run again",
        )
    asked = gate.min_delta
    said = _said(report)
    failed = [guard for guard in report.guards if guard.passed is False]
    if failed:
        return GateVerdict("GateGuarded", f"{said}; {_refused_by(failed)}")
    own = report.delta if report.own_delta is None else report.own_delta
    if report.delta <= asked:
        return GateVerdict("GateNotPassed", f"{said}; more than {asked:+.4f} is asked for")
    if own <= asked:
        return GateVerdict(
            "GateNotPassed",
            f"{said}, with earlier runs; this version's own sessions say {own:+.4f}, and more than {asked:+.4f} is"
            " asked for",
        )
    if gate.confidence > 0:
        if report.low is None:
            return GateVerdict("GateNotMeasured", f"{said}; the trainer gave no interval")
        if report.confidence != gate.confidence:
            return GateVerdict(
                "GateStale",
                f"{said}; measured at confidence {report.confidence:g}, and spec.serving.gate.confidence is"
                f" {gate.confidence:g} now; run again",
            )
        if report.queries is not None and report.queries < MIN_QUERIES:
            return GateVerdict(
                "GateNotMeasured",
                f"{said}; too few to tell a gain from chance: at least {MIN_QUERIES} different queries are needed;"
                " collect clicks on more of them, or name spec.serving.gate.judgments",
            )
        said += f" (at least {report.low:+.4f} at confidence {gate.confidence:g}{_tries(report)})"
        # an interval that begins at minDelta is that of a candidate which ranks nearly all queries as before
        if report.low <= asked:
            return GateVerdict("GateUndecided", f"{said}; more than {asked:+.4f} is asked for, so this may be chance"
                               f"{_what_decides(report)}")  # fmt: skip
    return GateVerdict("GatePassed", said)


def _said(report: GateReport) -> str:
    if report.source == "Judgments":
        numbers = f"{_number(report.candidate, report.metric)} against {_number(report.baseline, report.metric)} of"
        return f"{report.metric} on {report.sessions} judged queries: {numbers} {report.against}, {report.delta:+.4f}"
    how = f" by {report.folds}-fold cross-fitting" if report.folds else ""
    queries = f" of {report.queries} queries" if report.queries is not None else ""
    return (
        f"{report.metric} as clicks in {report.sessions} sessions{queries} tell it{how}: {report.delta:+.4f} against"
        f" {report.against}"
    )


def _refused_by(failed: Sequence[GateGuard]) -> str:
    named = "; ".join(f"{guard.name}: {guard.detail}" for guard in failed[:NAMED_GUARDS])
    more = f"; and {len(failed) - NAMED_GUARDS} more" if len(failed) > NAMED_GUARDS else ""
    advice = "; ".join(dict.fromkeys(WHAT_TO_DO[guard.kind] for guard in failed))
    which = "a guard refuses it" if len(failed) == 1 else f"{len(failed)} guards refuse it"
    return f"{which}: {named}{more}. What to do: {advice}; then run again"


def _tries(report: GateReport) -> str:
    if report.attempt == 1:
        return ""
    more = f", {report.earlier_runs} earlier runs counted in" if report.earlier_runs else ""
    return f", as run {report.attempt} against this version{more}"


def _what_decides(report: GateReport) -> str:
    needed = report.queries_needed
    if needed is None or report.queries is None or needed <= report.queries:
        return ""
    what = "judged queries" if report.source == "Judgments" else "different queries with clicks"
    kept = "" if report.source == "Judgments" else "; what this run found out counts in the next one"
    return f"; a gain like this shows with about {needed:,} {what}{kept}"


def _number(metrics: dict[str, float], metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metric in metrics else "?"
