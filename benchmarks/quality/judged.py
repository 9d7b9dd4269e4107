"""A judged set from a folder: catalogue, graded judgments, a split of the queries, and clicks simulated from them.

The folder holds `items.jsonl` (`item_id`, `title`, `description`) and one or several `judgments*.jsonl` (`query`,
`object_id`, `grade`; 0 is irrelevant).
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from semanlink.clicks import EXAMINATION, ranked_with_noise, session
from semanlink.dataset import Document, Judgments

from quality.worlds import World

LEARN_SHARE = 0.6
"""Of the queries, by a hash of each: these are searched while clicks are logged; the others are scored."""
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 7
MAX_ROUNDS = 200
"""Times that each query is searched, at most, until there are clicks enough."""
MAX_RELEVANT = 20
"""Relevant items of a query that are kept where the catalogue is sampled, the best first."""


@dataclass(frozen=True)
class JudgedSet:
    """A world whose judgments have grades."""

    name: str
    world: World
    learn_grades: tuple[Mapping[int, int], ...]
    """Of each query of `world.clicked`: position of an item → its grade, above 0."""
    unseen_grades: tuple[Mapping[int, int], ...]
    """Of each query of `world.scored`."""


def load(folder: Path, most_items: int, most_queries: int = 10_000) -> JudgedSet:
    """Read a folder, keep at most so many items (relevant ones first, then others by a hash) and split the queries.

    Args:
        folder: of the set.
        most_items: of the catalogue.
        most_queries: that learn, and that are scored; of more, those with the smallest hash.
    """
    documents = {}
    for line in (folder / "items.jsonl").read_text().splitlines():
        raw = json.loads(line)
        one = Document(raw["item_id"], (raw.get("title") or "").strip(), (raw.get("description") or "").strip(), "")
        if one.text:
            documents[one.item_id] = one
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for path in sorted(folder.glob("judgments*.jsonl")):
        for line in path.read_text().splitlines():
            raw = json.loads(line)
            if raw["grade"] > 0 and raw["object_id"] in documents:
                grades[raw["query"]][raw["object_id"]] = int(raw["grade"])
    queries = sorted(grades, key=_hash)
    learn = [query for query in queries if _hash(query) < LEARN_SHARE][:most_queries]
    unseen = [query for query in queries if _hash(query) >= LEARN_SHARE][:most_queries]
    kept = _catalogue(documents, {query: grades[query] for query in [*learn, *unseen]}, most_items)
    position = {item: i for i, item in enumerate(kept)}

    def judged(chosen: Sequence[str]) -> tuple[Judgments, tuple[dict[int, int], ...]]:
        found = [{position[item]: g for item, g in grades[query].items() if item in position} for query in chosen]
        having = [i for i, by_item in enumerate(found) if by_item]
        every = tuple(found[i] for i in having)
        return Judgments(tuple(chosen[i] for i in having), tuple(frozenset(one) for one in every)), every

    catalogue = tuple(documents[item] for item in kept)
    (clicked, learn_grades), (scored, unseen_grades) = judged(learn), judged(unseen)
    return JudgedSet(folder.name, World(catalogue, clicked, catalogue, scored), learn_grades, unseen_grades)


def _catalogue(documents: Mapping[str, Document], grades: Mapping[str, Mapping[str, int]], most: int) -> list[str]:
    if len(documents) <= most:
        return sorted(documents)
    wanted: dict[str, None] = {}
    for by_item in grades.values():
        best = sorted(by_item, key=lambda item: (-by_item[item], _hash(item)))
        wanted.update(dict.fromkeys(best[:MAX_RELEVANT]))
    others = sorted(set(documents) - set(wanted), key=_hash)
    return sorted([*sorted(wanted, key=_hash)[:most], *others[: max(most - len(wanted), 0)]])


def _hash(text: str) -> float:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


@dataclass(frozen=True)
class Logging:
    """How sessions are ranked and clicked."""

    sessions: int = 1200
    """With a click."""
    bm25_share: float = 0.5
    """Of the sessions that BM25 ranks; the start model ranks the others."""
    noise: float = 0.5
    """On a ranker's scores, in standard deviations of its best hundred."""
    click_irrelevant: float = 0.1
    """Chance of a click on an irrelevant result that is looked at; on the best grade it is 1, in between linear."""


