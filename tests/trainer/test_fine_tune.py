"""`bluetune.fine_tune` trains for real, from tables of a notebook, by the same steps as `bluetune run -f`."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from bluetune import FineTuneError, fine_tune
from bluetune_api.exit_codes import ExitCode
from bluetune_api.records import Manifest, Probe
from trainer.learning_world import write_tiny_encoder
from trainer.shop import CLICKS_ALONE, FOLDS, write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
METHOD: dict[str, Any] = {
    "items": {"textFields": ["title"]},
    "settings": {"numEpochs": 1, "batchSize": 16, "testEachNInputs": 1.0, "precision": "FP32", "maxTokens": 32},
    "initialParams": {"num_fixed_layers": {"choice": [0]}, "items_lr": {"choice": [1e-3]}, **CLICKS_ALONE},
    "initialMaxEvals": 1,
}
GATE = {"folds": FOLDS}
WIDTH = 32
"""Of the tiny encoder's vectors."""
EARLIER = Manifest(files=[], dimension=2, probe=Probe(texts=["a"], vectors=[[1.0, 0.0]]))
COLUMNS = {"user": "user", "time": "time", "type": "type", "query": "query", "item": "item", "position": "place"}


@pytest.fixture(scope="module")
def base(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("base"), minilm, layers=2)


@pytest.fixture(scope="module")
def rows(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sessions and items."""
    shop = write_shop(tmp_path_factory.mktemp("shop"), base, sessions=120)
    sessions, items = (
        [json.loads(line) for line in (shop.folder / key).read_text().splitlines()]
        for key in ("clickstream/monday/part-0.jsonl", "items/items.jsonl")
    )
    return sessions, items


def events_of(session: dict[str, Any]) -> list[dict[str, Any]]:
    """The same search as rows of a log, one event a row."""
    base = {"user": session["session_id"], "query": session["search_query"]}
    began = pd.Timestamp(session["created_at"])
    shown = [
        {**base, "time": began, "type": "impression", "item": result["object_id"], "place": result["rank"]}
        for result in session["search_results"]
    ]
    clicked = [
        {**base, "time": began + pd.Timedelta(seconds=5), "type": "click", "item": event["object_id"], "place": None}
        for event in session["events"]
    ]
    return [*shown, *clicked]


def test_a_pandas_frame_makes_a_model_that_sentence_transformers_opens(
    base: Path, rows: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sentence_transformers import SentenceTransformer

    sessions, items = map(pd.DataFrame, rows)
    run = fine_tune(base, sessions=sessions, items=items, out=tmp_path / "model", method=METHOD, gate=GATE)
    assert SentenceTransformer(str(run.model)).encode(["red lamp"]).shape == (1, WIDTH)
    assert [(trial.trial, trial.status) for trial in run.trials] == [(0, "ok")]
    assert run.gate.passed == (run.gate.verdict.reason == "GatePassed")
    assert run.gate.report is not None
    assert run.gate.report.folds == FOLDS
    assert f"model      {run.model}" in repr(run)
    assert "100%  Done" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # the run's own folder is gone
    page = run._repr_html_()
    assert page.startswith('<iframe sandbox="allow-scripts" srcdoc="&lt;!doctype html&gt;')
    assert ".bluetune-" not in page
    assert str(run.model) in page


def test_a_polars_table_of_events_is_read_as_the_clickstream_says_and_an_earlier_model_is_replaced(
    base: Path, rows: Any, tmp_path: Path
) -> None:
    sessions, items = rows
    events = pl.DataFrame([event for session in sessions for event in events_of(session)])
    out = tmp_path / "model"
    out.mkdir()
    (out / "manifest.json").write_bytes(EARLIER.encode())
    run = fine_tune(
        str(base),
        sessions=events,
        items=pl.DataFrame(items),
        out=str(out),
        clickstream={"format": "Events", "events": {"columns": COLUMNS}},
        method=METHOD,
        gate=GATE,
        progress=False,
    )
    assert run.result.batch_id == "sessions"
    assert (run.model / "manifest.json").read_bytes() != EARLIER.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_stop_button_interrupts_and_leaves_nothing(base: Path, rows: Any, tmp_path: Path) -> None:
    sessions, items = map(pd.DataFrame, rows)
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        while not list(tmp_path.glob(".bluetune-*/runs/*/plan.json")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    button = threading.Thread(target=press, daemon=True)
    button.start()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(base, sessions=sessions, items=items, out=tmp_path / "model", method=METHOD, gate=GATE)
    button.join(timeout=10)
    assert signal.getsignal(signal.SIGINT) is before
    assert list(tmp_path.iterdir()) == []


def test_the_error_is_what_the_command_line_prints(base: Path, rows: Any, tmp_path: Path) -> None:
    sessions, items = map(pd.DataFrame, rows)
    with pytest.raises(FineTuneError) as raised:
        fine_tune(base, sessions=sessions.head(5), items=items, out=tmp_path / "model", method=METHOD)
    error = raised.value
    assert (error.reason, error.exit_code, error.__context__) == ("DataInvalid", ExitCode.DATA_INVALID, None)
    assert "settings.minSessions" in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["manifest.json", "notes.txt"])
def test_a_folder_with_files_of_somebody_else_is_refused_and_stays(base: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if name != "manifest.json":
        (out / "manifest.json").write_bytes(EARLIER.encode())
    (out / name).write_text('{"name": "my site"}')
    with pytest.raises(FineTuneError, match="has something else than a model that fine_tune wrote"):
        fine_tune(base, sessions=[], items=[], out=out)
    assert (out / name).read_text() == '{"name": "my site"}'
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
