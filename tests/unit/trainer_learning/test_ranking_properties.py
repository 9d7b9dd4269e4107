"""Losses, confidences and metrics equal loops in plain Python on random sessions, padded and ordered as they may be."""

import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_trainer.ranking.confidences import calculate_confidences, dummy_confidences
from bluetune_trainer.ranking.losses import (
    CosineProbMarginRankingLoss,
    InfoNCELoss,
    ListwiseSoftmaxLoss,
    ProbMarginRankingLoss,
    RankingLossInterface,
)
from bluetune_trainer.ranking.metrics import summarize
from trainer import ranking_references as by_the_book
from trainer.ranking_references import Rules, Session
from trainer.ranking_strategies import LONG_SESSIONS, RULES, SESSIONS, features, padded, ranked_sessions

Reference = Callable[[list[Session], Rules], float]

CASES: list[tuple[str, RankingLossInterface, Reference]] = [
    ("margin", ProbMarginRankingLoss(0.3), lambda s, r: by_the_book.margin_loss(s, r, 0.3)),
    (
        "cosine margin",
        CosineProbMarginRankingLoss(0.2),
        lambda s, r: by_the_book.margin_loss(s, r, 0.2, scale=12, shift=3),
    ),
    (
        "cosine margin of another steepness",
        CosineProbMarginRankingLoss(0.1, scale=40, shift=1),
        lambda s, r: by_the_book.margin_loss(s, r, 0.1, scale=40, shift=1),
    ),
    (
        "margin with small differences",
        ProbMarginRankingLoss(0.4, do_fine_small_difference=True),
        lambda s, r: by_the_book.margin_loss(s, r, 0.4, small=250),
    ),
    (
        "margin with small differences of a given steepness",
        ProbMarginRankingLoss(0.4, True, steepness=7),
        lambda s, r: by_the_book.margin_loss(s, r, 0.4, small=7),
    ),
    ("listwise", ListwiseSoftmaxLoss(0.2), lambda s, r: by_the_book.listwise_loss(s, r, 0.2)),
    (
        "listwise within sessions",
        ListwiseSoftmaxLoss(0.2, in_batch_negatives=False),
        lambda s, r: by_the_book.listwise_loss(s, r, 0.2, in_batch=False),
    ),
    ("InfoNCE", InfoNCELoss(0.2), lambda s, r: by_the_book.info_nce(s, r, 0.2)),
    (
        "InfoNCE across sessions alone",
        InfoNCELoss(0.2, session_negatives=False),
        lambda s, r: by_the_book.info_nce(s, r, 0.2, in_session=False),
    ),
]
loss_cases = pytest.mark.parametrize(("loss", "reference"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])


@loss_cases
@settings(max_examples=60, deadline=None)
@given(sessions=SESSIONS, rules=RULES)
def test_losses_equal_plain_python(
    loss: RankingLossInterface, reference: Reference, sessions: list[Session], rules: Rules
) -> None:
    assert float(loss(features(sessions, rules))) == pytest.approx(reference(sessions, rules), rel=1e-9, abs=1e-9)


@loss_cases
@settings(max_examples=25, deadline=None)
@given(sessions=SESSIONS, rules=RULES, data=st.data())
def test_neither_padding_nor_the_order_of_sessions_changes_a_loss_or_its_gradient(
    loss: RankingLossInterface, reference: Reference, sessions: list[Session], rules: Rules, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(sessions))))
    fill = data.draw(st.sampled_from([-0.7, 0.7]))
    plain, moved = features(sessions, rules), features([sessions[i] for i in order], rules, padding=3, fill=fill)
    values = []
    for f in (plain, moved):
        f.ranks.requires_grad_()
        value = loss(f)
        value.backward()
        values.append(float(value.detach()))
    assert plain.ranks.grad is not None
    assert moved.ranks.grad is not None
    width = plain.ranks.shape[1]
    assert values[0] == pytest.approx(values[1], rel=1e-9, abs=1e-12)
    assert torch.allclose(plain.ranks.grad[list(order)], moved.ranks.grad[:, :width], atol=1e-12)
    assert not moved.ranks.grad[:, width:].any()


