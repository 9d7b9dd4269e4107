"""Train, validation and gate by a hash of the query: the same in every run, and no query on two sides."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.errors import PluginFailed

TRAIN_UNTIL, VALIDATION_UNTIL = 0.8, 0.9


def normalised(query: str) -> str:
    """The query without what does not change its meaning: case and white space."""
    return " ".join(query.casefold().split())


def place(query: str) -> float:
    """Where a query lies in [0, 1)."""
    return int.from_bytes(blake2b(normalised(query).encode(), digest_size=8).digest(), "big") / 2**64


def split(sessions: Sessions) -> Split:
    """80/10/10 of the queries."""
    places = {query: place(query) for query in set(sessions.queries)}
    where: NDArray[np.float64] = np.array([places[query] for query in sessions.queries], np.float64)

    def between(low: float, high: float) -> Sessions:
        return sessions.subset(np.flatnonzero((where >= low) & (where < high)))

    return Split(
        train=between(0.0, TRAIN_UNTIL),
        validation=between(TRAIN_UNTIL, VALIDATION_UNTIL),
        gate=between(VALIDATION_UNTIL, 1.1),
    )


def checked_split(made: object) -> Split:
    """What a plugin's `split` returned, if it is a split. Raises PluginFailed saying what is wrong with it."""
    if not isinstance(made, Split):
        raise PluginFailed(f"split must return a Split or None, it returned {type(made).__name__}")
    for name in ("train", "validation", "gate"):
        part = getattr(made, name)
        if not isinstance(part, Sessions):
            raise PluginFailed(f"split: {name} must be Sessions, made with sessions.subset, not {type(part).__name__}")
        total = int(part.offsets[-1]) if len(part.offsets) == len(part.queries) + 1 else -1
        if total != len(part.items) or total != len(part.clicked) or len(part.gains) not in (0, total):
            raise PluginFailed(f"split: the columns of {name} do not fit each other; make it with sessions.subset")
    return made


def clicked_sessions(sessions: Sessions) -> int:
    """How many of them have a click."""
    return int((_clicks(sessions) > 0).sum())


def informative_sessions(sessions: Sessions) -> int:
    """How many of them have a click and a result that was passed over: any other is ranked right by every model."""
    clicks = _clicks(sessions)
    return int(((clicks > 0) & (clicks < np.diff(sessions.offsets))).sum())


def _clicks(sessions: Sessions) -> NDArray[np.int64]:
    """[n] clicked results of each; no session is empty."""
    if not len(sessions.items):
        return np.zeros(0, np.int64)
    return np.add.reduceat(sessions.clicked, sessions.offsets[:-1], dtype=np.int64)
