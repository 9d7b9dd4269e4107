"""The command line as a Job calls it: plan in, exit code and termination message out. A folder stands for S3."""

import json
import logging
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from bluetune_api.model import Gate
from bluetune_api.objectstore import ObjectChanged, StoreDenied, StoreError, StoreUnreachable
from bluetune_api.records import CheckReport, GateJudge, GateReport, Manifest, Probe, Progress, Result, RunOwner
from bluetune_api.task import TrialSummary
from bluetune_trainer.cli import logs, main
from bluetune_trainer.cli.display import Display, duration, line, summary
from bluetune_trainer.errors import Crashed, DataInvalid, PlanInvalid, Stopped, as_trainer_error
from bluetune_trainer.store.versions import publish

LOCATION = {"endpoint": "minio:9000", "bucket": "models"}
OWNER = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"}
PLAN = {"kind": "Check", "owner": OWNER, "model": "m", "store": LOCATION, "batchId": "b1"}


class Pod:
    """A trainer's pod: its plan, its store, and what it leaves behind."""

    def __init__(self, folder: Path, store: Any, capture: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self.store = store
        self._capture = capture

    def run(self, command: str, plan: dict[str, Any] | str) -> int:
        path = self._folder / "plan.json"
        path.write_text(plan if isinstance(plan, str) else json.dumps(plan))
        return main.main([command, "--plan", str(path)])

    def termination(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self._folder / "termination").read_text())
        return found

    def output(self) -> str:
        captured = self._capture.readouterr()
        return captured.out + captured.err


@pytest.fixture
def pod(tmp_path: Path, good_store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pod:
    monkeypatch.setattr(main, "_open", lambda _location: good_store)
    monkeypatch.setattr(main, "listen", lambda _stop: None)
    monkeypatch.setenv("BLUETUNE_TERMINATION_LOG", str(tmp_path / "termination"))
    return Pod(tmp_path, good_store, capsys)


def test_a_good_batch_is_checked_once(pod: Pod) -> None:
    assert pod.run("check", PLAN) == 0
    assert pod.termination()["reason"] == "Completed"
    first = pod.store.get("runs/u1/check.json")
    assert CheckReport.model_validate_json(first).valid
    pod.store.put("clickstream/b1/more.jsonl", b"broken")
    assert pod.run("check", PLAN) == 0
    assert pod.store.get("runs/u1/check.json") == first


def test_fields_of_a_newer_operators_plan_are_passed_over_and_logged(pod: Pod) -> None:
    assert pod.run("check", {**PLAN, "method": {"settings": {"colour": "red"}}, "label": "x"}) == 0
    warning = next(line for line in pod.output().splitlines() if "newer operator" in line)
    assert "method.settings.colour" in warning
    assert "label" in warning


def test_a_plan_of_a_newer_format_is_not_followed_and_says_what_to_upgrade(pod: Pod) -> None:
    assert pod.run("check", {**PLAN, "formatVersion": 2, "kind": "Dream"}) == 11
    assert pod.termination()["reason"] == "FormatTooNew"
    assert "upgrade the trainer's image" in pod.termination()["message"]


def test_a_bad_batch_ends_with_10_and_the_report_is_there(pod: Pod) -> None:
    pod.store.put("clickstream/b1/part.jsonl", b'{"session_id": 1}\n' * 30)
    assert pod.run("check", PLAN) == 10
    assert pod.termination()["reason"] == "DataInvalid"
    assert "part.jsonl:1: search_query" in pod.termination()["message"]
    assert not CheckReport.model_validate_json(pod.store.get("runs/u1/check.json")).valid
    assert "Traceback" not in pod.output()
    assert pod.run("check", PLAN) == 10


@pytest.mark.parametrize(
    ("command", "plan", "says"),
    [
        ("check", "{", "is not valid"),
        ("check", {**PLAN, "batchId": "../x"}, "batchId"),
        ("check", {k: v for k, v in PLAN.items() if k != "model"}, "model: must be set"),
        (
            "check",
            {k: v for k, v in PLAN.items() if k != "batchId"},
            "has no batchId, which a plan of kind Check needs",
        ),
        ("run", PLAN, "has kind Check; it is for bluetune-trainer check"),
        ("import", {**PLAN, "kind": "Import"}, "has no baseUri"),
        ("check", {**PLAN, "method": {"plugin": "Nothing"}}, "plugin: 'Nothing' is not built in"),
        ("check", {**PLAN, "method": {"initialParams": {"lr": {"choice": [1]}}}}, "initialParams.lr"),
    ],
)
def test_a_plan_that_cannot_be_followed_ends_with_11(pod: Pod, command: str, plan: Any, says: str) -> None:
    assert pod.run(command, plan) == 11
    assert says in pod.termination()["message"]
    assert "Traceback" not in pod.output()


def test_a_plan_that_is_not_there_is_named(pod: Pod) -> None:
    assert main.main(["check", "--plan", "/nowhere/plan.json"]) == 11
    assert pod.termination()["message"] == "the plan /nowhere/plan.json cannot be read: No such file or directory"


def test_a_version_is_fetched_and_verified(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    probe = Probe(texts=[], vectors=[])
    published = publish(
        pod.store, tmp_path / "model", lambda files: Manifest(files=files, dimension=2, probe=probe), lambda _: None
    )
    monkeypatch.setenv("BLUETUNE_STORE", json.dumps(LOCATION))
    arguments = ["fetch", "--version", published.version, "--into", str(tmp_path / "into"), "--digest"]
    assert main.main([*arguments, published.digest]) == 0
    assert (tmp_path / "into" / "config.json").read_text() == "{}"
    assert main.main([*arguments, "sha256:" + "0" * 64]) == 15
    assert pod.termination()["reason"] == "DigestMismatch"
    assert main.main([*arguments, "latest"]) == 11
    monkeypatch.setenv("BLUETUNE_STORE", '{"endpoint": "x"}')
    assert main.main([*arguments, published.digest]) == 11
    assert "BLUETUNE_STORE is not a store: bucket: must be set" in pod.termination()["message"]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (DataInvalid("x"), 10, "DataInvalid"),
        (PlanInvalid("x", reason="VersionNotFound"), 11, "VersionNotFound"),
        (StoreUnreachable("x"), 13, "StoreUnreachable"),
        (StoreDenied("x"), 13, "StoreDenied"),
        (StoreError("x"), 13, "StoreFailed"),
        (ObjectChanged("x"), 10, "DataChanged"),
        (Stopped(), 75, "Stopped"),
        (MemoryError(), 1, "OutOfMemory"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "OutOfMemory"),
        (OSError(28, "No space left on device", "/tmp/x"), 1, "DiskFull"),
        (ValueError("x"), 1, "TrainerCrashed"),
        (Crashed("x"), 1, "TrainerCrashed"),
    ],
)
def test_every_end_has_a_code_and_a_reason(error: Exception, code: int, reason: str) -> None:
    ending = as_trainer_error(error)
    assert (int(ending.exit_code), ending.reason) == (code, reason)
    assert ending.message


