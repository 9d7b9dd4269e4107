"""Sessions dealt into batches."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_trainer.training.dealing import deal
from bluetune_trainer.training.steps import batches_of


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), max_size=200), st.integers(1, 40), st.integers(0, 5))
def test_every_session_is_in_one_batch_and_no_query_twice_where_that_can_be(
    queries: list[int], size: int, seed: int
) -> None:
    sessions = np.arange(100, 100 + len(queries))
    batches = deal(sessions, np.array(queries, np.int64), size, np.random.default_rng(seed))
    assert sorted(np.concatenate([*batches, []]).astype(int).tolist()) == sessions.tolist()
    sizes = [len(batch) for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)
    assert len(batches) == (batches_of(len(queries), size) if queries else 0)
    for query, count in Counter(queries).items():
        most = max(sum(queries[i - 100] == query for i in batch.tolist()) for batch in batches)
        assert most == 1 if count <= len(batches) else most >= 1


def test_the_same_generator_deals_the_same_and_another_one_otherwise() -> None:
    def dealt(seed: int) -> list[list[int]]:
        return [b.tolist() for b in deal(np.arange(60), np.arange(60) // 4, 8, np.random.default_rng(seed))]

    assert dealt(1) == dealt(1) != dealt(2)


@pytest.mark.parametrize("queries", [20, 5])
def test_which_sessions_meet_in_a_batch_is_a_matter_of_chance(queries: int) -> None:
    random = np.random.default_rng(0)
    met: Counter[tuple[int, int]] = Counter()
    for _ in range(200):
        for batch in deal(np.arange(40), np.arange(40) % queries, 4, random):
            met.update((a, b) for a in batch.tolist() for b in batch.tolist() if a < b)
    apart = [(a, b) for a in range(40) for b in range(a + 1, 40) if a % queries != b % queries]
    counts = [met[pair] for pair in apart]
    assert min(counts) > 0
    assert max(counts) < 3 * np.mean(counts)
