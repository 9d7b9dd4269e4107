"""An operator that is forked is the operator: its exit code, its environment, its log, and how it dies."""

import signal
from pathlib import Path

from cluster.forked import OperatorProcess

NOWHERE = {"KUBECONFIG": "/nonexistent", "BLUETUNE_HEALTH_PORT": "0", "BLUETUNE_METRICS_PORT": "0"}


def test_it_ends_with_the_operators_exit_code_and_appends_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    process = OperatorProcess(NOWHERE, log)
    assert process.wait(60) == 1
    assert process.poll() == 1
    before, *said = log.read_text().splitlines()
    assert before == "before"
    assert "set KUBECONFIG" in said[-1]
    assert OperatorProcess({"BLUETUNE_HEALTH_PORT": "many"}, log).wait(60) == 2
    assert "BLUETUNE_HEALTH_PORT" in log.read_text()


def test_it_is_killed_as_any_process(tmp_path: Path) -> None:
    process = OperatorProcess(NOWHERE | {"KUBECONFIG": str(tmp_path)}, tmp_path / "log")
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) in (1, -signal.SIGKILL)  # it may have ended before
    process.send_signal(signal.SIGKILL)  # which is nothing to it now