def test_help_check_and_fetch_start_without_torch_and_nothing_knows_kubernetes() -> None:
    code = """
import sys
from bluetune_trainer.cli import main
import bluetune_trainer.cli.checking, bluetune_trainer.cli.fetching, bluetune_trainer.cli.laptop
import bluetune_trainer.search.space
main.parser().format_help()
print(sorted({"torch", "transformers", "pytorch_lightning", "kopf", "kubernetes"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"


def test_logs_are_json_with_the_fields_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.delenv("BLUETUNE_LOG_FORMAT", raising=False)
    root = logging.getLogger()
    handlers = root.handlers[:]
    try:
        logs.set_up(default_level="info", fields={"model": "shop"}, stream=stream)
        logging.getLogger("bluetune_trainer.x").info("stage", extra={"stage": "Loading"})
        logging.getLogger("other").info("noise")
    finally:
        root.handlers[:] = handlers
    entry = json.loads(stream.getvalue())
    assert (entry["message"], entry["stage"], entry["model"], entry["level"]) == ("stage", "Loading", "shop", "info")


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def _progress(percent: int, done: int = 0) -> Progress:
    best = TrialSummary(trial=0, quality=0.5)
    return Progress(
        stage="Searching", percent=percent, eta_seconds=65, trials_done=done, trials_total=4, baseline=0.4, best=best,
        updated_at="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_progress_is_a_line_for_people() -> None:
    assert line(_progress(7)) == "  7%  Searching  trials 0/4  before 0.4000  best 0.5000  1m05s left"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59, "59s"), (125, "2m05s"), (3725, "1h02m"), (-3, "0s")])
def test_durations_are_short(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def _result(low: float) -> Result:
    return Result(
        kind="Train", owner=RunOwner.model_validate(OWNER), version="v0123456789ab", digest="sha256:" + "0" * 64,
        uri="/store/versions/v0123456789ab/", best=TrialSummary(trial=0, quality=0.5), trials_done=1,
        baseline={"ndcg@10": 0.4, "recall@10": 1.0}, candidate={"ndcg@10": 0.5, "recall@10": 1.0},
        gate=GateReport(
            metric="ndcg@10", against="v000000000001", baseline={"ndcg@10": 0.4}, candidate={"ndcg@10": 0.42},
            delta=0.02, low=low, high=0.05, queries=60, sessions=90, queries_needed=700,
            judges=[GateJudge(name="Local", delta=0.02, low=low, high=0.05)],
        ),
    )  # fmt: skip


def test_a_run_ends_with_what_the_gate_decided() -> None:
    undecided, better = summary(_result(-0.01), Gate()).splitlines(), summary(_result(0.01), Gate()).splitlines()
    assert undecided[0].startswith("Undecided (GateUndecided): ndcg@10 as clicks in 90 sessions of 60 queries tell it")
    assert undecided[0].endswith("what this run found out counts in the next one")
    assert "about 700 different queries" in undecided[0]
    assert "published  v0123456789ab, which a cluster would keep, and not roll out" in undecided
    assert better[0].startswith("Better (GatePassed)")
    assert "Better" not in "\n".join(undecided)
    assert "  clicks, local judge    +0.0200  -0.0100  +0.0500" in undecided


def test_a_metric_that_cannot_move_has_no_row() -> None:
    text = summary(_result(0.01), Gate())
    assert "  unchanged: recall@10 1.0000" in text
    assert "recall@10     " not in text
    assert "of 1 trial:" in text


def test_without_a_terminal_lines_come_every_five_seconds_and_for_every_trial() -> None:
    clock = iter([0.0, 1.0, 4.0, 5.5, 5.6])
    stream = StringIO()
    display = Display(stream, clock=lambda: next(clock))
    for percent, done in ((1, 0), (2, 0), (3, 0), (4, 0), (5, 1)):
        display.show(_progress(percent, done))
    assert [text.split()[0] for text in stream.getvalue().splitlines()] == ["1%", "4%", "5%"]


def test_on_a_terminal_the_bar_is_redrawn_and_a_message_does_not_break_it() -> None:
    stream = _Terminal()
    display = Display(stream)
    display.show(_progress(50))
    display.say("hello")
    display.show(_progress(60, 1))
    display.close()
    assert stream.getvalue().startswith("\r\x1b[K" + "█" * 12 + "░" * 12)
    assert "\r\x1b[Khello\n" in stream.getvalue()
    assert stream.getvalue().endswith("\n")
