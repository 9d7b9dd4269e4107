"""Chunks that waste little on padding, and sessions as batches."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.training import batches
from bluetune_trainer.training.batches import Batcher, NumberedSessions, SessionBatch
from bluetune_trainer.training.tokens import pad, plan_chunks


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 2048))
def test_chunks_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    array = np.asarray(lengths, np.int64)
    chunks = plan_chunks(array, budget)
    assert sorted(np.concatenate(chunks).tolist()) == list(range(len(lengths)))
    assert all(len(chunk) == 1 or len(chunk) * array[chunk].max() <= budget for chunk in chunks)
    assert all(array[a].max() <= array[b].min() for a, b in itertools.pairwise(chunks))


def test_padding_is_masked() -> None:
    ids, mask = pad([np.array([5, 6], np.int32), np.array([7], np.int32)], pad_id=9)
    assert ids.tolist() == [[5, 6], [7, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def sessions(*rows: tuple[int, dict[int, bool]]) -> NumberedSessions:
    """Each row: number of the query, clicked by number of the item."""
    return NumberedSessions(
        queries=np.array([query for query, _ in rows], np.int64),
        items=np.array([item for _, results in rows for item in results], np.int64),
        clicked=np.array([click for _, results in rows for click in results.values()], np.bool_),
        offsets=np.cumsum([0, *(len(results) for _, results in rows)]),
        shown_rank=np.array([place for _, results in rows for place in range(len(results))], np.int32),
    )


def batcher(of: NumberedSessions, **options: float | bool) -> Batcher:
    return Batcher(of, np.linspace(0.1, 1, len(of.items), dtype=np.float32), **options)  # type: ignore[arg-type]


def results(batch: SessionBatch, row: int) -> dict[int, bool]:
    items = batch.texts[batch.item_at]
    keep = batch.valid[row]
    return dict(zip(items[batch.result_at[row][keep]].tolist(), batch.clicked[row][keep].tolist(), strict=True))


def allowed(batch: SessionBatch, row: int) -> set[int]:
    return set(batch.texts[batch.item_at][batch.allowed[row]].tolist())


class Numbers:
    """Numbers texts as `InputTable` does."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def add(self, inputs: Sequence[str], kind: str) -> NDArray[np.int64]:
        return np.array([self.known.setdefault(text, len(self.known)) for text in inputs], np.int64)


@settings(deadline=None)  # the first example pays for numpy's start
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.integers(0, 20)), max_size=6), max_size=9),
    st.booleans(),
    st.integers(1, 4),
)
def test_a_result_counts_once_a_session_as_clicked_if_either_was_and_at_its_best_place(
    logged: list[list[tuple[int, bool, int]]], ranked: bool, block: int
) -> None:
    """Items 0 to 7 have texts of which some are equal; the order is that in which a session first shows them."""
    catalogue = Catalogue([str(i) for i in range(8)], [f"text {i % 5}" for i in range(8)], {})
    flat = [result for results in logged for result in results]
    logs = Sessions(
        queries=[f"query {i % 3}" for i in range(len(logged))],
        items=np.array([item for item, _, _ in flat], np.int32),
        clicked=np.array([click for _, click, _ in flat], np.bool_),
        offsets=np.cumsum([0, *map(len, logged)]).astype(np.int64),
        shown_rank=np.array([rank for _, _, rank in flat] if ranked else [], np.int32),
    )
    table = Numbers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SESSIONS_IN_BLOCK", block)
        found = batches.number_sessions(logs, catalogue, table)  # type: ignore[arg-type]
    expected = []
    for i, results in enumerate(logged):
        merged: dict[int, tuple[bool, int]] = {}
        for place, (item, click, rank) in enumerate(results):
            number = table.known[catalogue.texts[item]]
            clicked, best = merged.get(number, (False, 99))
            merged[number] = (clicked or click, min(best, rank if ranked else place))
        if results:
            expected.append((table.known[logs.queries[i]], [(n, *rest) for n, rest in merged.items()]))
    assert expected == [
        (query, list(zip(*(column[found.span(i)].tolist() for column in columns), strict=True)))
        for columns in [(found.items, found.clicked, found.shown_rank)]
        for i, query in enumerate(found.queries.tolist())
    ]
    assert (found.items.dtype, found.offsets.dtype, found.shown_rank.dtype) == (np.int64, np.int64, np.int32)


DATA = sessions(
    (100, {1: True, 2: False}),
    (101, {2: True, 3: False, 4: False}),
    (100, {5: True, 6: False}),
    (102, {7: False, 8: False}),
)


