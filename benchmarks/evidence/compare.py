"""What the gate's judges say about each candidate by each simulated log, beside the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bluetune_trainer.evidence.examination import Examined, examination
from bluetune_trainer.evidence.judges import CLICK_JUDGES, estimate, moments
from bluetune_trainer.evidence.observations import Log, compared
from bluetune_trainer.evidence.risk import risk_of
from bluetune_trainer.evidence.sequence import Run, together
from evidence.candidates import Candidate
from evidence.data import Judged, ndcg
from evidence.simulate import Clicks, Logger, log

DISCOUNT = 1 / np.log2(np.arange(10) + 2)
RISK = risk_of(1, 0.05)
"""Of a first run at the preset's confidence."""


@dataclass(frozen=True)
class Seen:
    """A candidate by one log."""

    data: str
    logger: str
    clicks: str
    draw: int
    candidate: str
    truth: float
    """Gain in NDCG@10 by people, over all evaluation queries."""
    gain: float
    """What the judges say, their mean."""
    passes: bool
    """Whether both are sure of a gain."""
    in_list: float
    """Gain in NDCG@10 of the clicks within the lists that were shown: what is commonly measured."""
    in_list_passes: bool


def seen(
    judged: Judged,
    pool: Sequence[Candidate],
    logger: Logger,
    clicks: Clicks,
    *,
    queries: int,
    sessions: int,
    draws: int,
) -> Iterator[Seen]:
    """Each candidate by `draws` logs of `sessions` sessions on `queries` of the evaluation queries."""
    rows = np.flatnonzero(~judged.learn)
    grades, lexical = judged.grades[rows], judged.lexical[rows]
    live = judged.queries[rows] @ judged.items.T
    base = ndcg(live, grades)
    truths = [float((ndcg(candidate.scores, grades) - base).mean()) for candidate in pool]
    for draw in range(draws):
        random = np.random.default_rng([draw, 99])
        asked = np.sort(random.permutation(len(rows))[:queries])
        made, documents = log(live[asked], lexical[asked], grades[asked], sessions, logger, clicks, random)
        by_live, by_words = live[asked][:, documents], lexical[asked][:, documents]
        examined: Examined | None = None
        for candidate, truth in zip(pool, truths, strict=True):
            by_candidate = candidate.scores[asked][:, documents]
            found = compared(made, by_live, by_candidate, by_words)
            examined = examined or examination(found)  # no candidate takes part
            estimates = [estimate(moments(judge, found, examined)) for judge in CLICK_JUDGES]
            sure = []
            for one in estimates:
                run = together([Run(one.gain, {str(i): v for i, v in enumerate(one.influence.tolist())})])
                sure.append(run.value > run.reach(RISK))
            in_list = _in_list(made, by_live, by_candidate, len(asked))
            yield Seen(
                judged.name,
                logger.name,
                clicks,
                draw,
                candidate.name,
                truth,
                float(np.mean([one.gain for one in estimates])),
                all(sure),
                float(in_list.mean()),
                bool(in_list.mean() > 2 * in_list.std(ddof=1) / np.sqrt(len(in_list))),
            )


def _in_list(made: Log, live: np.ndarray, candidate: np.ndarray, queries: int) -> np.ndarray:
    """Gain in NDCG@10 of clicks within each session's list, as the mean of each query's sessions."""
    shape = (-1, 10)
    query, document = made.query.reshape(shape), made.document.reshape(shape)
    gain = made.gain.reshape(shape)
    ideal = np.cumsum(DISCOUNT)[gain.sum(1).astype(int) - 1]

    def score(by: np.ndarray) -> np.ndarray:
        order = np.argsort(-by[query, document], axis=1, kind="stable")
        return (np.take_along_axis(gain, order, 1) * DISCOUNT).sum(1) / ideal

    change = score(candidate) - score(live)
    total = np.bincount(query[:, 0], change, minlength=queries)
    count = np.bincount(query[:, 0], minlength=queries)
    return total[count > 0] / count[count > 0]


def as_json(found: Sequence[Seen]) -> list[dict[str, object]]:
    """Rows of a JSON file."""
    return [asdict(one) for one in found]
