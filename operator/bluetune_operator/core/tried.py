"""What a run depends on, so that one that came to nothing is not repeated: it would learn the same again."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bluetune_api.plans import CompleteBatch, select_batch
from bluetune_api.reasons import Reason

TRIED: frozenset[Reason] = frozenset(
    {"GateNotPassed", "GateUndecided", "GateGuarded", "GateNotMeasured", "NotRequested", "NoServing"}
)
"""How a run ends that would end so again. Not when production moved, stayed pinned, or a rollout failed meanwhile."""


@dataclass(frozen=True)
class Recipe:
    """What a run's result depends on, but for the batch and the catalogue."""

    start_version: str
    live_version: str | None
    method_digest: str
    """Of what a run takes from its method, with the task's overrides."""
    model_digest: str
    """Of what a run takes from its model."""
    deploy: bool
    """Whether a version that passes the gate goes into production."""

    def digest(self, batch_id: str) -> str:
        """sha256 of the recipe and a batch."""
        parts = [self.start_version, self.live_version, self.method_digest, self.model_digest, self.deploy, batch_id]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def digests(self, batch_id: str) -> list[str]:
        """Digests of the runs that make one by this recipe vain: one that would have gone into production, too."""
        asked = Recipe(self.start_version, self.live_version, self.method_digest, self.model_digest, deploy=True)
        return list(dict.fromkeys((self.digest(batch_id), asked.digest(batch_id))))


@dataclass(frozen=True)
class BatchChoice:
    """The batch that a run takes."""

    batch_id: str | None
    """None: there is none to take."""
    tried: tuple[str, str] | None = None
    """If there is none: the newest batch that was tried by the same recipe, and the digest of its record."""


def choose_batch(
    batches: Iterable[CompleteBatch], lineage: Collection[str], recipe: Recipe | None, tried: Collection[str]
) -> BatchChoice:
    """The newest batch that is neither learned from nor tried.

    Args:
        batches: the complete ones.
        lineage: ids that the start version has learned from.
        recipe: of the run; None if its method is not known.
        tried: digests of the records of what was tried from the start version.
    """
    before: dict[str, str] = {}
    untried = []
    batches = list(batches)
    for batch in batches:
        digests = recipe.digests(batch.batch_id) if recipe is not None and tried else []
        record = next((digest for digest in digests if digest in tried), None)
        if record is None:
            untried.append(batch)
        else:
            before[batch.batch_id] = record
    chosen = select_batch(untried, lineage)
    if chosen is not None:
        return BatchChoice(chosen)
    newest = select_batch((batch for batch in batches if batch.batch_id in before), lineage)
    return BatchChoice(None, (newest, before[newest]) if newest is not None else None)
