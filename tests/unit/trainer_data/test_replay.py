"""Sessions of several batches: which are learned from, and that nothing old is measured on."""

import numpy as np
import pytest

from bluetune_api.batch_window import BatchSelection
from bluetune_trainer.data.replay import with_replay
from bluetune_trainer.data.types import Sessions, Split, joined

DAY = 86400.0


def sessions(
    queries: list[str], *, days: list[float] | None = None, ranks: bool = False, gains: bool = False
) -> Sessions:
    """Three results each, of which the first was clicked."""
    n = len(queries)
    return Sessions(
        queries=queries,
        items=np.arange(3 * n, dtype=np.int32),
        clicked=np.tile([True, False, False], n),
        offsets=np.arange(0, 3 * n + 1, 3, dtype=np.int64),
        shown_rank=np.tile(np.array([2, 1, 0], np.int32), n) if ranks else np.zeros(0, np.int32),
        created=np.array(days) * DAY if days is not None else np.zeros(0),
        gains=np.tile(np.array([5, 0, 0], np.float32), n) if gains else np.zeros(0, np.float32),
    )


def named(prefix: str, n: int) -> list[str]:
    return [f"{prefix} {i}" for i in range(n)]


def split(train: Sessions) -> Split:
    return Split(train, sessions(["validated"]), sessions(["gated"]))


def test_one_batch_is_learned_from_as_it_is() -> None:
    one = split(sessions(named("new", 3)))
    assert with_replay(one, sessions(named("old", 3)), BatchSelection(learn=["b"]), 0) is one
    assert one.learned() is one.train


@pytest.mark.parametrize(("share", "old"), [(0.2, 25), (0.5, 100), (0.9, 300)])
def test_old_sessions_are_a_share_of_what_is_learned_from_as_far_as_there_are_any(share: float, old: int) -> None:
    chosen = BatchSelection(learn=["b2"], replay=["b1"], replay_share=share)
    made = with_replay(split(sessions(named("new", 100))), sessions(named("old", 300)), chosen, 0)
    queries = made.learned().queries
    assert sum(query.startswith("new") for query in queries) == 100
    assert sum(query.startswith("old") for query in queries) == old
    assert list(made.train.queries) == named("new", 100)


def test_nothing_old_is_learned_for_a_query_that_is_measured() -> None:
    chosen = BatchSelection(learn=["b2"], replay=["b1"], replay_share=0.9)
    old = sessions(["Validated", "gated ", "other"])
    made = with_replay(split(sessions(named("new", 5))), old, chosen, 0)
    assert [query for query in made.learned().queries if not query.startswith("new")] == ["other"]


def test_a_session_of_the_half_life_is_learned_from_half_as_often_and_measured_as_before() -> None:
    n = 4000
    days = [10.0] * (n // 2) + [3.0] * (n // 2)
    new = sessions(named("new", n), days=days)
    made = with_replay(split(new), sessions([]), BatchSelection(learn=["b"], half_life="7d"), 0)
    learned = set(made.learned().queries)
    assert set(new.queries[: n // 2]) <= learned
    assert len(learned) - n // 2 == pytest.approx(n / 4, rel=0.1)
    assert made.train is new


def test_the_draw_is_the_same_in_every_attempt() -> None:
    chosen = BatchSelection(learn=["b2"], replay=["b1"], replay_share=0.5)
    parts = split(sessions(named("new", 50))), sessions(named("old", 500))
    assert with_replay(*parts, chosen, 3).learned().queries == with_replay(*parts, chosen, 3).learned().queries
    assert with_replay(*parts, chosen, 3).learned().queries != with_replay(*parts, chosen, 4).learned().queries


def test_joined_sessions_keep_their_own_order_ranks_and_gains() -> None:
    both = joined(sessions(["a"]), sessions(["b"], ranks=True, gains=True, days=[1.0]))
    assert both.queries == ["a", "b"]
    assert both.offsets.tolist() == [0, 3, 6]
    assert both.shown_rank.tolist() == [0, 1, 2, 2, 1, 0]
    assert both.gains.tolist() == [1, 0, 0, 5, 0, 0]
    assert both.created.tolist() == []
