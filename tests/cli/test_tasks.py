"""`bluetune` against a real API server, with an operator whose trainer stands in."""

import json
import sys
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from bluetune.__main__ import main
from bluetune.core.errors import Exit

Fixture = Any
pytestmark = pytest.mark.timeout(600)


@dataclass
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """The command line in a pipe, with a model of its own."""

    def __init__(self, world: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
        self.world, self._capsys = world, capsys
        self.model = world.models.pop()
        self.namespace = str(world.kubectl.json("get", f"emodel/{self.model}")["metadata"]["namespace"])

    def __call__(self, *line: str) -> Done:
        code = main([*line, *(() if "-n" in line else ("-n", self.namespace))])
        return Done(code, *self._capsys.readouterr())


@pytest.fixture
def bluetune(shared_world: Fixture, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(shared_world, capsys)


def test_a_task_is_submitted_and_followed_to_its_end_and_its_version_joins_the_tree(bluetune: Shell) -> None:
    done = bluetune("submit", bluetune.model, "--name", f"{bluetune.model}-a", "--wait", "-o", "json")
    assert done.returncode == Exit.DONE, done.stderr
    task = json.loads(done.stdout)
    assert task["status"]["bestModelId"].startswith("v")
    assert f"task {bluetune.model}-a is made" in done.stderr
    assert "checking the clicks" in done.stderr  # a line a stage, where there is no terminal
    log = bluetune("logs", f"{bluetune.model}-a", "-f")
    assert (log.returncode, "the log of pod" in log.stderr) == (Exit.DONE, True), log.stderr
    base, made = bluetune("versions", bluetune.model, "-o", "name").stdout.split()
    tree = bluetune("versions", bluetune.model).stdout
    assert f"└── {base} · base, current" in tree
    assert f"    └── {made} · task {bluetune.model}-a · batch b1" in tree
    assert f"{bluetune.model}-a" in bluetune("diff", bluetune.model, base, made).stdout


def test_a_report_is_downloaded_with_ones_own_keys(
    bluetune: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, bucket, page = f"{bluetune.model}-r", bluetune.world.bucket, b"<html>"
    bluetune.world.kubectl.apply(bluetune.world.task(name, bluetune.model, suspend=True))
    assert "has no report" in bluetune("report", name).stderr
    bucket.client.put_object(bucket.name, f"{bluetune.model}/runs/u/report.html", BytesIO(page), len(page))
    url = {"status": {"reportUrl": f"s3://{bucket.name}/{bluetune.model}/runs/u/report.html"}}
    bluetune.world.kubectl("patch", "ftt", name, "--subresource=status", "--type=merge", "-p", json.dumps(url))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    told = bluetune("report", name)
    assert (told.returncode, url["status"]["reportUrl"] in told.stderr) == (Exit.REFUSED, True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.server.secret_key)
    into = tmp_path / "report.html"
    assert bluetune("report", name, "--into", str(into)).stdout == f"{into}\n"
    assert into.read_bytes() == page


def _has_begun(task: dict[str, Any]) -> bool:
    status = task.get("status") or {}
    return bool(status.get("podName") or status.get("jobName"))


def test_a_task_is_paused_goes_on_is_cancelled_and_done_again(bluetune: Shell) -> None:
    name = f"{bluetune.model}-b"
    slow = bluetune.world.task(name, bluetune.model, metadata={"check": "sleep:60"}, suspend=True)
    bluetune.world.kubectl.apply(slow)
    assert "already" in bluetune("suspend", name).stdout
    assert bluetune("retry", name).returncode == Exit.REFUSED  # it has not ended
    assert bluetune("resume", name, "-o", "name").stdout == f"finetuningtask.bluetune.dev/{name}\n"
    bluetune.world.until(f"ftt/{name}", _has_begun)
    late = bluetune("watch", name, "--timeout", "0")
    assert (late.returncode, "--timeout is over" in late.stderr) == (Exit.TIMEOUT, True), late.stderr
    assert bluetune("cancel", name).returncode == Exit.DONE
    ended = bluetune("watch", name)
    assert (ended.returncode, f"task {name} Failed" in ended.stdout) == (Exit.REFUSED, True), ended.stdout
    refused = bluetune("cancel", name)
    assert (refused.returncode, "has ended (Failed)" in refused.stderr) == (Exit.REFUSED, True)
    again = bluetune("retry", name, "--name", f"{name}2", "-o", "json")
    assert again.returncode == Exit.DONE, again.stderr
    spec = json.loads(again.stdout)["spec"]
    assert (spec["metadata"], spec["suspend"], spec.get("batchId")) == ({"check": "sleep:60"}, False, "b1")
    assert bluetune("cancel", f"{name}2").returncode == Exit.DONE
    resumed = bluetune("retry", name, "--name", f"{name}3", "--resume", "-o", "json")
    assert json.loads(resumed.stdout)["spec"]["resumeFrom"] == name
    said = bluetune.world.ready_reason(f"{name}3", "ResumeRefused")  # the stand-in keeps no plan
    assert "it left nothing to go on from" in said["message"]


def test_what_the_api_server_refuses_is_one_sentence(
    bluetune: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = bluetune("watch", "nobody").stderr
    assert there.startswith(f"error: there is no FineTuningTask nobody in namespace {bluetune.namespace}: ")
    models = sorted(found["metadata"]["name"] for found in bluetune.world.kubectl.json("get", "emodel")["items"])
    assert bluetune("submit", "nobody").stderr.endswith(f": there are {', '.join(models)}\n")
    nowhere = bluetune("watch", "t", "-n", "nowhere")
    assert nowhere.stderr == (
        "error: there is no FineTuningTask t in namespace nowhere: there are none (-n names another one)\n"
    )
    assert "has no context other: it has" in bluetune("watch", "t", "--context", "other").stderr
    token = bluetune.world.kubectl("create", "token", "default").strip()
    server = bluetune.world.kubectl.json("config", "view", "--raw", "--minify", "--flatten")["clusters"][0]["cluster"]

    def use(address: str) -> None:
        path = tmp_path / "kubeconfig"
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": server | {"server": address}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(json.dumps(made))
        monkeypatch.setenv("KUBECONFIG", str(path))

    use(server["server"])
    nobody = bluetune("watch", "t")
    assert (nobody.returncode, nobody.stderr) == (
        Exit.REFUSED,
        f"error: you may not get finetuningtasks.bluetune.dev in namespace {bluetune.namespace}: ask for that right"
        " (the chart adds it to the ClusterRoles view and edit)\n",
    )
    use("https://127.0.0.1:9")
    away = bluetune("watch", "t")
    assert away.returncode == Exit.UNREACHABLE
    assert away.stderr.startswith("error: the API server https://127.0.0.1:9 does not answer: ")
    assert len(away.stderr.splitlines()) == 1


def test_promoting_and_going_back_ask_first(bluetune: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    (base,) = bluetune("versions", bluetune.model, "-o", "name").stdout.split()
    unserved = bluetune("rollback", bluetune.model, base)
    assert (unserved.returncode, "no spec.serving" in unserved.stderr) == (Exit.REFUSED, True)
    serving = {"serving": {"deployment": bluetune.model, "container": "server"}}
    bluetune.world.kubectl("patch", "emodel", bluetune.model, "--type=merge", "-p", json.dumps({"spec": serving}))
    other = "v0123456789ab"
    assert bluetune("promote", bluetune.model, other).returncode == Exit.REFUSED  # nobody answers
    assert bluetune("promote", bluetune.model, other, "--yes").returncode == Exit.DONE
    promoted = bluetune.world.get(f"emodel/{bluetune.model}")["spec"]["serving"]["promote"]
    assert promoted == {"version": other, "replaces": base}
    asked = bluetune("rollback", bluetune.model, base)  # nobody answers
    assert (asked.returncode, "Serve " + base in asked.stderr) == (Exit.REFUSED, True)
    assert bluetune("rollback", bluetune.model, base, "--yes").returncode == Exit.DONE
    spec = bluetune.world.get(f"emodel/{bluetune.model}")["spec"]
    assert (spec["serving"]["rollbackTo"], spec["serving"]["deployment"]) == (base, bluetune.model)


def test_the_doctor_sees_the_definitions_and_models_and_misses_the_charts_operator(bluetune: Shell) -> None:
    looked = bluetune("doctor", "-o", "json")
    found = {finding["what"]: finding for finding in json.loads(looked.stdout)}
    assert {name: found[name]["state"] for name in found if name.startswith("definition")} == {
        f"definition of {kind}": "ok" for kind in ("EmbeddingModel", "FineTuningMethod", "FineTuningTask")
    }
    assert (found[f"model {bluetune.model}"]["state"], found["your rights"]["state"]) == ("ok", "ok"), looked.stdout
    assert looked.returncode == Exit.REFUSED  # the operator of these tests is a process, and no Deployment of the chart
    assert [line[0] for line in bluetune("doctor").stdout.splitlines() if line[2:].startswith("operator")] == ["✗"]