def at_a_distance(value: float, rules: Rules) -> bool:
    """Whether a difference is far from where pairs come and go, and from the kink of |d|."""
    return min(abs(value - rules.low), abs(value - rules.high), value) > 1e-3


@loss_cases
@settings(max_examples=15, deadline=None)
@given(sessions=SESSIONS, rules=RULES)
def test_gradients_equal_finite_differences(
    loss: RankingLossInterface, reference: Reference, sessions: list[Session], rules: Rules
) -> None:
    """The differences are of the plain-Python reference, so that nothing is compared with itself."""
    f = features(sessions, rules)
    f.ranks.requires_grad_()
    loss(f).backward()
    assert f.ranks.grad is not None
    assert f.batch_ranks is not None
    step = 1e-6
    for s, session in enumerate(sessions):
        for r, result in enumerate(session.results):
            if not all(
                at_a_distance(abs(result.rank - other.rank), rules)
                for other in session.results
                if other.clicked != result.clicked
            ):
                continue
            rank, around = result.rank, []
            for result.rank in (rank + step, rank - step):
                around.append(reference(sessions, rules))
            result.rank = rank
            slope = (around[0] - around[1]) / (2 * step)
            assert float(f.ranks.grad[s, r]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(sessions=SESSIONS, padding=st.integers(0, 3))
def test_confidences_equal_plain_python(sessions: list[Session], padding: int) -> None:
    f = features(sessions, Rules(), padding=padding, fill=0.7)
    found = calculate_confidences(f.ranks, f.clicked, f.valid)
    means = [sum(r.rank for r in s.results) / len(s.results) for s in sessions]
    for row, session in enumerate(sessions):
        if abs(means[row]) < 1e-2:  # |r - mean| / |mean| is all rounding there
            assert torch.isfinite(found[row]).all()
            continue
        n = len(session.results)
        assert found[row, :n].tolist() == pytest.approx(by_the_book.confidences(session), rel=1e-6, abs=1e-6)
        assert not found[row, n:].any()
    assert torch.equal(dummy_confidences(f.ranks, f.clicked, f.valid), f.valid.to(f.ranks.dtype))


@settings(max_examples=150, deadline=None)
@given(sessions=SESSIONS | LONG_SESSIONS, similarity=st.booleans(), data=st.data())
def test_metrics_equal_plain_python_whatever_the_padding_and_the_order(
    sessions: list[Session], similarity: bool, data: st.DataObject
) -> None:
    queries = data.draw(st.lists(st.integers(0, 2), min_size=len(sessions), max_size=len(sessions)))
    expected = by_the_book.metrics(sessions, similarity=similarity, queries=queries)
    order = data.draw(st.permutations(range(len(sessions))))
    fill = data.draw(st.sampled_from([-0.7, 0.0, 0.7]))
    plain = ranked_sessions(sessions, similarity=similarity, queries=queries)
    moved = ranked_sessions(
        [sessions[i] for i in order], similarity=similarity, padding=3, fill=fill, queries=[queries[i] for i in order]
    )
    assert summarize(plain) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert summarize(moved) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(sessions=SESSIONS)
def test_a_distance_is_a_similarity_with_the_other_sign(sessions: list[Session]) -> None:
    near = [
        Session(
            [functools.partial(type(r), **{**vars(r), "rank": -r.rank})() for r in s.results], [-o for o in s.others]
        )
        for s in sessions
    ]
    for _, loss, _ in CASES:
        one, other = features(sessions, Rules()), features(near, Rules(similarity=False))
        assert float(loss(one)) == pytest.approx(float(loss(other)), rel=1e-12)


def test_padded_rows_hold_what_they_should() -> None:
    assert padded([[1.0], [2.0, 3.0]], 3, 9.0).tolist() == [[1, 9, 9], [2, 3, 9]]
