"""What the gate decided by, as a reader is told it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bluetune_api.model import Gate
from bluetune_api.records import GateReport
from bluetune_trainer.evidence.power import seen_with
from bluetune_trainer.report import numbers


@dataclass(frozen=True)
class Fact:
    """A name, what it is, and an aside."""

    name: str
    told: str
    aside: str = ""


def facts_of(report: GateReport, gate: Gate) -> Sequence[Fact]:
    """What was compared, how sure it is, and what would decide."""
    found = [Fact("compared with", report.against, "the live version"), *_compared(report)]
    asked = f"a gain above {numbers.change(gate.min_delta)}" if gate.min_delta else "any gain"
    found.append(Fact("asked for", asked, _sureness(gate)))
    found.extend(_run(report))
    reach = max(((judge.high - judge.low) / 2 for judge in report.judges), default=0.0)
    if report.risk and reach > 0:
        smallest = gate.min_delta + seen_with(reach, report.risk)
        found.append(Fact("smallest gain seen", numbers.change(smallest), "passes four times in five"))
    if report.queries_needed and report.queries and report.queries_needed > report.queries:
        needed = f"about {numbers.count(report.queries_needed)} different queries"
        found.append(Fact("would decide", needed, "for a gain as large as this one"))
    return found


def interval_words(report: GateReport) -> str:
    """What the interval means: one sentence or two."""
    if report.risk is None or report.low is None or report.high is None:
        return ""
    ends = f"from {numbers.change(report.low)} to {numbers.change(report.high)}"
    of = "of both judges" if len(report.judges) > 1 else "of the judge"
    agree = "; both must see the gain" if len(report.judges) > 1 else ""
    return (
        f"The intervals {of} reach {ends}, with a risk of {numbers.risk(report.risk)} at each end{agree}. All runs"
        f" against this live version share a risk of {numbers.risk(1 - report.confidence)}: no more often than that"
        " does any of them pass without being better."
    )


def _compared(report: GateReport) -> list[Fact]:
    if report.source == "Judgments":
        return [Fact("judged queries", numbers.count(report.sessions), "the whole catalogue was ranked")]
    found = []
    if report.queries is not None:
        aside = f"in {numbers.count(report.sessions)} sessions with a click and a result that was passed over"
        found.append(Fact("different queries", numbers.count(report.queries), aside))
    if report.folds:
        how, aside = f"{report.folds} folds", "for each, a training that did not see its queries; nothing is held out"
    else:
        how, aside = "held out", "no training saw these queries"
    return [*found, Fact("how", how, aside)]


def _sureness(gate: Gate) -> str:
    if not gate.confidence:
        return "the mean alone decides; noise passes every other time"
    return f"at confidence {gate.confidence:g}"


def _run(report: GateReport) -> list[Fact]:
    counted = f"evidence of {report.earlier_runs} earlier counts" if report.earlier_runs else ""
    if report.attempt == 1:
        return [Fact("run", "the first against this version")]
    return [Fact("run", f"no. {report.attempt} against this version", counted or "none of the earlier counts")]