def test_a_batch_holds_its_sessions_and_each_text_once() -> None:
    batch = batcher(DATA).batch(np.array([0, 1]))
    assert batch.texts.tolist() == [1, 2, 3, 4, 100, 101]
    assert batch.texts[batch.query_at].tolist() == [100, 101]
    assert results(batch, 0) == {1: True, 2: False}
    assert results(batch, 1) == {2: True, 3: False, 4: False}
    assert batch.confidences[0, :2].tolist() == pytest.approx([0.1, 0.2125])


def test_items_clicked_for_the_same_query_are_no_in_batch_negatives() -> None:
    batch = batcher(DATA).batch(np.array([0, 1]))
    assert allowed(batch, 0) == {3, 4}
    assert allowed(batch, 1) == {1}
    # 5 was clicked for query 100 in a session that is in no batch with this one.
    both = batcher(sessions((100, {1: True}), (101, {5: True}), (100, {5: True}))).batch(np.array([0, 1]))
    assert allowed(both, 0) == set()


def test_items_that_another_session_of_the_query_showed_are_no_in_batch_negatives() -> None:
    shown = sessions((100, {1: True}), (101, {5: True, 6: False}), (100, {2: True, 6: False}))
    assert allowed(batcher(shown).batch(np.array([0, 1])), 0) == {5}


def test_an_epoch_goes_through_the_sessions_as_often_as_it_is_told_and_has_a_query_once_a_batch() -> None:
    data = sessions(*((100 + i % 6, {i: True, i + 50: False}) for i in range(12)))
    epoch = list(batcher(data).epoch(4, np.random.default_rng(0), passes=3))
    assert [len(batch.query_at) for batch in epoch] == [4] * 9
    queries = [batch.texts[batch.query_at].tolist() for batch in epoch]
    assert all(len(set(found)) == 4 for found in queries)
    for i in range(3):
        assert sorted(itertools.chain(*queries[3 * i : 3 * i + 3])) == sorted(data.queries.tolist())
    assert queries[:3] != queries[3:6]


@pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
def test_what_was_shown_and_not_clicked_counts_among_the_negatives_as_it_is_told(weight: float) -> None:
    whole, weighed = (batcher(DATA, unclicked_weight=w).batch(np.array([0, 1])) for w in (1.0, weight))
    assert (weighed.clicked.tolist(), weighed.texts.tolist()) == (whole.clicked.tolist(), whole.texts.tolist())
    assert (weighed.confidences[whole.clicked] == whole.confidences[whole.clicked]).all()
    unclicked = whole.valid & ~whole.clicked
    assert weighed.confidences[unclicked] == pytest.approx(weight * whole.confidences[unclicked])


def test_what_was_shown_and_not_clicked_counts_whole_where_there_is_no_other_negative() -> None:
    alone = batcher(DATA, unclicked_weight=0.0).batch(np.array([0, 2]))  # of one query
    assert not alone.allowed.any()
    assert (alone.confidences[alone.valid] > 0).all()


def test_items_that_are_lent_or_mined_count_whole() -> None:
    lent = batcher(DATA, use_irrelevant=True, unclicked_weight=0.0)
    (batch,) = lent.epoch(10, np.random.default_rng(0))
    unclicked = batch.confidences[batch.valid & ~batch.clicked]
    assert set(unclicked.tolist()) == {0.0, 1.0}


def test_sessions_without_a_click_are_left_out_or_lend_their_results() -> None:
    left_out = list(batcher(DATA).epoch(10, np.random.default_rng(0)))
    assert {int(t) for b in left_out for t in b.texts}.isdisjoint({7, 8})
    lent = list(batcher(DATA, use_irrelevant=True).epoch(10, np.random.default_rng(0)))
    rows = [results(b, r) for b in lent for r in range(len(b.query_at))]
    assert sum({7, 8} <= set(row) and not row[7] and not row[8] for row in rows) == 1


def test_down_sampling_keeps_its_share_of_unclicked_results_and_at_least_one() -> None:
    many = sessions((100, {0: True, **dict.fromkeys(range(1, 11), False)}))
    for share, kept in ((0.5, 5), (0.3, 3), (0.0, 1), (1.0, 10)):
        (batch,) = batcher(many, negative_downsampling=share).epoch(1, np.random.default_rng(1))
        row = results(batch, 0)
        assert row[0]
        assert len(row) == 1 + kept


def test_an_epoch_has_every_session_with_a_click_once_in_an_order_given_by_the_seed() -> None:
    def order(seed: int) -> list[int]:
        epoch = batcher(DATA).epoch(1, np.random.default_rng(seed))
        return [min(results(b, 0)) for b in epoch]

    assert sorted(order(0)) == [1, 2, 5]
    assert order(0) == order(0)
    assert len({tuple(order(seed)) for seed in range(10)}) > 1
