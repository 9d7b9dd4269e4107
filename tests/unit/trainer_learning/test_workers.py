"""What `--workers` asks for, and what is refused before anything is read."""

import importlib.util
from pathlib import Path

import pytest

from bluetune_trainer.cli.laptop import check_workers
from bluetune_trainer.cli.main import main
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.threads import fit_threads, threads_of_each


def test_one_process_needs_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_workers(1, devices=4)
    with pytest.raises(PlanInvalid, match=r"--workers is 2, which needs Ray: install the extra `ray`"):
        check_workers(2, devices=1)


def test_workers_and_devices_are_not_for_the_same_run() -> None:
    check_workers(2, devices=1)
    with pytest.raises(PlanInvalid, match=r"--workers is 2 and settings\.devices is 4"):
        check_workers(2, devices=4)


@pytest.mark.parametrize("given", ["0", "-1", "two", "65", "1.5"])
def test_what_is_no_number_of_workers_is_refused(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "-f", str(tmp_path), "--store", str(tmp_path), f"--workers={given}"])
    assert f"{given!r} must be a whole number from 1 to 64" in capsys.readouterr().err


def test_a_job_has_no_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--plan", str(tmp_path / "plan.json"), "--workers", "2"])
    assert "--workers goes with -f" in capsys.readouterr().err


def test_workers_share_the_threads_unless_their_number_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = fit_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_of_each(1), threads_of_each(2), threads_of_each(64)] == [threads, max(threads // 2, 1), 1]
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    assert threads_of_each(64) == threads
