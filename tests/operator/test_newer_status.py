"""After a rollback of bluetune: a status of the newer release, which neither the operator nor the definitions know."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.kubectl import Kubectl, KubectlError

Fixture = Any
Object = dict[str, Any]
pytestmark = pytest.mark.timeout(400)

CHECKOUT = Path(__file__).resolve().parents[2]
PHASES = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/phase/enum"


@pytest.fixture
def definitions(operator: Fixture, resources: None) -> Iterator[Kubectl]:
    """Definitions that a test may change; afterwards those of the working tree again."""
    kubectl = Kubectl(operator.namespace)
    try:
        yield kubectl
    finally:
        older(kubectl)


def newer(kubectl: Kubectl) -> None:
    """The definitions of a release that has one phase more, unless they are there."""
    if "Canarying" in kubectl("get", "crd", "finetuningtasks.bluetune.dev", "-o", "json"):
        return
    patch = [{"op": "add", "path": f"{PHASES}/-", "value": "Canarying"}]
    kubectl("patch", "crd", "finetuningtasks.bluetune.dev", "--type=json", f"--patch={json.dumps(patch)}")


def older(kubectl: Kubectl) -> None:
    path = CHECKOUT / "crds/bluetune.dev_finetuningtasks.yaml"
    kubectl("apply", "--server-side", "--force-conflicts", f"--filename={path}")


def write_newer_phase(kubectl: Kubectl, seconds: float = 60) -> None:
    """As the newer operator writes it. The API server takes definitions a moment after they are applied, and tests
    beside this one may apply those of the working tree just then."""
    deadline = time.monotonic() + seconds
    while True:
        newer(kubectl)
        for _ in range(10):
            try:
                write_phase(kubectl, "Canarying")
                return
            except KubectlError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)


def write_phase(kubectl: Kubectl, phase: str) -> None:
    patch = json.dumps({"status": {"phase": phase}})
    kubectl("patch", "ftt", "t", "--subresource=status", "--type=merge", f"--patch={patch}")


def conditions(task: Object) -> dict[str, Object]:
    return {each["type"]: each for each in task["status"].get("conditions") or ()}


def test_it_is_left_as_it_is_says_so_and_goes_on_when_it_can_be_read(
    operator: Fixture, world: Fixture, definitions: Kubectl
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:15"}))
    world.until("ftt/t", lambda o: conditions(o).get("Trained", {}).get("reason") == "Training", 120)
    operator.end()
    before = world.get("ftt/t")["status"]
    write_newer_phase(definitions)
    older(definitions)
    time.sleep(5)  # until the API server judges by them
    operator.start()

    task = world.until("ftt/t", lambda o: "StatusUnreadable" in conditions(o), 60)
    said = conditions(task).pop("StatusUnreadable")
    assert said["status"] == "True"
    assert "status.phase" in said["message"]
    kept = [each for each in task["status"]["conditions"] if each["type"] != "StatusUnreadable"]
    assert {**task["status"], "conditions": kept} == {**before, "phase": "Canarying"}
    (event,) = world.kubectl.json("get", "events", "--field-selector=reason=StatusUnreadable")["items"]
    assert event["type"] == "Warning"
    world.until("job/t-train", lambda o: o.get("status", {}).get("succeeded") == 1, 120)
    time.sleep(3)  # would the operator do something about it, it would have by now
    assert world.get("ftt/t")["status"] == task["status"]

    write_phase(definitions, "Running")
    after = world.ended("t", 120)
    assert after["status"]["batchId"] == before["batchId"]
    assert conditions(after)["Succeeded"]["status"] == "True"
    assert conditions(after)["StatusUnreadable"]["status"] == "False"
