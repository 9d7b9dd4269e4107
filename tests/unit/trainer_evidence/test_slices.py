"""Which queries belong together, and what the judges say of a part of them."""

import numpy as np
import pytest

from bluetune_trainer.evidence.judges import CLICK_JUDGES, ClickJudge, estimate, gain_of, moments
from bluetune_trainer.evidence.slices import script_of, slices_of
from unit.trainer_evidence.clicked_world import KNOWN, Truth


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("red shoes", "Latin"),
        ("красные туфли size", "Cyrillic"),
        ("赤い靴", "Han and kana"),
        ("سجادة", "Arabic"),
        ("빨간 신발", "Hangul"),
        ("4711-08", "none"),
        ("ｒｅｄ", "Latin"),
        ("", "none"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_slices_are_head_tail_lengths_and_scripts_of_ten_queries_at_least() -> None:
    queries = [f"a{i}" for i in range(20)] + [f"один два три четыре пять {i}" for i in range(12)] + ["b c d"] * 3
    asked = np.array([10] * 10 + [2] * 10 + [1] * 12 + [3] * 3)
    found = slices_of(queries, asked)
    assert {name: int(chosen.sum()) for name, chosen in found.items()} == {
        "head": 10,
        "tail": 12,
        "short": 20,
        "long": 12,
        "script Cyrillic": 12,
        "script Latin": 23,
    }


def test_what_is_all_of_the_queries_or_fewer_than_ten_is_no_slice() -> None:
    assert slices_of([f"query {i}" for i in range(50)], np.ones(50, np.int64)) == {}
    assert slices_of([f"query {i}" for i in range(5)], np.arange(5)) == {}


@pytest.mark.parametrize("judge", CLICK_JUDGES)
def test_a_loss_that_the_mean_hides_shows_in_its_slice(judge: ClickJudge) -> None:
    truth = Truth.drawn(200)
    spoiled = np.arange(200) < 50
    candidate = np.where(spoiled[:, None], truth.worse, truth.better)
    known = moments(judge, truth.compared(truth.log(2000), candidate), KNOWN)
    whole, lost = estimate(known), gain_of(known, spoiled)
    assert whole.gain > 0
    assert lost[0] < -3 * float(np.sqrt((lost[1] ** 2).sum()))


@pytest.mark.parametrize("judge", CLICK_JUDGES)
def test_the_gain_of_all_is_that_of_the_estimate(judge: ClickJudge) -> None:
    truth = Truth.drawn(60)
    known = moments(judge, truth.compared(truth.log(200), truth.better), KNOWN)
    whole, (gain, influence) = estimate(known), gain_of(known, np.ones(60, np.bool_))
    assert gain == pytest.approx(whole.gain)
    assert influence == pytest.approx(whole.influence)
