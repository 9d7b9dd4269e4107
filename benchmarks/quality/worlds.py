"""What is learned from and what is scored: a catalogue with clicks on one side, judged queries on the other.

Two splits of Semanlink. `tags`: clicks on 70 % of the tags, scores on the other 30 %, over the whole catalogue. `time`:
clicks on the oldest 70 % of the documents, scores on the newest 30 %, which no click ever touched, among themselves.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from semanlink.clicks import ClickModel, simulate
from semanlink.dataset import MIN_DOCUMENTS, Document, Judgments, Semanlink, Split

SplitName = Literal["tags", "time"]
Logger = Literal["both", "zero-shot", "bm25"]
Clicks = Literal["model", "noise"]

SPLIT_SEED = 0
"""Of the split by tags; the split stays, and seeds vary the clicks and the training."""
OLD_SHARE = 0.7
"""Of the documents, by date."""
MAX_ROUNDS = 60
BM25_SHARE: dict[Logger, float] = {"both": 0.5, "zero-shot": 0.0, "bm25": 1.0}


@dataclass(frozen=True)
class World:
    """Where a column learns and where it is scored."""

    catalogue: tuple[Document, ...]
    """What people searched while the clicks were logged."""
    clicked: Judgments
    """Queries that are searched; positions in `catalogue`."""
    ranked: tuple[Document, ...]
    """What a column ranks when it is scored."""
    scored: Judgments
    """Queries it is scored on; positions in `ranked`."""


def world(data: Semanlink, split: SplitName) -> World:
    """The world of a split."""
    if split == "tags":
        tags: Split = data.judgments.split(SPLIT_SEED)
        return World(data.documents, tags.seen, data.documents, tags.unseen)
    order = sorted(range(len(data.documents)), key=lambda i: (data.documents[i].date, data.documents[i].item_id))
    border = round(OLD_SHARE * len(order))
    (old, before), (new, after) = (_part(data, chosen) for chosen in (order[:border], order[border:]))
    return World(old, before, new, after)


def _part(data: Semanlink, chosen: list[int]) -> tuple[tuple[Document, ...], Judgments]:
    """These documents, and the tags that have enough of them."""
    place = {position: i for i, position in enumerate(chosen)}
    relevant = [frozenset(place[p] for p in found if p in place) for found in data.judgments.relevant]
    keep = [i for i, found in enumerate(relevant) if len(found) >= MIN_DOCUMENTS]
    judgments = Judgments(tuple(data.judgments.queries[i] for i in keep), tuple(relevant[i] for i in keep))
    return tuple(data.documents[i] for i in chosen), judgments


def clicked_sessions(
    here: World, cosines: NDArray[np.float32], *, count: int, seed: int, logger: Logger, clicks: Clicks
) -> list[dict[str, Any]]:
    """`count` sessions with a click, by time. Each tag is searched as often as every other, or once less.

    Args:
        cosines: queries × catalogue, of the zero-shot model.
        clicks: `noise` puts a session's clicks anywhere among its results, whatever was there.
    """
    model = replace(ClickModel(), bm25_share=BM25_SHARE[logger])
    for rounds in range(max(round(count / len(here.clicked)), 1), MAX_ROUNDS):
        shown = simulate(
            here.catalogue, here.clicked, cosines, count=rounds * len(here.clicked), seed=seed, model=model
        )
        found = [session for session in shown if session["events"]]
        if len(found) >= count:
            chosen = np.sort(np.random.default_rng([seed, 3]).permutation(len(found))[:count])
            sessions = [found[i] for i in chosen]
            return [_scattered(s, seed, i) for i, s in enumerate(sessions)] if clicks == "noise" else sessions
    raise ValueError(f"{count} sessions with a click are more than {MAX_ROUNDS} rounds give")


def _scattered(session: dict[str, Any], seed: int, number: int) -> dict[str, Any]:
    """As many clicks, each on a result drawn evenly."""
    results = [result["object_id"] for result in session["search_results"]]
    drawn = np.random.default_rng([seed, 4, number]).permutation(len(results))
    events = [{**event, "object_id": results[i]} for event, i in zip(session["events"], drawn, strict=False)]
    return {**session, "events": events}
