"""Clicks simulated from human judgments: a position-based model of what people see and click.

The result at rank r is looked at with probability examination[r] ** eta; one that is looked at is clicked with
probability 1.0 if it is relevant and 0.1 if not. The training sees the clicks alone, never a judgment.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semanlink.bm25 import BM25
from semanlink.dataset import Document, Judgments

EXAMINATION = np.array([0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06])
"""Probability that the result at each rank is looked at; as many results are shown."""
DAYS = 7
LAST_DAY = datetime(2024, 6, 8, tzinfo=UTC)


@dataclass(frozen=True)
class ClickModel:
    """How results are ranked, looked at and clicked."""

    eta: float = 1.0
    """Exponent of the examination; larger means that people look less far down."""
    click_relevant: float = 1.0
    """Probability of a click on a relevant result that is looked at."""
    click_irrelevant: float = 0.1
    """The same for an irrelevant one."""
    noise: float = 0.5
    """What is added to a session's scores, in standard deviations of the best hundred: rankings change day by day."""
    bm25_share: float = 0.5
    """Share of sessions that an older keyword search ranked; the zero-shot model ranked the others."""


def simulate(
    documents: Sequence[Document],
    judgments: Judgments,
    cosines: NDArray[np.float32],
    *,
    count: int,
    seed: int,
    model: ClickModel | None = None,
) -> Iterator[dict[str, Any]]:
    """`count` search sessions in bluetune's clickstream format, ordered by time; a seed's are always the same.

    Args:
        cosines: queries × documents, of the zero-shot model; the rankings that people are shown come from it.
    """
    model, random = model or ClickModel(), np.random.default_rng(seed)
    keywords = BM25([document.text for document in documents])
    rounds = -(-count // len(judgments))
    asked = np.concatenate([random.permutation(len(judgments)) for _ in range(rounds)])[:count]
    moments = np.sort(random.uniform(0, DAYS * 86400, count))
    for query, moment in zip(asked.tolist(), moments.tolist(), strict=True):
        by_keywords = random.random() < model.bm25_share
        scores = keywords.scores(judgments.queries[query]) if by_keywords else cosines[query]
        shown = ranked_with_noise(scores, model.noise, random)
        relevant = np.isin(shown, list(judgments.relevant[query]))
        yield session(
            judgments.queries[query],
            [documents[position].item_id for position in shown],
            clicked(relevant, model, random),
            LAST_DAY - timedelta(days=DAYS) + timedelta(seconds=moment),
            session_id=str(uuid.UUID(bytes=random.bytes(16), version=4)),
        )


def ranked_with_noise(scores: NDArray[Any], noise: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the results shown, best first, after noise on the scores of the best hundred."""
    best = np.argsort(-scores, kind="stable")[:100]
    candidates = scores[best]
    noisy = candidates + random.normal(0, noise * float(candidates.std()), len(best))
    return best[np.argsort(-noisy, kind="stable")[: len(EXAMINATION)]]


def clicked(relevant: NDArray[np.bool_], model: ClickModel, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the results shown are clicked. `relevant`: ranks, whether people judged the result relevant."""
    looked_at = random.random(len(relevant)) < EXAMINATION[: len(relevant)] ** model.eta
    attraction = np.where(relevant, model.click_relevant, model.click_irrelevant)
    return looked_at & (random.random(len(relevant)) < attraction)


def session(
    query: str, shown: Sequence[str], clicks: Sequence[bool] | NDArray[np.bool_], at: datetime, *, session_id: str
) -> dict[str, Any]:
    """One session as it is logged."""
    return {
        "session_id": session_id,
        "search_query": query,
        "created_at": at.isoformat(timespec="seconds"),
        "search_results": [{"object_id": item, "rank": rank} for rank, item in enumerate(shown)],
        "events": [
            {
                "event_id": f"{session_id}-{rank}",
                "object_id": item,
                "event_type": "click",
                "created_at": (at + timedelta(seconds=5 + 8 * rank)).isoformat(timespec="seconds"),
            }
            for rank, (item, click) in enumerate(zip(shown, clicks, strict=True))
            if click
        ],
    }


def jsonl(sessions: Iterable[dict[str, Any]]) -> bytes:
    """Sessions as a part of a batch."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in sessions).encode()
