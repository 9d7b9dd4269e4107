"""Before and after: metrics with intervals, the headline, and what the gate makes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bluetune_api.gate_verdict import GateVerdict, gate_verdict
from bluetune_trainer.report import numbers
from bluetune_trainer.report.content import RunFacts
from bluetune_trainer.search.evidence import DEFAULT_CONFIDENCE, bootstrap_interval

_ORDER = ("ndcg@10", "mrr@10", "recall@10", "ndcg@10_condensed", "judged@10")
Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Change:
    """A metric before and after."""

    name: str
    before: float
    after: float
    low: float | None = None
    """The difference's paired bootstrap interval; None where it has none by query."""
    high: float | None = None

    @property
    def delta(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees."""

    title: str
    tone: Tone
    change: Change
    measured_on: str
    verdict: GateVerdict
    verdict_title: str


def confidence(facts: RunFacts) -> float:
    """Level of the intervals."""
    return facts.gate.confidence if facts.gate else facts.plan.gate.confidence or DEFAULT_CONFIDENCE


def validation_changes(facts: RunFacts) -> list[Change]:
    """On the validation sessions, as the records say."""
    return changes(facts.baseline, facts.best.metrics)


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[Change]:
    """Metrics that both have, the usual ones first."""
    return _ordered([Change(name, before[name], after[name]) for name in before if name in after])


def held_out_changes(facts: RunFacts) -> list[Change]:
    """On the gate's queries, with intervals for all that is measured by query."""
    if facts.gate is None or facts.evidence is None:
        return []
    intervals = _intervals(facts)
    before, after = facts.gate.baseline, facts.gate.candidate
    found = []
    for name in (name for name in before if name in after):
        low, high = intervals.get(name, (None, None))
        if name == facts.gate.metric:
            low, high = facts.gate.low, facts.gate.high
        found.append(Change(name, before[name], after[name], low, high))
    return _ordered(found)


def headline(facts: RunFacts) -> Headline:
    """Judged on the gate's queries; without any, on the validation sessions, which cannot be trusted as much."""
    verdict = gate_verdict(facts.gate, facts.plan.gate)
    verdict_title = {
        "GatePassed": "Passes the gate",
        "GateNotPassed": "Does not pass the gate",
        "GateGuarded": "Refused by a guard of the gate",
    }.get(verdict.reason, "Gate not measured")
    if facts.gate is None:
        change = next(c for c in validation_changes(facts) if c.name == facts.objective)
        title = "Better on validation, not confirmed" if change.delta > 0 else "No better than before"
        sessions = facts.informative[0]
        measured_on = f"{numbers.count(sessions)} validation sessions, by which the trial was chosen"
        return Headline(title, "open" if change.delta > 0 else "bad", change, measured_on, verdict, verdict_title)
    gate = facts.gate
    change = Change(gate.metric, gate.baseline[gate.metric], gate.candidate[gate.metric], gate.low, gate.high)
    title, tone = judgement(gate.delta, gate.low, gate.high)
    what = "judged queries" if gate.source == "Judgments" else "held-out sessions that no trial saw"
    return Headline(title, tone, change, f"{numbers.count(gate.sessions)} {what}", verdict, verdict_title)


def judgement(delta: float, low: float | None, high: float | None) -> tuple[str, Tone]:
    """A difference with its interval, in words."""
    if round(delta, 4) == 0:
        return "No change", "open"
    if low is not None and low > 0:
        return "Better", "good"
    if high is not None and high < 0:
        return "Worse", "bad"
    return ("Better, but it may be chance", "open") if delta > 0 else ("Worse, but it may be chance", "open")


def _intervals(facts: RunFacts) -> dict[str, tuple[float, float]]:
    assert facts.evidence is not None  # noqa: S101 - the caller looked
    before, after = facts.evidence.before.metrics, facts.evidence.after.metrics
    return {
        name: bootstrap_interval(after[name] - values, facts.evidence.queries, confidence(facts), facts.seed)
        for name, values in before.items()
        if name in after and len(values)
    }


def _ordered(changes: list[Change]) -> list[Change]:
    return sorted(changes, key=lambda c: (_ORDER.index(c.name) if c.name in _ORDER else len(_ORDER), c.name))
