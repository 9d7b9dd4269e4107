"""The report of a finished run goes to the store, and never costs the run its result."""

import threading
from pathlib import Path

import numpy as np
import pytest

from bluetune_api.objectstore import LocalStore, StoreUnreachable
from bluetune_trainer.cli.reporting import Finished, write_report
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import Stopped
from bluetune_trainer.report.content import RunFacts
from bluetune_trainer.search.contract import SearchOutcome
from bluetune_trainer.search.gate import Measured
from bluetune_trainer.store.versions import Published
from bluetune_trainer.training.parts import choose_parts
from unit.trainer_report.made_up import facts


def _finished() -> Finished:
    run = facts(4)
    sessions = Sessions(["a"], np.array([0, 1], np.int32), np.array([True, False]), np.array([0, 2]))
    assert run.gate is not None
    assert run.evidence is not None
    return Finished(
        plan=run.plan,
        method=run.plan.method,
        parts=choose_parts(run.plan.method.settings),
        check=run.check,
        catalogue=Catalogue([str(i) for i in range(40)], list(run.texts), {str(i): i for i in range(40)}),
        split=Split(sessions, sessions, sessions),
        left_out=0,
        outcome=SearchOutcome(run.best, Path("nowhere"), run.baseline, list(run.trials), 384, "", ""),
        start=Path("nowhere"),
        measured=Measured(run.gate, run.evidence, {}),
        published=Published(run.version, run.digest, run.uri, run.manifest),
        stages=list(run.stages),
    )


def test_it_lies_beside_the_result(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    written = write_report(store, _finished(), stop=threading.Event())
    assert written.problem is None
    assert written.url == str(tmp_path / "runs/uid-1/report.html")
    page = (tmp_path / "runs/uid-1/report.html").read_text(encoding="utf-8")
    assert "3 clicks on 3 results shown" in page


def test_a_report_that_cannot_be_made_is_said_and_not_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: RunFacts) -> str:
        raise ZeroDivisionError("no width")

    written = write_report(LocalStore(tmp_path), _finished(), stop=threading.Event(), make=broken)
    assert written.url is None
    assert written.problem == "the report could not be made: ZeroDivisionError: no width"
    assert "ZeroDivisionError" in caplog.text
    assert not list(tmp_path.rglob("*.html"))


def test_a_store_that_fails_is_a_failure_of_the_store(tmp_path: Path) -> None:
    class Down(LocalStore):
        def put(self, key: str, data: bytes) -> None:
            raise StoreUnreachable("connection refused")

    with pytest.raises(StoreUnreachable):
        write_report(Down(tmp_path), _finished(), stop=threading.Event())


def test_a_stop_is_a_stop(tmp_path: Path) -> None:
    def stopped(_: RunFacts) -> str:
        raise Stopped

    with pytest.raises(Stopped):
        write_report(LocalStore(tmp_path), _finished(), stop=threading.Event(), make=stopped)
