"""Progress as people see it, and when it is worth a write."""

from typing import Any

import pytest

from bluetune_api.records import Progress
from bluetune_api.task import FineTuningTaskStatus, TrialSummary
from bluetune_operator.core.tasks.progress import (
    duration_text,
    is_visible_change,
    poll_seconds,
    shown,
    shown_metrics,
    task_progress,
    with_progress,
)

FIRST = {"stage": "Searching", "percent": 40, "eta_seconds": 200, "trials_done": 3, "trials_total": 8, "epoch": 2}


def progress(**changes: Any) -> Progress:
    return Progress(**({"updated_at": "2026-01-01T00:00:00Z", **FIRST} | changes))


@pytest.mark.parametrize(("running", "seconds"), [(1, 2.0), (20, 2.0), (50, 5.0), (500, 50.0)])
def test_many_trainers_together_are_asked_no_more_than_ten_times_a_second(running: int, seconds: float) -> None:
    assert poll_seconds(running) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (200, "3m"), (3600, "1h00m"), (7860, "2h11m")]
)
def test_durations_are_short(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_columns_of_kubectl() -> None:
    shown = task_progress(progress())
    assert (shown.trials, shown.summary) == ("3/8", "40%, 3m left")


@pytest.mark.parametrize(
    ("changes", "visible"),
    [
        ({}, False),
        ({"eta_seconds": 190, "updated_at": "2026-01-01T00:00:10Z"}, False),
        ({"eta_seconds": 100}, True),
        ({"eta_seconds": None}, True),
        ({"percent": 41}, True),
        ({"trials_done": 4}, True),
        ({"epoch": 3}, True),
        ({"stage": "Evaluating"}, True),
        ({"updated_at": "2026-01-01T00:01:00Z"}, True),
    ],
)
def test_only_what_people_see_is_written(changes: dict[str, Any], visible: bool) -> None:
    assert is_visible_change(task_progress(progress()), task_progress(progress(**changes))) is visible


def test_an_unchanged_progress_leaves_the_status_as_it_is() -> None:
    status = with_progress(FineTuningTaskStatus(), progress())
    assert with_progress(status, progress(updated_at="2026-01-01T00:00:05Z")) is status


def test_the_status_stays_bounded_however_many_trials() -> None:
    trials = [TrialSummary(trial=n, quality=1 / (n + 1)) for n in range(50)]
    status = with_progress(FineTuningTaskStatus(), progress(top_trials=trials, best=trials[0]))
    assert len(status.top_trials or []) == 10
    assert status.best == trials[0]


def test_trials_and_metrics_are_shown_with_the_digits_that_people_read() -> None:
    trial = TrialSummary(trial=1, quality=0.7066159248, params={"items_lr": 0.00011993385, "layers": 3})
    assert shown(trial) == TrialSummary(trial=1, quality=0.7066, params={"items_lr": 0.0001199, "layers": 3})
    assert shown(None) is None
    assert shown_metrics({"ndcg@10": 0.4314517}) == {"ndcg@10": 0.4315}
    assert shown_metrics({}) is None
