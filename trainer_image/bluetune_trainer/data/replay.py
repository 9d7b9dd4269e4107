"""What trials learn from, where that is not all training sessions alike: newer ones more often, and some old ones."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bluetune_api.base import seconds_of
from bluetune_api.batch_window import BatchSelection
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.types import Sessions, Split, joined


def with_replay(split: Split, old: Sessions, chosen: BatchSelection, seed: int) -> Split:
    """The split with `taught` set: a draw of its training sessions by age, and old sessions to the share asked for.

    Old sessions of a query that validation or gate measure on are left out. The measured sessions are all of `train`,
    `validation` and `gate`, as before: nothing is measured on old sessions, and age changes no measurement.

    Args:
        split: of the new batches.
        old: sessions of the batches that the start version has learned from.
        chosen: the batches, the share and the half-life.
        seed: decides the draw.
    """
    if not chosen.replay and chosen.half_life is None:
        return split
    random = np.random.default_rng([seed, 11])
    measured = {normalised(query) for part in (split.validation, split.gate) for query in part.queries}
    old = old.subset(np.flatnonzero([normalised(query) not in measured for query in old.queries]))
    parts = (split.train, split.validation, split.gate, old)
    newest = max((float(part.created.max()) for part in parts if len(part.created)), default=0.0)
    new = split.train.subset(_drawn(split.train, newest, chosen.half_life, random))
    if not len(new):
        new = split.train
    old = old.subset(_drawn(old, newest, chosen.half_life, random))
    share = chosen.replay_share or 0.0
    wanted = min(round(len(new) * share / (1 - share)), len(old))
    picked = np.sort(random.permutation(len(old))[:wanted])
    return replace(split, taught=joined(new, old.subset(picked)))


def _drawn(sessions: Sessions, newest: float, half_life: str | None, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the sessions that are used: each with a chance of one half to the power of its age in half-lives."""
    if half_life is None or not len(sessions.created):
        return np.arange(len(sessions))
    age = np.maximum(newest - sessions.created, 0.0)
    return np.flatnonzero(random.random(len(sessions)) < 0.5 ** (age / seconds_of(half_life)))
