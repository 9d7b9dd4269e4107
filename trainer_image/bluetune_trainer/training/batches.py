"""Sessions as numbered texts, and optimizer batches made of them. numpy only: tensors begin at the model."""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.types import Catalogue, Sessions, chosen
from bluetune_trainer.training.dealing import deal
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.phrases import Phrases
from bluetune_trainer.training.variants import Variants

Ints = NDArray[np.int64]
SESSIONS_IN_BLOCK = 1 << 16
"""Numbered at a time, which bounds what sorting them takes."""
NOTHING = -1
"""Where there is no number of an item."""
NOWHERE = -1
"""Place of a result that the session did not show."""


@dataclass(frozen=True)
class NumberedSessions:
    """n sessions whose queries and items are numbers in an InputTable; results are ragged as in `Sessions`."""

    queries: Ints
    """n."""
    items: Ints
    """total; the same result shown twice in a session counts once, as clicked if either was."""
    clicked: NDArray[np.bool_]
    """total."""
    offsets: Ints
    """n + 1."""
    shown_rank: NDArray[np.int32]
    """total: place at which each was shown, from 0; the best one of a result that was shown twice."""
    gains: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """total: what each gained by its events, the most of one shown twice; empty where every click is worth 1."""

    def __len__(self) -> int:
        return len(self.queries)

    def span(self, i: int) -> slice:
        """Where the results of session i lie."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def subset(self, index: Ints) -> "NumberedSessions":
        """The sessions at these positions, in this order."""
        offsets, flat = chosen(self.offsets, index)
        return NumberedSessions(
            self.queries[index],
            self.items[flat],
            self.clicked[flat],
            offsets,
            self.shown_rank[flat],
            self.gains[flat] if len(self.gains) else self.gains,
        )

    def with_click(self) -> NDArray[np.bool_]:
        """n: whether the session has a click."""
        return self._clicks() > 0

    def informative(self) -> NDArray[np.bool_]:
        """n: whether the session has a click and a result without one, so that rankings of it differ in quality."""
        clicks = self._clicks()
        return (clicks > 0) & (clicks < np.diff(self.offsets))

    def _clicks(self) -> Ints:
        total = np.concatenate([[0], np.cumsum(self.clicked)])
        return np.asarray(total[self.offsets[1:]] - total[self.offsets[:-1]])


def number_sessions(sessions: Sessions, catalogue: Catalogue, table: InputTable) -> NumberedSessions:
    """Put the queries and items of sessions into the table. Sessions without results are left out."""
    shown = np.unique(sessions.items)
    by_item = table.add([catalogue.texts[i] for i in shown.tolist()], "item")
    queries = table.add(sessions.queries, "query")
    parts = [
        _numbered(sessions, slice(begin, begin + SESSIONS_IN_BLOCK), shown, by_item)
        for begin in range(0, max(len(sessions), 1), SESSIONS_IN_BLOCK)
    ]
    items, clicked, ranks, gains, lengths = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(lengths[lengths > 0])])
    return NumberedSessions(queries[lengths > 0], items, clicked, offsets, ranks, gains)


def _numbered(
    sessions: Sessions, block: slice, shown: NDArray[np.int32], by_item: Ints
) -> tuple[Ints, NDArray[np.bool_], NDArray[np.int32], NDArray[np.float32], Ints]:
    """Items, clicks, places and gains of some sessions, each item once a session and where it first stood; how many in
    each.

    Args:
        block: which sessions.
        shown: all items, ascending.
        by_item: number of each.
    """
    starts, lengths = sessions.offsets[:-1][block], np.diff(sessions.offsets)[block]
    flat = slice(int(starts[0]), int(starts[-1] + lengths[-1])) if len(starts) else slice(0, 0)
    owner = np.repeat(np.arange(len(starts)), lengths)
    numbers = by_item[np.searchsorted(shown, sessions.items[flat])]
    places = np.arange(len(owner)) - (starts - flat.start)[owner]
    if len(sessions.shown_rank):
        places = sessions.shown_rank[flat]
    stride = int(by_item.max(initial=0)) + 1
    _, first, group = np.unique(owner * stride + numbers, return_index=True, return_inverse=True)
    clicked = np.zeros(len(first), np.bool_)
    np.logical_or.at(clicked, group, sessions.clicked[flat])
    best = np.full(len(first), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(best, group, places.astype(np.int32))
    order = np.argsort(first)
    at = first[order]
    gains = np.zeros(len(first) if len(sessions.gains) else 0, np.float32)
    if len(gains):
        np.maximum.at(gains, group, sessions.gains[flat])
        gains = gains[order]
    return numbers[at], clicked[order], best[order], gains, np.bincount(owner[at], minlength=len(starts))


@dataclass(frozen=True)
class SessionBatch:
    """S sessions over N different texts, U of them items; R results, padded."""

    texts: Ints
    """N text numbers, all different."""
    query_at: Ints
    """S: position of the query in `texts`."""
    item_at: Ints
    """U: positions of the items in `texts`."""
    result_at: Ints
    """[S, R]: positions of the results among the U items; 0 on padding."""
    clicked: NDArray[np.bool_]
    """[S, R]."""
    valid: NDArray[np.bool_]
    """[S, R]: false on padding."""
    confidences: NDArray[np.float32]
    """[S, R]: 0 on padding."""
    allowed: NDArray[np.bool_]
    """[S, U]: items that may stand as in-batch negatives of a session: none that any session showed for its query. What
    a ranker put on top is likely relevant, and who did not click it there may not have looked at it."""
    weights: NDArray[np.float32] | None = None
    """[S, R]: what each click counts, 1 on padding; None: all 1."""
    shown_rank: NDArray[np.int32] | None = None
    """[S, R]: place at which each was shown, -1 for a borrowed one; only where pairs go by it."""


Results = tuple[Ints, NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]
"""Numbers, clicks, confidences, click weights and places of a session's results."""


