"""Train, validation and gate by a hash of the query: the same in every run on a batch, and no query on two sides."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.measurable import informative
from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.errors import PluginFailed

VALIDATION_SHARE = 0.1
HELD_OUT_SHARE = 0.2
"""Share of the queries that is held out for the gate, if those are enough."""
ENOUGH_HELD_OUT = 100
"""Different queries that a hold-out must have: with fewer, trainings that leave out a fold each judge all queries."""


def normalised(query: str) -> str:
    """The query without what does not change its meaning: case and white space."""
    return " ".join(query.casefold().split())


def place(query: str, salt: str = "") -> float:
    """Where a query lies in [0, 1): anywhere else for another salt."""
    text = normalised(query)
    hashed = blake2b(f"{salt}\n{text}".encode() if salt else text.encode(), digest_size=8)
    return int.from_bytes(hashed.digest(), "big") / 2**64


def split(sessions: Sessions, salt: str = "", *, hold_out: bool = True) -> Split:
    """By query: a tenth for validation, a fifth for the gate if that has enough different queries, the rest to train.

    Where it has not, nothing is held out: the gate is then decided by cross-fitting over the training queries.

    Args:
        salt: another one for each batch, so that no query is kept from learning for good.
        hold_out: whether the gate needs any; not if it decides by judgments.
    """
    places = {query: place(query, salt) for query in set(sessions.queries)}
    where: NDArray[np.float64] = np.array([places[query] for query in sessions.queries], np.float64)
    held_out = held_out_share(sessions) if hold_out else 0.0

    def between(low: float, high: float) -> Sessions:
        return sessions.subset(np.flatnonzero((where >= low) & (where < high)))

    return Split(
        train=between(0.0, 1 - VALIDATION_SHARE - held_out),
        validation=between(1 - VALIDATION_SHARE - held_out, 1 - held_out),
        gate=between(1 - held_out, 1.1),
    )


def held_out_share(sessions: Sessions) -> float:
    """What share of the queries the gate needs; 0 where that would be too few different ones."""
    return HELD_OUT_SHARE if informative_queries(sessions) * HELD_OUT_SHARE >= ENOUGH_HELD_OUT else 0.0


def folds_of(queries: Sequence[str], folds: int) -> NDArray[np.int64]:
    """[n] number of the fold, from 0, that each query is left out with; the same for each way of writing it."""
    number = {query: min(int(place(query, "fold") * folds), folds - 1) for query in set(queries)}
    return np.array([number[query] for query in queries], np.int64)


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
    """How many of them say something."""
    return int(informative(sessions).sum())


def informative_queries(sessions: Sessions) -> int:
    """How many different queries the sessions that say something ask."""
    return len({normalised(sessions.queries[i]) for i in np.flatnonzero(informative(sessions)).tolist()})


def _clicks(sessions: Sessions) -> NDArray[np.int64]:
    """[n] clicked results of each."""
    total = np.concatenate([[0], np.cumsum(sessions.clicked, dtype=np.int64)])
    return np.asarray(total[sessions.offsets[1:]] - total[sessions.offsets[:-1]])
