"""Where a report lies, and the trainer's commands where there is no trainer."""

import sys
from typing import Any

import pytest

from bluetune.__main__ import main
from bluetune.commands import reports
from bluetune.core.errors import CliError, Exit
from bluetune.core.reports import report_place

MODEL: dict[str, Any] = {
    "metadata": {"name": "m"},
    "spec": {"store": {"endpoint": "minio:9000", "bucket": "models", "prefix": "a/b", "fieldOfTomorrow": 1}},
}


def task(url: str | None) -> dict[str, Any]:
    return {"metadata": {"name": "t"}, "status": {"reportUrl": url}}


@pytest.mark.parametrize(("given", "endpoint"), [(None, "minio:9000"), ("localhost:1", "localhost:1")])
def test_a_report_lies_in_the_models_store(given: str | None, endpoint: str) -> None:
    location, key = report_place(task("s3://models/a/b/runs/u/report.html"), MODEL, given)
    assert (location.endpoint, location.uri(key), key) == (
        endpoint,
        "s3://models/a/b/runs/u/report.html",
        "runs/u/report.html",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [(None, "task t has no report"), ("s3://models/other/runs/u/report.html", "not in the store of model m")],
)
def test_a_report_that_is_not_there_is_not_looked_for(url: str | None, said: str) -> None:
    with pytest.raises(CliError, match=said):
        report_place(task(url), MODEL, None)


@pytest.mark.parametrize("command", ["check", "run"])
def test_without_the_trainer_its_commands_say_what_to_install(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reports, "TRAINER_NEEDS", ("typer", "a_package_that_nobody_has"))
    assert main([command, "--plan", "x"]) == Exit.REFUSED
    said = f"error: {command} needs a_package_that_nobody_has: pip install 'bluetune[trainer]'\n"
    assert capsys.readouterr().err == said


def test_the_trainers_commands_get_their_options_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(reports.os, "execv", lambda program, line: started.append([program, *line[1:]]))
    assert main(["run", "-f", "a.yaml", "--store", "x", "--help"]) == Exit.DONE
    assert started == [
        [sys.executable, "-m", "bluetune_trainer.cli.main", "run", "-f", "a.yaml", "--store", "x", "--help"]
    ]
