"""How small a gain the gate will see by a batch, before anything is trained."""

import math
from dataclasses import dataclass, field

from bluetune_api.model import Gate
from bluetune_trainer.data.splits import informative_queries
from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.evidence.power import QUERY_NOISE, queries_for, smallest_gain

USUAL_GAIN = 0.05
"""Usual gain in NDCG@10. A gate that cannot see this gain leaves most trainings undecided."""


@dataclass(frozen=True)
class Sight:
    """What the gate can see."""

    smallest_gain: float | None = None
    """Minimum gain that the gate can see, in NDCG@10; None where clicks do not decide or no interval is asked for."""
    notes: list[str] = field(default_factory=list)


def sight_of(split: Split, gate: Gate) -> Sight:
    """What the gate can see with the queries that it compares on: those held out, or those of the folds."""
    every = sum(informative_queries(part) for part in (split.train, split.validation, split.gate))
    if gate.judgments is not None or not gate.confidence or not every:
        return Sight()
    compared = _compared(split, gate)
    if compared is None:
        return Sight(
            notes=[
                f"{every} different queries have clicks that say something, too few to hold some out, and gate.folds is"
                f" {gate.folds}: the gate has nothing to decide by; set gate.folds to 2 or more, or name gate.judgments"
            ]
        )
    queries = informative_queries(compared)
    if not queries:
        return Sight()
    above = smallest_gain(queries, gate.confidence)
    gain = gate.min_delta + above
    if above <= USUAL_GAIN:
        return Sight(round(gain, 4))
    enough = math.ceil(queries_for(USUAL_GAIN, QUERY_NOISE, 1, gate.confidence) * every / queries)
    return Sight(
        round(gain, 4),
        [
            f"the gate compares on {queries} different queries, by which it sees a gain of {gain:.3f} in NDCG@10 four"
            " times in five; smaller ones mostly stay undecided. Clicks on more different queries help (a batch with"
            f" about {enough} of them for {gate.min_delta + USUAL_GAIN:g}), or gate.judgments; more sessions of the"
            " same queries do not"
        ],
    )


def _compared(split: Split, gate: Gate) -> Sessions | None:
    if len(split.gate):
        return split.gate
    return split.train if gate.folds > 1 else None
