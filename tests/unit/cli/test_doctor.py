"""What `bluetune doctor` says of what it sees."""

import copy
from typing import Any

import pytest

from bluetune.core import doctor
from bluetune.core.kinds import PODS, TASKS
from bluetune_api.manifest import KINDS
from bluetune_api.schema import custom_resource_definition


def document() -> dict[str, Any]:
    """The API server's schemas with the definitions of this release."""
    schemas = {
        f"dev.bluetune.v1alpha1.{name}": copy.deepcopy(
            custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        )
        for name, kind in KINDS.items()
    }
    return {"components": {"schemas": schemas}}


def task_spec(found: dict[str, Any]) -> dict[str, Any]:
    schema = found["components"]["schemas"]["dev.bluetune.v1alpha1.FineTuningTask"]
    properties: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return properties


def test_definitions_of_this_release_are_fine() -> None:
    assert [finding.state for finding in doctor.definitions(document())] == ["ok"] * 3


def test_definitions_that_are_older_or_newer_or_not_there_say_which_side_to_upgrade() -> None:
    older, newer = document(), document()
    del task_spec(older)["batches"]["properties"]["replay"]
    task_spec(newer)["promote"] = {"type": "boolean"}
    (old,) = [f for f in doctor.definitions(older) if f.state == "todo"]
    assert old.text == "older than this command, without spec.batches.replay: upgrade the chart"
    (new,) = [f for f in doctor.definitions(newer) if f.state == "todo"]
    assert new.text.startswith("newer than this command, with spec.promote: ")
    assert [f.state for f in doctor.definitions({})] == ["todo"] * 3


def operator(version: str = "1", replicas: int = 2, ready: int | None = 2) -> dict[str, Any]:
    labels = {"app.kubernetes.io/version": version}
    meta = {"name": "bluetune", "namespace": "s", "labels": labels}
    return {
        "metadata": meta,
        "spec": {"replicas": replicas},
        "status": {} if ready is None else {"readyReplicas": ready},
    }


@pytest.mark.parametrize(
    ("deployments", "state", "text"),
    [
        ([], "todo", "there is no Deployment of the chart"),
        ([operator()], "ok", "1, 2 of 2 replicas ready"),
        ([operator(ready=1)], "todo", "1 of 2 replicas ready"),
        ([operator(ready=None)], "todo", "0 of 2"),
        ([operator(replicas=0, ready=0)], "todo", "0 of 0"),
        ([operator("2")], "todo", "its chart is 2, this command 1"),
    ],
)
def test_the_operator(deployments: list[dict[str, Any]], state: str, text: str) -> None:
    (finding,) = doctor.operators(deployments, "1")
    assert (finding.state, text in finding.text) == (state, True), finding.text


def test_rights_that_are_lacking_are_named() -> None:
    may = dict.fromkeys(doctor.RIGHTS, True)
    assert doctor.rights(may, "n").state == "ok"
    lacking = doctor.rights(may | {("get", PODS, "log"): False, ("create", TASKS, ""): False}, "n")
    assert lacking.text == "in namespace n you may not create finetuningtasks.bluetune.dev, get pods/log"


def model(*conditions: tuple[str, str, str], observed: int = 1) -> dict[str, Any]:
    said = [{"type": kind, "status": status, "reason": reason} for kind, status, reason in conditions]
    status = {"conditions": said, "observedGeneration": observed}
    spec = {"serving": {"deployment": "d"}}
    return {"kind": "EmbeddingModel", "metadata": {"name": "m", "generation": 1}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (model(("Ready", "True", "Fine"), ("ServingUnsafe", "False", "Safe")), "ok", "Deployment d switches safely"),
        (model(("Ready", "True", "Fine"), ("ServingUnsafe", "True", "NoProbe")), "todo", "NoProbe"),
        (model(("Ready", "False", "MethodNotFound")), "todo", "MethodNotFound"),
        (model(), "todo", "no operator has looked at it"),
        (model(("Ready", "True", "Fine"), observed=0), "todo", "its last edit"),
    ],
)
def test_a_model_is_judged_by_what_the_operator_says_of_it(found: dict[str, Any], state: str, text: str) -> None:
    (finding,) = doctor.models([found], "n")
    assert (finding.state, text in finding.text) == (state, True), finding.text


def node(gpus: str) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "status": {"allocatable": {"nvidia.com/gpu": gpus} if gpus else {}}}


def method(**limits: str) -> dict[str, Any]:
    return {"metadata": {"name": "f"}, "spec": {"podTemplate": {"resources": {"limits": limits}}}}


@pytest.mark.parametrize(
    ("nodes", "methods", "state"),
    [
        ([node("8"), node("")], [method(**{"nvidia.com/gpu": "1"})], "ok"),
        ([node("0")], [method(**{"nvidia.com/gpu": "1"})], "todo"),
        ([node("")], [method(cpu="1"), {"metadata": {"name": "g"}, "spec": {}}], "ok"),
    ],
)
def test_gpus_are_missed_only_where_a_method_asks_for_them(nodes: Any, methods: Any, state: str) -> None:
    assert doctor.gpus(nodes, methods).state == state


@pytest.mark.parametrize(
    ("groups", "queue", "states"),
    [([], None, ["ok", "ok"]), ([], "q", ["todo", "ok"]), ([doctor.KUEUE, doctor.KUBERAY], "q", ["ok", "ok"])],
)
def test_kueue_is_missed_only_where_a_queue_is_named(groups: list[str], queue: str | None, states: list[str]) -> None:
    user = {"kind": "EmbeddingModel", "metadata": {"name": "m"}, "spec": {"queueName": queue}}
    assert [finding.state for finding in doctor.neighbours(groups, [user])] == states
