"""`run -f` finds batches in its folder as the operator finds them in a bucket."""

import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import CheckReport, Plan
from bluetune_trainer.cli import laptop
from bluetune_trainer.errors import DataInvalid
from unit.trainer_data.test_manifests import MANIFESTS, write


class Chosen(Exception):
    """The batch that is to be checked."""


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str], *, settle: str = "") -> str:
    """Run a task that names no batch; the batch that it takes."""
    (folder / "store").mkdir()
    store = LocalStore(folder / "store")
    for key in keys:
        store.put(f"clickstream/{key}", b"{}\n")
    text = MANIFESTS.replace(", batchId: 2026-01-31", "")
    if settle:
        text = text.replace("  initialParams:\n", f"  clickstream: {{settle: {settle}}}\n  initialParams:\n")

    def check(_: object, plan: Plan, **__: Any) -> None:
        raise Chosen(plan.batch_id)

    monkeypatch.setattr(laptop, "run_check", check)
    with pytest.raises(Chosen) as chosen:
        laptop.run_manifests(
            write(folder, text), folder / "store", None, stop=threading.Event(), open_store=lambda _: store
        )
    return str(chosen.value)


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (["dt=2026-01-31/part-0.parquet", "dt=2026-01-31/_SUCCESS"], "dt=2026-01-31"),
        (["2026/01/31/part", "2026/01/31/_SUCCESS", "b1/_temporary/0/_SUCCESS"], "2026/01/31"),
        (["2026-02-01 00/part", "2026-02-01 00/_SUCCESS"], "2026-02-01 00"),
    ],
)
def test_folders_as_pipelines_write_them_are_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str], taken: str
) -> None:
    assert run(tmp_path, monkeypatch, keys) == taken


def test_a_batch_with_fewer_sessions_than_the_task_asks_for_is_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    LocalStore(folder).put("clickstream/2026-01-31/_SUCCESS", b"")
    counts: Any = {"sessions": 9, "sessions_with_clicks": 9, "positives": 9, "results": 9, "duplicates": 0}
    counts |= {"coverage": 1.0, "broken_lines": 0, "catalogue_size": 9, "informative_sessions": 7}
    report = CheckReport(valid=True, batch_id="2026-01-31", batch=[], items=[], **counts)
    monkeypatch.setattr(laptop, "run_check", lambda *_, **__: report)
    text = MANIFESTS.replace(", batchId: 2026-01-31", ", batchId: 2026-01-31, minSessions: 8")
    said = laptop.run_manifests(
        write(tmp_path, text), folder, None, stop=threading.Event(), open_store=lambda _: LocalStore(folder)
    )
    assert "7 informative sessions, spec.minSessions=8" in said
    judged = laptop.check_manifests([tmp_path / "m.yaml"], folder, None, stop=threading.Event())
    assert judged.splitlines()[0].startswith("batch 2026-01-31: 9 sessions")
    assert judged.splitlines()[-1] == said
    assert list(LocalStore(folder).list("versions/")) == []


def test_where_there_is_no_batch_it_is_said_what_was_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataInvalid) as raised:
        run(tmp_path, monkeypatch, ["dt=1/part", "t/_delta_log/0.json", "loose.jsonl"], settle="2h")
    assert raised.value.reason == "NoBatch"
    said = str(raised.value)
    assert "'dt=1' (added to less than clickstream.settle ago)" in said
    assert "'t' (a Delta table: it has a _delta_log)" in said
    assert "1 file lies right in clickstream/" in said
