"""Where a report lies, and the trainer's commands where there is no trainer."""

import sys
from typing import Any

import pytest

from bluetune.__main__ import main
from bluetune.adapters import trainer
from bluetune.commands import reports
from bluetune.core.errors import CliError, Exit
from bluetune.core.reports import report_place

MODEL: dict[str, Any] = {
    "metadata": {"name": "m"},
    "spec": {
        "store": {
            "endpoint": "minio:9000",
            "bucket": "models",
            "prefix": "a/b",
            "addressing": "VirtualHost",
            "fieldOfTomorrow": 1,
        }
    },
}


def task(url: str | None) -> dict[str, Any]:
    return {"metadata": {"name": "t"}, "status": {"reportUrl": url}}


REPORT = "s3://models/a/b/runs/u/report.html"


@pytest.mark.parametrize(
    ("given", "endpoint", "secure", "addressing"),
    [
        (None, "minio:9000", True, "VirtualHost"),
        ("localhost:1", "localhost:1", True, None),  # which has no host of the bucket's name
        ("http://localhost:1", "localhost:1", False, None),
        ("https://store", "store", True, None),
    ],
)
def test_a_report_lies_in_the_models_store(
    given: str | None, endpoint: str, secure: bool, addressing: str | None
) -> None:
    location, key = report_place(task(REPORT), MODEL, given)
    assert (location.uri(key), key) == (REPORT, "runs/u/report.html")
    assert (location.endpoint, location.secure, location.addressing) == (endpoint, secure, addressing)


@pytest.mark.parametrize("given", ["", "localhost:1/path", "ftp://localhost:1", "http://", "http://a b"])
def test_an_endpoint_that_is_none_is_a_mistake_of_the_command_line(given: str) -> None:
    with pytest.raises(CliError) as raised:
        report_place(task(REPORT), MODEL, given)
    assert str(raised.value).startswith(f"--endpoint {given!r}: must be HOST:PORT")
    assert raised.value.code == Exit.USAGE


def test_a_store_of_a_newer_release_is_one_sentence() -> None:
    newer = {**MODEL, "spec": {"store": MODEL["spec"]["store"] | {"addressing": "Dualstack"}}}
    with pytest.raises(CliError, match=r"^model m: spec\.store\.addressing: .*Path.*; if a newer release"):
        report_place(task(REPORT), newer, None)


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
    monkeypatch.setattr(trainer, "NEEDED", ("typer", "a_package_that_nobody_has"))
    assert main([command, "--plan", "x"]) == Exit.REFUSED
    said = f"error: {command} needs a_package_that_nobody_has: pip install '.[trainer]' in a checkout of bluetune\n"
    assert capsys.readouterr().err == said


def test_the_trainers_commands_get_their_options_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(reports.os, "execv", lambda program, line: started.append([program, *line[1:]]))
    assert main(["run", "-f", "a.yaml", "--store", "x", "--help"]) == Exit.DONE
    assert started == [
        [sys.executable, "-m", "bluetune_trainer.cli.main", "run", "-f", "a.yaml", "--store", "x", "--help"]
    ]
