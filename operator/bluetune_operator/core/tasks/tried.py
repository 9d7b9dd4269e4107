"""What a run depends on, so that one that came to nothing is not repeated: it would learn the same again."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bluetune_api.batch_window import Batches, BatchSelection, CompleteBatch, Window, selection
from bluetune_api.plans import select_batch
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
    """Digest of what a run takes from its method, with the task's overrides."""
    model_digest: str
    """Digest of what a run takes from its model."""
    deploy: bool
    """Whether a version that passes the gate goes into production."""
    window: tuple[float | None, str | None] | None = None
    """Share that is replayed and half-life of sessions, where one of them is asked for."""

    def digest(self, batch_id: str) -> str:
        """sha256 of the recipe and a batch."""
        parts: list[object] = [self.start_version, self.live_version, self.method_digest, self.model_digest]
        parts += [self.deploy, batch_id, *(self.window or ())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def digests(self, batch_id: str) -> list[str]:
        """Digests of the runs that make one by this recipe vain: one that would have gone into production, too."""
        asked = replace(self, deploy=True)
        return list(dict.fromkeys((self.digest(batch_id), asked.digest(batch_id))))


@dataclass(frozen=True)
class BatchChoice:
    """The batch that a run takes."""

    batch_id: str | None
    """None: there is none to take."""
    batches: BatchSelection | None = None
    """All of them, where the task asks for several."""
    tried: tuple[str, str] | None = None
    """If there is none: the newest batch that was tried by the same recipe, and the digest of its record."""


def choose_batches(found: Window, asked: Batches, recipe: Recipe | None, tried: Collection[str]) -> BatchChoice:
    """All new batches of a window, if one of them was not tried: what comes later is learned with those that were.

    Args:
        found: the window.
        asked: what it was made from.
        recipe: of the run; None if its method is not known.
        tried: digests of the records of what was tried from the start version.
    """
    records = {batch: _record(batch, recipe, tried) for batch in found.new}
    if not records or None not in records.values():
        newest = next(((batch, record) for batch, record in records.items() if record is not None), None)
        return BatchChoice(None, tried=newest)
    return BatchChoice(found.new[0], selection(found, asked))


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
        record = _record(batch.batch_id, recipe, tried)
        if record is None:
            untried.append(batch)
        else:
            before[batch.batch_id] = record
    chosen = select_batch(untried, lineage)
    if chosen is not None:
        return BatchChoice(chosen)
    newest = select_batch((batch for batch in batches if batch.batch_id in before), lineage)
    return BatchChoice(None, tried=(newest, before[newest]) if newest is not None else None)


def _record(batch_id: str, recipe: Recipe | None, tried: Collection[str]) -> str | None:
    """Digest of the record that says that a batch was tried; None if it was not."""
    digests = recipe.digests(batch_id) if recipe is not None and tried else []
    return next((digest for digest in digests if digest in tried), None)