def clicked_sessions(
    here: JudgedSet, cosines: NDArray[Any], keywords: NDArray[Any], how: Logging, seed: int
) -> list[dict[str, Any]]:
    """Sessions with a click, by time. Each query is searched as often as every other, or once less.

    Args:
        here: the set.
        cosines: learning queries × catalogue, of the start model.
        keywords: likewise, of BM25.
        how: they are logged.
        seed: decides all of it.
    """
    random = np.random.default_rng(seed)
    found: list[tuple[str, NDArray[np.int64], NDArray[np.bool_]]] = []
    for _ in range(MAX_ROUNDS):
        for query in random.permutation(len(here.learn_grades)).tolist():
            scores = keywords[query] if random.random() < how.bm25_share else cosines[query]
            shown = ranked_with_noise(scores, how.noise, random)
            clicks = _clicks(shown, here.learn_grades[query], how, random)
            if clicks.any() and len(found) < how.sessions:
                found.append((here.world.clicked.queries[query], shown, clicks))
    if len(found) < how.sessions:
        raise ValueError(f"{how.sessions} sessions with a click are more than {MAX_ROUNDS} rounds give")
    seconds = np.sort(random.uniform(0, DAYS * 86400, len(found)))
    return [
        session(
            query,
            [here.world.catalogue[position].item_id for position in shown],
            clicks,
            FIRST_DAY + timedelta(seconds=second),
            session_id=str(uuid.UUID(bytes=random.bytes(16), version=4)),
        )
        for (query, shown, clicks), second in zip(found, seconds.tolist(), strict=True)
    ]


def _clicks(
    shown: NDArray[np.int64], grades: Mapping[int, int], how: Logging, random: np.random.Generator
) -> NDArray[np.bool_]:
    share = np.array([grades.get(int(position), 0) / max(grades.values()) for position in shown])
    attraction = how.click_irrelevant + (1 - how.click_irrelevant) * share
    looked_at = random.random(len(shown)) < EXAMINATION[: len(shown)]
    return looked_at & (random.random(len(shown)) < attraction)


def oracle_sessions(here: JudgedSet, keywords: NDArray[Any], count: int, seed: int) -> list[dict[str, Any]]:
    """Sessions that say what people judged: two relevant items, clicked, among eight that BM25 finds and nobody
    judged relevant. A model that learns from these shows how much there is to win.
    """
    random = np.random.default_rng([seed, 7])
    made = []
    for i in range(count):
        query = i % len(here.learn_grades)
        relevant = random.permutation(sorted(here.learn_grades[query]))[:2]
        best = [int(p) for p in np.argsort(-keywords[query], kind="stable")[:60] if p not in here.learn_grades[query]]
        shown = [*relevant.tolist(), *random.permutation(best)[: 10 - len(relevant)].tolist()]
        made.append(
            session(
                here.world.clicked.queries[query],
                [here.world.catalogue[position].item_id for position in shown],
                [True] * len(relevant) + [False] * (len(shown) - len(relevant)),
                FIRST_DAY + timedelta(seconds=60 * i),
                session_id=f"oracle-{seed}-{i}",
            )
        )
    return made


def ndcg(scores: NDArray[Any], grades: Sequence[Mapping[int, int]], depth: int = 10) -> NDArray[np.float64]:
    """[queries, items] scores → NDCG of each query, a gain being the grade (as trec_eval's `ndcg_cut` has it)."""
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    found = []
    for row, by_item in zip(scores, grades, strict=True):
        top = np.argsort(-row, kind="stable")[:depth].tolist()
        ideal = sorted(by_item.values(), reverse=True)[:depth]
        gains = np.array([by_item.get(position, 0) for position in top])
        found.append(float(gains @ discounts[: len(gains)] / (np.array(ideal) @ discounts[: len(ideal)])))
    return np.array(found)


def standardised(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Each query's scores with mean 0 and standard deviation 1, to be added to another ranker's."""
    spread = scores.std(axis=1, keepdims=True)
    return np.asarray((scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1))
