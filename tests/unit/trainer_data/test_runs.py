"""A run's records are written once and outlive the process."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import StoreUnreachable
from bluetune_api.records import MethodPlan, Plan, Progress, RunOwner, Trial
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.errors import PlanInvalid, StoreFailed
from bluetune_trainer.store.progress import (
    SECONDS_BETWEEN_WRITES,
    FoldsBegan,
    ProgressWriter,
    after_search,
    in_folds,
    whole_run,
)
from bluetune_trainer.store.runs import StoredTrials, keep_plan, read


def _plan(**changes: Any) -> Plan:
    owner = RunOwner(kind="FineTuningTask", name="t", namespace="n", uid="u1")
    location = StoreLocation(endpoint="minio:9000", bucket="models")
    fields = {"kind": "Train", "owner": owner, "model": "m", "store": location, "batch_id": "b", **changes}
    return Plan(**fields)


def _model(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "model.safetensors").write_text(content)
    return path


def test_finished_trials_are_read_back_by_number(store: Any) -> None:
    log = StoredTrials(store, "u1")
    for number in (10, 2, 0):
        log.record(Trial(trial=number, status="fail", params={"margin": 0.2}, message="diverged"), None)
    assert [trial.trial for trial in StoredTrials(store, "u1").finished()] == [0, 2, 10]
    assert log.finished()[0].message == "diverged"


def test_a_trial_that_was_recorded_stays_as_it_is(store: Any) -> None:
    log = StoredTrials(store, "u1")
    log.record(Trial(trial=0, status="ok", params={}, quality=0.5), None)
    log.record(Trial(trial=0, status="ok", params={}, quality=0.9), None)
    assert log.finished()[0].quality == 0.5


def test_only_the_best_model_is_kept_and_comes_back(store: Any, tmp_path: Path) -> None:
    log = StoredTrials(store, "u1")
    for number in (0, 1):
        model = _model(tmp_path / f"m{number}", f"weights {number}")
        log.record(Trial(trial=number, status="ok", params={}, quality=0.5 + number / 10), model)
    assert store.folders("runs/u1/best/") in (["0", "1"], ["1"])  # a folder may stay, its files do not
    assert [info.key for info in store.list("runs/u1/best/0/")] == []
    log.fetch_best(1, tmp_path / "back")
    assert (tmp_path / "back" / "model.safetensors").read_text() == "weights 1"


def test_an_attempt_that_lags_behind_removes_no_model_of_the_one_ahead(store: Any, tmp_path: Path) -> None:
    def trial(number: int, seconds: float) -> Trial:
        return Trial(trial=number, status="ok", params={}, quality=0.5 + number / 10, seconds=seconds)

    ahead, behind = StoredTrials(store, "u1"), StoredTrials(store, "u1")
    for number in (0, 1):
        ahead.record(trial(number, 1.0), _model(tmp_path / f"ahead-{number}", f"weights {number}"))
    behind.record(trial(0, 2.0), _model(tmp_path / "behind", "weights 0"))
    ahead.fetch_best(1, tmp_path / "back")
    assert (tmp_path / "back" / "model.safetensors").read_text() == "weights 1"
    assert [trial.seconds for trial in behind.finished()] == [1.0, 1.0]


@pytest.mark.parametrize("damage", ["files.json", "model.safetensors"])
def test_a_model_that_is_not_whole_is_not_used(store: Any, tmp_path: Path, damage: str) -> None:
    log = StoredTrials(store, "u1")
    log.record(Trial(trial=0, status="ok", params={}, quality=0.5), _model(tmp_path / "m", "weights"))
    store.put(f"runs/u1/best/0/{damage}", b"half")
    with pytest.raises(StoreFailed, match="start a new task"):
        log.fetch_best(0, tmp_path / "back")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),
        ({"metadata": {"who": "else"}}, False),
        ({"batch_id": "other"}, True),
        ({"start_version": "v" + "0" * 12}, True),
        ({"method": MethodPlan(initial_max_evals=3)}, True),
    ],
)
def test_a_run_follows_one_plan(store: Any, changes: dict[str, Any], refused: bool) -> None:
    keep_plan(store, _plan())
    if refused:
        with pytest.raises(PlanInvalid, match=f"another {next(iter(changes))}.*start a new task"):
            keep_plan(store, _plan(**changes))
    else:
        keep_plan(store, _plan(**changes))


def test_a_record_of_another_kind_is_refused(store: Any) -> None:
    store.put("runs/u1/trials/0.json", b'{"what": 1}')
    with pytest.raises(StoreFailed, match=r"0\.json is no Trial"):
        StoredTrials(store, "u1").finished()


def _progress(percent: int, eta: int | None = None) -> Progress:
    return Progress(stage="Searching", percent=percent, eta_seconds=eta, updated_at="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("percent", "eta", "elapsed", "whole", "left"),
    [(0, None, 5, 4, None), (0, 90, 0, 4, 100), (50, 45, 45, 47, 55), (100, 0, 90, 90, 10)],
)
def test_progress_of_the_search_is_fitted_into_the_run(
    percent: int, eta: int | None, elapsed: float, whole: int, left: int | None
) -> None:
    found = whole_run(_progress(percent, eta), elapsed)
    assert (found.percent, found.eta_seconds) == (whole, left)


def _folds(percent: int, eta: int | None, share: float = 0.0) -> FoldsBegan:
    return FoldsBegan(_progress(percent, eta), share, elapsed=90.0)


@pytest.mark.parametrize(
    ("began", "share", "elapsed", "percent", "left"),
    [
        (_folds(40, 200), 0.0, 90, 40, 200),  # what the search said
        (_folds(40, 200), 0.5, 175.5, 65, 114),  # as foreseen: 171 s of folds, then a ninth of all for the rest
        (_folds(40, 200), 0.5, 261, 65, 172),  # twice as long as foreseen: half of that is believed
        (_folds(40, 200), 1.0, 261, 90, 29),  # the rest
        (_folds(40, 200, 0.4), 0.4, 90, 40, 124),  # an earlier attempt compared two of five
        (_folds(40, None), 0.01, 91, 40, None),  # too early to tell
        (_folds(40, None), 0.5, 180, 65, 120),
    ],
)
def test_the_time_left_goes_on_through_the_folds(
    began: FoldsBegan, share: float, elapsed: float, percent: int, left: int | None
) -> None:
    found = in_folds(began, share, elapsed)
    assert (found.stage, found.percent, found.eta_seconds) == ("Evaluating", percent, left)


def test_the_time_left_does_not_jump_where_a_stage_begins() -> None:
    """A search of 4 trainings of 10 s, then folds of 5 trainings' time, then a tenth for the rest."""
    told = [whole_run(_progress(100 * n // 9, 10 * (9 - n)), 10.0 * n).eta_seconds for n in range(1, 5)]
    began = FoldsBegan(whole_run(_progress(44, 50), 40), 0.0, 40)
    told += [in_folds(began, step / 5, 40 + 10.0 * step).eta_seconds for step in range(6)]
    told.append(after_search(90, 90))
    assert told == [90, 80, 70, 60, 60, 50, 40, 30, 20, 10, 10]


def test_of_many_states_only_the_last_is_written_at_most_once_a_second(store: Any) -> None:
    writes = 0
    put = store.put

    def counted(key: str, data: bytes, **more: Any) -> None:
        nonlocal writes
        writes += 1
        put(key, data, **more)

    store.put = counted
    began = time.monotonic()
    writer = ProgressWriter.of_attempt(store, "u1", "pod")
    for percent in range(100):
        writer.report(_progress(percent))
        time.sleep(0.002)
    writer.close()
    seconds = time.monotonic() - began
    stored = read(store, "runs/u1/attempts/pod/progress.json", Progress)
    assert stored is not None
    assert stored.percent == 99
    assert writes <= 2 + seconds / SECONDS_BETWEEN_WRITES  # the first one, and the last one when it is closed


def test_a_store_that_does_not_answer_never_holds_the_training_up(store: Any) -> None:
    release, answers = threading.Event(), []

    def hang(*_: Any, **__: Any) -> None:
        release.wait(60)
        answers.append("none")
        raise StoreUnreachable("no answer")

    store.put = hang
    writer = ProgressWriter.of_attempt(store, "u1", "pod")
    for percent in range(100):
        writer.report(_progress(percent))
    assert not answers, "a report waited for the store"
    release.set()
    writer.close()
