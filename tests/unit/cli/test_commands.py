"""What commands do with a cluster that refuses, or with an output that nobody reads."""

from typing import Any

import pytest
import typer

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.output import Output
from bluetune.commands import following, tasks
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import MODELS, Kind
from bluetune.core.refusals import refusal


class Refusing(Cluster):
    """Has one task, which can be changed, and a model that may not be read."""

    namespace = "n"

    def __init__(self, *_: Any, ended: str = "False") -> None:
        conditions = [{"type": "Failed", "status": ended}]
        self.task: dict[str, Any] = {
            "metadata": {"name": "t", "uid": "u"},
            "spec": {"modelRef": {"name": "m"}, "queueName": "q"},
            "status": {"conditions": conditions},
        }

    def get(self, kind: Kind, name: str, *, patient: bool = False) -> dict[str, Any]:
        return self.task

    def find(self, kind: Kind, name: str) -> dict[str, Any]:
        raise refusal(403, "", verb="get", kind=MODELS, namespace="n", name=name)

    def patch(self, kind: Kind, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        self.task["spec"] |= patch["spec"]
        return self.task


def test_a_task_is_suspended_by_whoever_may_not_read_its_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "Cluster", Refusing)
    tasks.suspend("t")
    assert capsys.readouterr() == (
        "task t is asked to pause\n",
        "its Jobs are in Kueue's queue q: once there is a Job, spec.suspend has no effect; set spec.active: false on"
        " the Job's Workload\n",
    )


def test_a_wait_that_nobody_reads_is_not_taken_for_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(typer, "echo", closed)
    with pytest.raises(CliError) as raised:
        following.wait_for(Refusing(ended="True"), "t", Output.TABLE, None)
    assert raised.value.code == Exit.INTERRUPTED
