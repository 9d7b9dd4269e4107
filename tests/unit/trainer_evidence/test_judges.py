"""The judges find out which version people would like better, from clicks on what the live version showed."""

from dataclasses import replace

import numpy as np
import pytest

from bluetune_trainer.evidence.examination import Examined, examination
from bluetune_trainer.evidence.judges import CLICK_JUDGES, DISCOUNTS, ClickJudge, Moments, estimate, moments
from bluetune_trainer.evidence.observations import Log, compared, joined, ranks_of
from unit.trainer_evidence.clicked_world import KNOWN, LOOKED, Truth

EVEN = Examined(np.ones(10), np.ones(1))


@pytest.mark.parametrize("judge", CLICK_JUDGES)
def test_a_better_version_gains_and_a_worse_one_loses(judge: ClickJudge) -> None:
    truth = Truth.drawn(150)
    log = truth.log(600)
    examined = examination(truth.compared(log, truth.live))
    better, worse = (
        estimate(moments(judge, truth.compared(log, candidate), examined)) for candidate in (truth.better, truth.worse)
    )
    assert better.gain > 3 * better.error
    assert worse.gain < -3 * worse.error


@pytest.mark.parametrize("judge", CLICK_JUDGES)
def test_the_same_version_gains_exactly_nothing(judge: ClickJudge) -> None:
    truth = Truth.drawn(30)
    same = estimate(moments(judge, truth.compared(truth.log(100), truth.live), KNOWN))
    assert (same.gain, same.error) == (0, pytest.approx(0))


def test_clicks_anywhere_do_not_promote_what_clicks_made_worse() -> None:
    truth = Truth.drawn(150)
    log = truth.log(600)
    random = np.random.default_rng(3)
    anywhere = random.permuted(log.gain.reshape(-1, 10), axis=1).ravel()
    scattered = replace(log, gain=anywhere)
    for judge in CLICK_JUDGES:
        found = estimate(moments(judge, truth.compared(scattered, truth.worse), EVEN))
        assert found.gain < 2 * found.error


@pytest.mark.parametrize("clickless", [False, True])
def test_examination_is_found_in_a_log_whose_rankings_differ(clickless: bool) -> None:
    truth = Truth.drawn(300)
    found = examination(truth.compared(truth.log(3000, clickless=clickless), truth.live))
    assert found.looked[0] == 1
    assert np.abs(found.looked - LOOKED).max() < 0.15
    assert (found.stands_for.max() > 1) == (not clickless)


def test_sessions_that_were_dropped_for_want_of_a_click_are_stood_for() -> None:
    truth = Truth.drawn(300)
    every, clicked = (truth.log(4000, clickless=clickless) for clickless in (True, False))
    dropped = 1 - len(np.unique(clicked.session)) / len(np.unique(every.session))
    assert dropped > 0.01
    found = examination(truth.compared(clicked, truth.live))
    by_session = found.stands_for.reshape(-1, 10)[:, 0]
    assert by_session.mean() - 1 == pytest.approx(dropped / (1 - dropped), rel=0.5)


def test_a_log_without_rows_leaves_the_prior() -> None:
    nothing = Log(*(np.zeros(0, np.int64),) * 2, np.zeros(0), *(np.zeros(0, np.int64),) * 2)
    found = examination(compared(nothing, *(np.zeros((1, 3), np.float32),) * 3))
    assert found.looked.tolist() == pytest.approx([(k + 1) ** -0.7 for k in range(10)])


def test_the_estimate_is_least_squares_weighted_by_examination() -> None:
    """Against numpy's own solver, with one column for the ridge."""
    random = np.random.default_rng(0)
    x, looked, gain = random.normal(size=(50, 3)), random.uniform(0.1, 1, 50), random.random(50)
    top = random.normal(size=(5, 3))
    ridge = np.array([1.0, 2.0, 3.0])
    found = estimate(
        Moments(
            np.einsum("ni,nj,n->nij", x, x, looked)[None].sum(1, keepdims=False),
            (x * gain[:, None]).sum(0)[None],
            top.sum(0)[None],
            np.zeros((1, 3)),
            ridge,
        )
    )
    rows = np.concatenate([x * np.sqrt(looked)[:, None], np.diag(np.sqrt(ridge))])
    target = np.concatenate([gain / np.sqrt(looked), np.zeros(3)])
    beta = np.linalg.lstsq(rows, target, rcond=None)[0]
    assert found.gain == pytest.approx(float(top.sum(0) @ beta))


def test_the_error_covers_the_gain_over_other_queries() -> None:
    gains, errors = [], []
    for seed in range(40):
        truth = Truth.drawn(40, documents=100, seed=seed)
        found = estimate(moments("Symmetric", truth.compared(truth.log(160, seed), truth.better), KNOWN))
        gains.append(found.gain)
        errors.append(found.error)
    assert 0.7 < np.mean(errors) / np.std(gains) < 1.4


def test_equal_scores_do_not_keep_the_order_of_the_log() -> None:
    ranks = ranks_of(np.zeros((1, 50), np.float32))
    assert sorted(ranks[0].tolist()) == list(range(50))
    assert ranks[0].tolist() != list(range(50))


def test_parts_of_a_log_say_together_what_the_whole_says() -> None:
    truth = Truth.drawn(20, documents=60)
    log = truth.log(80)
    whole = truth.compared(log, truth.better)
    halves = []
    for low, high in ((0, 10), (10, 20)):
        keep = (log.query >= low) & (log.query < high)
        part = Log(log.query[keep] - low, log.place[keep], log.gain[keep], log.document[keep], log.session[keep])
        halves.append(compared(part, *(s[low:high] for s in (truth.live, truth.better, truth.words))))
    for judge in CLICK_JUDGES:
        one, two = (estimate(moments(judge, found, KNOWN)) for found in (whole, joined(halves)))
        assert one.gain == pytest.approx(two.gain)
        assert one.influence == pytest.approx(two.influence)


@pytest.mark.parametrize("metric", sorted(DISCOUNTS))
def test_ten_results_that_all_would_be_clicked_are_worth_one(metric: str) -> None:
    assert DISCOUNTS[metric](np.arange(30.0)).sum() == pytest.approx(1)
    assert DISCOUNTS[metric](np.arange(10.0, 30.0)).tolist() == [0.0] * 20
