"""`make demo` on the local cluster, as a person runs it, and the search page used by hand afterwards."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart.helm import helm
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 40 * 60
NAMESPACE, SYSTEM = "bluetune-demo", "bluetune-system"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(DEMO_SECONDS + 300)]


@pytest.fixture(scope="module")
def output() -> Iterator[str]:
    """What the demo printed; then this thread enters the cluster's network.

    The demo runs outside of it, where a person runs it, so nothing here may ask for the fixture `cluster`.
    """
    cluster = Cluster()
    started = cluster.up()
    try:
        environment = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "KUBE_CONTEXT")}
        line = [sys.executable, str(ROOT / "examples" / "semanlink" / "demo.py")]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
        print(done.stdout)
        with cluster.entered():
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
            yield done.stdout
    finally:
        if started:
            cluster.down()
        else:
            with cluster.entered():
                _removed()


def _removed() -> None:
    """What the demo leaves, also when it failed: its operator watches all namespaces, so those of tests to come too."""
    helm("uninstall", "bluetune", "--namespace", SYSTEM, "--ignore-not-found", "--wait")
    namespaces = (SYSTEM, NAMESPACE)
    Kubectl(NAMESPACE)("delete", "namespace", *namespaces, "--ignore-not-found", "--timeout=150s", timeout=170)


def _served() -> list[dict[str, Any]]:
    """What each of blue's pods says that it serves."""
    kubectl = Kubectl(NAMESPACE)
    pods = kubectl.json("get", "pods", "-l", "app=search")["items"]
    path = "/api/v1/namespaces/" + NAMESPACE + "/pods/{}:8080/proxy/version"
    ready = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return [json.loads(kubectl("get", "--raw", path.format(pod["metadata"]["name"]))) for pod in ready]


def test_it_says_that_clicks_are_simulated_and_what_came_of_them(output: str) -> None:
    assert "SIMULATED from human judgments" in output
    for expected in (
        "before (zero-shot)",
        "BM25",
        "after (",
        "The gate, by clicks: ",
        "The judgments of ",
        "The task semanlink-1 Succeeded, and blue serves ",
    ):
        assert expected in output


def test_the_gate_says_better_by_clicks_and_the_judgments_do_not_contradict(output: str) -> None:
    assert "The gate, by clicks: Better." in output
    assert "It was wrong" not in output


def test_every_blue_pod_serves_the_models_version(output: str) -> None:
    model, answers = Kubectl(NAMESPACE).json("get", "embeddingmodel", "semanlink"), _served()
    assert len(answers) == 2
    assert {answer["digest"] for answer in answers} == {model["status"]["current"]["digest"]}


def test_the_clicks_on_the_page_make_a_second_version_without_anybody_asking(output: str) -> None:
    tasks = Kubectl(NAMESPACE).json("get", "finetuningtask")["items"]
    first, made = sorted(tasks, key=lambda task: task["metadata"]["creationTimestamp"])
    assert made["metadata"]["labels"]["bluetune.dev/made-by"] == "retrain"
    assert made["spec"]["batchId"].startswith("web-")
    assert made["status"]["phase"] == "Succeeded"
    assert made["status"]["bestModelId"] != first["status"]["bestModelId"]
    assert f"The task {made['metadata']['name']} Succeeded" in output


def test_the_new_version_is_better_on_tags_that_no_click_was_made_for(output: str) -> None:
    rows = {
        line.rsplit(maxsplit=3)[0].strip(): float(line.split()[-3])
        for line in output.splitlines()
        if "(blue" in line or "zero-shot)" in line or line.startswith("BM25")
    }
    # one seed on one machine; `benchmarks/quality` measures how much better, over several
    assert rows["after (blue now)"] >= rows["before (zero-shot)"] + 0.015
    assert rows["BM25"] > 0


def test_clicks_on_the_page_become_a_batch(output: str) -> None:
    service = Kubectl(NAMESPACE).json("get", "service", "search")["spec"]["clusterIP"]

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = [] if body is None else ["-d", json.dumps(body)]
        line = ["curl", "-sS", "--max-time", "60", *data, f"http://{service}{path}"]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=70)
        return json.loads(done.stdout) if done.stdout else None

    for number in range(20):
        answer = ask(f"/search?q=dark+matter+{number}")
        ask("/click", {"session_id": answer["session_id"], "object_id": answer["results"][0]["object_id"]})
    closed = ask("/admin/close-batch", {})
    assert closed["closed"], closed
    assert closed["clicked"] == 20
    deadline = time.monotonic() + 30
    while ask("/batch")["batch_id"] is not None:
        assert time.monotonic() < deadline
        time.sleep(1)
