"""Sessions as people might click them: several models of clicking, and several loggers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from semanlink.clicks import EXAMINATION

from bluetune_trainer.evidence.observations import Log

Clicks = Literal["position", "trust", "cascade", "dbn", "graded", "abandon"]
CLICKS: tuple[Clicks, ...] = ("position", "trust", "cascade", "dbn", "graded", "abandon")
NOISY_CLICK = 0.1
BEST = 100


@dataclass(frozen=True)
class Logger:
    """Who ranks what is shown."""

    name: str
    share: float
    """Of the sessions that the other ranker made; the live version made the others."""
    noise: float
    """Added to scores, in standard deviations of the best hundred."""


LOGGERS = (
    Logger("half", 0.5, 0.5),
    Logger("tenth", 0.1, 0.5),
    Logger("live", 0.0, 0.5),
    Logger("live, no noise", 0.0, 0.0),
)


def shown(
    live: NDArray[np.float32],
    other: NDArray[np.float32],
    query: NDArray[np.int64],
    logger: Logger,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """[S, 10] documents, best first. `live`, `other`: [Q, N] scores; `query`: S positions."""
    by_other = random.random(len(query)) < logger.share
    results = np.empty((len(query), 10), np.int64)
    for scores, rows in ((live, np.flatnonzero(~by_other)), (other, np.flatnonzero(by_other))):
        asked, back = np.unique(query[rows], return_inverse=True)
        best = np.argpartition(-scores[asked], BEST, axis=1)[:, :BEST]
        values = np.take_along_axis(scores[asked], best, 1)[back].astype(float)
        best = best[back]
        values += random.normal(size=values.shape) * logger.noise * values.std(1, keepdims=True)
        order = np.argsort(-values, axis=1, kind="stable")[:, :10]
        results[rows] = np.take_along_axis(best, order, 1)
    return results


def clicked(grades: NDArray[np.float32], model: Clicks, random: np.random.Generator) -> NDArray[np.bool_]:
    """[S, 10] grades of the results shown to whether each was clicked."""
    relevance = grades if model == "graded" else (grades > 0).astype(float)
    attraction = NOISY_CLICK + (1 - NOISY_CLICK) * relevance
    draw = random.random(grades.shape)
    if model in ("position", "graded", "trust", "abandon"):
        looked = random.random(grades.shape) < EXAMINATION
        if model == "trust":  # what stands high is believed to be good
            attraction = np.maximum(attraction, np.where(relevance > 0, 1.0, 0.35 / (1 + np.arange(10))))
        if model == "abandon":  # people leave at any place
            leaves = random.geometric(0.15, size=(len(grades), 1))
            looked &= np.arange(10)[None, :] < leaves
        return looked & (draw < attraction)
    satisfied = 0.9 if model == "cascade" else 0.5
    goes_on = 1.0 if model == "cascade" else 0.85
    alive = np.ones(len(grades), bool)
    clicks = np.zeros(grades.shape, bool)
    for place in range(grades.shape[1]):
        clicks[:, place] = alive & (draw[:, place] < attraction[:, place])
        happy = clicks[:, place] & (random.random(len(grades)) < satisfied * np.maximum(relevance[:, place], 0.3))
        alive &= ~happy & (random.random(len(grades)) < goes_on)
    return clicks


def log(
    live: NDArray[np.float32],
    other: NDArray[np.float32],
    grades: NDArray[np.float32],
    sessions: int,
    logger: Logger,
    clicks: Clicks,
    random: np.random.Generator,
) -> tuple[Log, NDArray[np.int64]]:
    """`sessions` sessions with a click and an unclicked result, each query as often; and the documents shown."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    count = 0
    while count < sessions:
        query = random.permutation(len(grades))
        results = shown(live, other, query, logger, random)
        where = clicked(grades[query[:, None], results], clicks, random)
        keep = where.any(1) & ~where.all(1)
        found.append((query[keep], results[keep], where[keep]))
        count += int(keep.sum())
    query, results, where = (np.concatenate([part[i] for part in found]) for i in range(3))
    some = random.permutation(len(query))[:sessions]
    query, results, where = query[some], results[some], where[some]
    pool, document = np.unique(results, return_inverse=True)
    places = np.broadcast_to(np.arange(10), results.shape)
    return (
        Log(
            np.repeat(query, 10),
            places.ravel().copy(),
            where.ravel().astype(float),
            document.reshape(-1),
            np.repeat(np.arange(len(query)), 10),
        ),
        pool,
    )