class ItemsOfQueries:
    """Which items sessions showed for a query anywhere in the data, or which of them were clicked."""

    def __init__(self, sessions: NumberedSessions, chosen: NDArray[np.bool_]) -> None:
        """`chosen`: the results that count."""
        at = np.flatnonzero(chosen)
        queries, items = sessions.queries[np.searchsorted(sessions.offsets, at, side="right") - 1], sessions.items[at]
        order = np.lexsort((items, queries))
        self._queries, self._items = queries[order], items[order]

    def of(self, query: int) -> Ints:
        """Item numbers, ascending."""
        begin, end = np.searchsorted(self._queries, (query, query + 1))
        return self._items[begin:end]


@dataclass(frozen=True)
class MinedNegatives:
    """For each different query of the training sessions, its candidates."""

    rows: Mapping[int, int]
    """Number of a query → its row in `items`."""
    items: Ints
    """[queries, depth] numbers of items, the nearest first; NOTHING where there are fewer."""
    count: int
    """How many of them a session is given."""

    def draw(self, query: int, shown: Ints, random: np.random.Generator) -> Ints:
        """At most `count` candidates of a query that are not among the session's results, in ascending order."""
        row = self.rows.get(query)
        if row is None:
            return np.zeros(0, np.int64)
        candidates = self.items[row]
        candidates = candidates[(candidates != NOTHING) & ~np.isin(candidates, shown)]
        return np.sort(random.permutation(candidates)[: self.count])


