"""What the gate decided, in words."""

import pytest

from bluetune_api.model import Gate
from bluetune_api.records import GateReport
from bluetune_trainer.report.decision import decision, tone_of
from unit.trainer_report.made_up import facts


def _report(**changes: object) -> GateReport:
    made = facts(3).gate
    assert made is not None
    return made.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "gate", "title", "tone"),
    [
        ({"low": 0.012}, Gate(confidence=0.9), "Better", "good"),
        ({"low": -0.001, "delta": 0.02, "own_delta": 0.02}, Gate(confidence=0.9), "Undecided", "open"),
        ({"low": -0.03, "delta": -0.01}, Gate(confidence=0.9), "Not better", "bad"),
        ({"delta": 0.03, "own_delta": -0.01}, Gate(confidence=0.9), "Not better", "bad"),
        ({"delta": 0.005}, Gate(confidence=0.9, min_delta=0.01), "Not better by as much as is asked for", "bad"),
        ({"queries": 9, "low": 0.012}, Gate(confidence=0.9), "Not measured", "open"),
        ({"low": 0.012}, Gate(confidence=0.95), "Not measured", "open"),
        ({"low": -0.03}, Gate(confidence=0), "Passes the gate, and may be no better", "open"),
        ({"low": -0.005, "delta": 0.01}, Gate(confidence=0.9, min_delta=-0.01), "Passes the gate, and may be no better",
         "open"),
    ],
)  # fmt: skip
def test_the_title_claims_no_more_than_the_verdict(
    changes: dict[str, object], gate: Gate, title: str, tone: str
) -> None:
    found = decision(_report(**changes), gate)
    assert (found.title, found.tone) == (title, tone)


def test_nothing_measured_is_not_measured() -> None:
    assert decision(None, Gate()).title == "Not measured"


@pytest.mark.parametrize(
    ("delta", "low", "asked", "tone"),
    [(0.02, 0.01, 0.0, "good"), (0.02, 0.01, 0.015, "open"), (0.02, None, 0.0, "open"), (0.0, -0.1, 0.0, "bad")],
)
def test_an_interval_alone_is_told_by_where_it_begins(delta: float, low: float | None, asked: float, tone: str) -> None:
    assert tone_of(delta, low, asked) == tone
