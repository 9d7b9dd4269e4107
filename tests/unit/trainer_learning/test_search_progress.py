"""How a trial is cut into steps, and how far a search is."""

from datetime import UTC, datetime

import pytest

from bluetune_api.method import Settings
from bluetune_api.records import Progress, Trial
from bluetune_trainer.search.progress import Work, by_quality, search_progress
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.steps import plan_steps

NOW = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sessions", "settings", "steps", "between"),
    [
        (100, {"batch_size": 10, "num_epochs": 2, "test_each_n_inputs": 0.5}, 10, 5),
        (100, {"batch_size": 10, "num_epochs": 2, "test_each_n_inputs": 30.0}, 10, 3),
        (100, {"batch_size": 10, "num_epochs": 1, "test_each_n_inputs": 1e9}, 10, 10),
        (7, {"batch_size": 32, "num_epochs": 1, "test_each_n_inputs": 0.5}, 1, 1),
    ],
)
def test_validations_are_counted_in_sessions(
    sessions: int, settings: dict[str, object], steps: int, between: int
) -> None:
    plan = plan_steps(sessions, resolve_settings(Settings.model_validate(settings)))
    assert (plan.batches_per_epoch, plan.batches_between_validations, plan.rungs) == (steps, between, ())


@pytest.mark.parametrize(
    ("sessions", "epochs", "each", "rungs"),
    [
        (160, 1, 0.5, (2, 4, 8)),
        (100, 2, 0.5, (3, 5, 10)),
        (100, 2, 30.0, (3, 5, 11)),  # the end of an epoch that no validation follows is no place to leave
        (40, 1, 1.0, (1, 2)),
        (20, 1, 1.0, (1,)),
        (10, 1, 1.0, ()),
        (10, 2, 1.0, (1,)),
    ],
)
def test_rungs_lie_at_steps_where_a_trial_can_be_left(
    sessions: int, epochs: int, each: float, rungs: tuple[int, ...]
) -> None:
    settings = Settings.model_validate({"batch_size": 10, "num_epochs": epochs, "test_each_n_inputs": each})
    plan = plan_steps(sessions, resolve_settings(settings), (1 / 8, 1 / 4, 1 / 2))
    assert plan.rungs == rungs
    assert all(plan.pausable(rung) for rung in rungs)


def test_rungs_lie_where_no_gradient_waits_for_more_batches() -> None:
    settings = Settings.model_validate({"batch_size": 10, "num_epochs": 2, "accumulate_batches": 4})
    plan = plan_steps(100, resolve_settings(settings), (1 / 8, 1 / 4, 1 / 2))
    assert plan.rungs == (4, 8, 10)


def trial(number: int, quality: float | None, seconds: float = 10.0) -> Trial:
    return Trial(
        trial=number, status="ok" if quality is not None else "fail", params={}, quality=quality, seconds=seconds
    )


def progress(finished: list[Trial], waiting: list[Trial], work: Work, total: int = 6) -> Progress:
    return search_progress(finished, waiting, total, work, trial=3, epoch=2, baseline=0.3, now=NOW)


def test_a_trial_that_trained_to_its_end_is_better_than_what_others_reached_at_a_rung() -> None:
    ended = [trial(0, 0.4), trial(1, None), trial(2, 0.5), trial(3, 0.7).model_copy(update={"pruned": True})]
    assert [t.trial for t in by_quality(ended, [trial(4, 0.8)])] == [2, 0, 4, 3]
    assert [t.trial for t in by_quality(ended[3:])] == [3]


def test_progress_names_the_best_of_those_that_ended_before_those_that_wait() -> None:
    found = progress([trial(0, 0.4), trial(1, None)], [trial(2, 0.6)], Work(1.5, 45.0, 0.5))
    assert (found.percent, found.eta_seconds, found.trials_done, found.trials_total) == (75, 15, 2, 6)
    assert found.best is not None
    assert (found.best.trial, found.best.quality) == (0, 0.4)
    assert [t.trial for t in found.top_trials] == [0, 2]
    assert (found.trial, found.epoch, found.baseline, found.updated_at) == (3, 2, 0.3, "2024-01-02T00:00:00Z")


def test_the_best_only_rises_and_is_never_a_trial_that_is_out() -> None:
    """A trial's quality at a rung may fall as it trains on, and one that was better there may be out."""
    rungs = {0: [0.7211, 0.7166], 1: [0.7200], 2: [0.7349, 0.7231, 0.7138]}

    def at(number: int, rung: int, *, pruned: bool = False) -> Trial:
        seen = rungs[number][: rung + 1]
        return trial(number, seen[-1]).model_copy(update={"rungs": seen, "pruned": pruned})

    out1, out0 = at(1, 0, pruned=True), at(0, 1, pruned=True)
    steps: list[tuple[list[Trial], list[Trial]]] = [
        ([], [at(0, 0)]),
        ([], [at(0, 0), at(1, 0)]),
        ([out1], [at(0, 0), at(2, 0)]),
        ([out1], [at(0, 1), at(2, 0)]),
        ([out1, out0], [at(2, 1)]),
        ([out1, out0], [at(2, 2)]),
        ([out1, out0, trial(2, 0.7202)], []),
        ([out1, out0, trial(2, 0.7202), trial(3, 0.71)], [trial(4, 0.8)]),
        ([out1, out0, trial(2, 0.7202), trial(3, 0.71), trial(4, 0.79)], []),
    ]
    best = [progress(finished, waiting, Work(1, 1, 1)).best for finished, waiting in steps]
    assert [(b.trial, b.quality) if b else None for b in best] == [*[None] * 6, *[(2, 0.7202)] * 2, (4, 0.79)]


@pytest.mark.parametrize(
    ("work", "percent", "eta"),
    [
        (Work(0.0, 0.0, 2.5), 0, None),
        (Work(0.01, 3.0, 2.49), 0, None),  # too early to tell
        (Work(0.5, 100.0, 2.0), 20, 400),
        (Work(1.7, 100.0, 0.0), 100, 0),  # trials ended by themselves
    ],
)
def test_the_time_left_is_the_work_left_at_the_pace_so_far(work: Work, percent: int, eta: int | None) -> None:
    found = progress([], [], work)
    assert (found.percent, found.eta_seconds) == (percent, eta)


def test_at_most_ten_trials_are_named() -> None:
    found = progress([trial(i, i / 100) for i in range(50)], [], Work(50, 50, 0), 50)
    assert [t.trial for t in found.top_trials] == list(range(49, 39, -1))