class Batcher:
    """Makes batches; everything random comes from the generator that it is given."""

    def __init__(
        self,
        sessions: NumberedSessions,
        confidences: NDArray[np.float32],
        *,
        negative_downsampling: float = 1.0,
        unclicked_weight: float = 1.0,
        use_irrelevant: bool = False,
        click_weights: NDArray[np.float32] | None = None,
        skip_above: bool = False,
        mined: MinedNegatives | None = None,
        variants: Variants | None = None,
        phrases: Phrases | None = None,
        phrases_per_session: float = 0.0,
    ) -> None:
        self.sessions = sessions
        self._phrases = phrases
        self._phrases_per_session = phrases_per_session
        self._click_weights = click_weights
        self._skip_above = skip_above
        self._mined = mined
        self._variants = variants
        self._confidences = confidences
        self._downsampling = negative_downsampling
        self._unclicked_weight = np.float32(unclicked_weight)
        self._clicked = ItemsOfQueries(sessions, sessions.clicked)
        self._shown = ItemsOfQueries(sessions, np.ones_like(sessions.clicked))
        relevant = sessions.with_click()
        self.relevant: Ints = np.flatnonzero(relevant)
        self._irrelevant: Ints = np.flatnonzero(~relevant) if use_irrelevant else np.zeros(0, np.int64)

    def weighing(self, unclicked_weight: float) -> "Batcher":
        """The same with another weight of unclicked results."""
        other = copy.copy(self)
        other._unclicked_weight = np.float32(unclicked_weight)
        return other

    def drawn(self) -> Ints:
        """Numbers of the phrases and variants that batches draw from; mined negatives are too many to list."""
        phrases = self._phrases.queries if self._phrases else np.zeros(0, np.int64)
        return np.concatenate([phrases, self._variants.numbers]) if self._variants is not None else phrases

    def epoch(self, batch_size: int, random: np.random.Generator, passes: int = 1) -> Iterator[SessionBatch]:
        """All sessions with a click in random order, so many times; those without lend their results to random
        partners. A batch has a query once, unless there are more sessions of it than batches.
        """
        for _ in range(passes):
            dealt = deal(self.relevant, self.sessions.queries[self.relevant], batch_size, random)
            partners: dict[int, list[int]] = defaultdict(list)
            if len(self.relevant):
                lent = random.choice(self.relevant, len(self._irrelevant))
                for session, partner in zip(self._irrelevant, lent, strict=True):
                    partners[int(partner)].append(int(session))
            for index in dealt:
                yield self.batch(index, random, partners)

    def batch(
        self, index: Ints, random: np.random.Generator | None = None, partners: dict[int, list[int]] | None = None
    ) -> SessionBatch:
        """These sessions as a batch; without a generator nothing is left out."""
        rows = [self._results(int(i), random, (partners or {}).get(int(i), [])) for i in index]
        queries = self.sessions.queries[index]
        items = np.unique(np.concatenate([row[0] for row in rows]))
        count = round(self._phrases_per_session * len(index))
        phrases = self._phrases.draw(items, count, random) if self._phrases and count and random is not None else None
        if phrases is not None:
            # Each is a session of one clicked result.
            rows += [_one_click(int(items[at])) for at in phrases.item_at]
            queries = np.concatenate([queries, phrases.queries])
        asked, read = queries, items  # what is encoded for them
        if self._variants is not None and random is not None:
            asked, read = self._variants.draw(queries, random), self._variants.draw(items, random)
        texts = np.unique(np.concatenate([asked, read]))
        width = max(len(row[0]) for row in rows)
        result_at = np.zeros((len(rows), width), np.int64)
        clicked = np.zeros((len(rows), width), np.bool_)
        valid = np.zeros((len(rows), width), np.bool_)
        allowed = np.ones((len(rows), len(items)), np.bool_)
        confidences = np.zeros((len(rows), width), np.float32)
        weights = np.ones((len(rows), width), np.float32)
        shown_rank = np.full((len(rows), width), NOWHERE, np.int32)
        for row, (numbers, clicks, trust, weight, places) in enumerate(rows):
            count = len(numbers)
            at = np.searchsorted(items, numbers)
            result_at[row, :count] = at
            clicked[row, :count] = clicks
            valid[row, :count] = True
            weights[row, :count] = weight
            shown_rank[row, :count] = places
            allowed[row, at] = False
            allowed[row, np.isin(items, self._shown.of(int(queries[row])))] = False
            # Where the batch has no other negative, these count whole: there is nothing else to learn from.
            weighed = ~clicks & (places != NOWHERE) & allowed[row].any()
            confidences[row, :count] = np.where(weighed, trust * self._unclicked_weight, trust)
        if phrases is not None:
            allowed[len(index) :] &= phrases.allowed
        return SessionBatch(
            texts=texts,
            query_at=np.searchsorted(texts, asked),
            item_at=np.searchsorted(texts, read),
            result_at=result_at,
            clicked=clicked,
            valid=valid,
            confidences=confidences,
            allowed=allowed,
            weights=weights if self._click_weights is not None else None,
            shown_rank=shown_rank if self._skip_above else None,
        )

    def _results(self, session: int, random: np.random.Generator | None, borrowed_from: list[int]) -> Results:
        """The results that are used; what is left out need not be encoded."""
        span = self.sessions.span(session)
        numbers, clicked, trust = self.sessions.items[span], self.sessions.clicked[span], self._confidences[span]
        places = self.sessions.shown_rank[span]
        weights = np.ones(len(numbers), np.float32) if self._click_weights is None else self._click_weights[span]
        results = (numbers, clicked, trust, weights, places)
        if borrowed_from:
            borrowed = np.unique(np.concatenate([self.sessions.items[self.sessions.span(s)] for s in borrowed_from]))
            known = self._clicked.of(int(self.sessions.queries[session]))
            borrowed = borrowed[~np.isin(borrowed, numbers) & ~np.isin(borrowed, known)]
            results = _with_negatives(results, borrowed)
        numbers, clicked = results[:2]
        keep = np.ones(len(numbers), np.bool_)
        if random is not None and self._downsampling < 1:
            unclicked = np.flatnonzero(~clicked)
            if len(unclicked):
                count = max(1, round(self._downsampling * len(unclicked)))
                keep[random.permutation(unclicked)[count:]] = False
        results = (numbers[keep], clicked[keep], results[2][keep], results[3][keep], results[4][keep])
        if random is not None and self._mined is not None:
            query = int(self.sessions.queries[session])
            results = _with_negatives(results, self._mined.draw(query, numbers, random))
        return results


def _one_click(item: int) -> Results:
    """A single clicked result of full confidence, shown nowhere."""
    ones = np.ones(1, np.float32)
    return np.array([item], np.int64), np.ones(1, np.bool_), ones, ones, np.full(1, NOWHERE, np.int32)


def _with_negatives(results: Results, negatives: Ints) -> Results:
    """Items that were not shown, as unclicked results of full confidence."""
    numbers, clicked, trust, weights, places = results
    return (
        np.concatenate([numbers, negatives]),
        np.concatenate([clicked, np.zeros(len(negatives), np.bool_)]),
        np.concatenate([trust, np.ones(len(negatives), np.float32)]),
        np.concatenate([weights, np.ones(len(negatives), np.float32)]),
        np.concatenate([places, np.full(len(negatives), NOWHERE, np.int32)]),
    )
