"""Before and after: metrics, and the headline. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bluetune_trainer.report import numbers
from bluetune_trainer.report.content import RunFacts
from bluetune_trainer.report.decision import Decision, decision, measured_on

_ORDER = ("ndcg@10", "mrr@10", "recall@10", "ndcg@10_condensed", "judged@10")


@dataclass(frozen=True)
class Change:
    """A metric before and after."""

    name: str
    before: float
    after: float

    @property
    def delta(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees."""

    decision: Decision
    change: Change
    """Change on this run's sessions."""
    delta: float
    """What was decided by; earlier runs may be in it."""
    measured_on: str


def headline(facts: RunFacts) -> Headline:
    """Headline by what the gate measured; without it, by the validation sessions, which are less trustworthy."""
    decided = decision(facts.gate, facts.plan.gate)
    gate = facts.gate
    if gate is None:
        change = next(c for c in validation_changes(facts) if c.name == facts.objective)
        told = f"{numbers.count(facts.informative[0])} validation sessions, by which the trial was chosen"
        return Headline(decided, change, change.delta, told)
    change = Change(gate.metric, gate.baseline[gate.metric], gate.candidate[gate.metric])
    return Headline(decided, change, gate.delta, measured_on(gate))


def validation_changes(facts: RunFacts) -> list[Change]:
    """On the validation sessions, as the records say."""
    return changes(facts.baseline, facts.best.metrics)


def gate_changes(facts: RunFacts) -> list[Change]:
    """On the gate's queries."""
    return changes(facts.gate.baseline, facts.gate.candidate) if facts.gate is not None else []


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[Change]:
    """Metrics that both have, the usual ones first."""
    found = [Change(name, before[name], after[name]) for name in before if name in after]
    return sorted(found, key=lambda c: (_ORDER.index(c.name) if c.name in _ORDER else len(_ORDER), c.name))


def moved(found: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """The metrics that changed, and those that did not: a recall at 10 of ten results cannot. All moved if none did."""
    still = [change for change in found if change.after == change.before]
    if len(still) == len(found):
        return list(found), []
    return [change for change in found if change not in still], still
