"""What a task says and does between the end of its trainer, that of its pod and that of its Job."""

import pytest

from bluetune_api import store_layout
from bluetune_api.records import Progress
from bluetune_operator.core.jobs.build import plan_of
from bluetune_operator.core.kinds import CONFIG_MAPS, LEASES, MODELS, PODS, TASKS, condition, lease_name
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import (
    active_pod,
    at_work,
    job,
    kubernetes_works,
    operator_works,
    pod_ends_with,
    said,
)
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL


@pytest.mark.parametrize(("stage", "doing"), [("check", "Checking"), ("train", "Training")])
def test_a_task_keeps_its_reason_when_its_pod_has_ended_and_its_job_has_not(stage: str, doing: str) -> None:
    system = at_work(stage)
    assert said(system)[0] == doing
    pod = active_pod(system)
    assert pod is not None
    system.apply(("world", "succeed", pod["metadata"]["name"]))
    operator_works(system)
    assert said(system)[0] == doing


def trainer_ends(system: System, stage: str, code: int) -> None:
    """The trainer has ended a minute ago, and another container of its pod runs on."""
    pod = active_pod(system)
    assert pod is not None
    pod = copied(pod)
    ended = {"terminated": {"exitCode": code, "message": "", "finishedAt": "2025-12-31T23:59:00Z"}}
    pod["status"]["containerStatuses"] = [
        {"name": "trainer", "state": ended},
        {"name": "mesh", "state": {"running": {}}},
    ]
    if code == 0:
        plan = plan_of(system.world.server.get(CONFIG_MAPS, f"a-{stage}") or {})
        (system.world.store.check if stage == "check" else system.world.store.train)(plan)
    system.world.server.put("kubelet", PODS, pod)


def goes_on(system: System) -> None:
    for _ in range(20):
        operator_works(system)
        kubernetes_works(system, succeed=False)


def test_results_are_taken_though_a_sidecar_keeps_the_pods_alive_and_the_lock_is_free_at_the_end() -> None:
    system = at_work("check")
    trainer_ends(system, "check", 0)
    goes_on(system)
    assert job(system, "a-check") is None
    assert said(system)[0] == "Training"
    trainer_ends(system, "train", 0)
    goes_on(system)
    assert said(system)[0] == "Completed"
    assert job(system, "a-train") is None
    assert active_pod(system) is None
    lease = system.world.server.get(LEASES, lease_name(MODEL))
    assert not ((lease or {}).get("spec") or {}).get("holderIdentity")
    named = [message for _, reason, message in system.operators[0].told if reason == "JobDeleted"]
    assert len(named) == 2
    assert all("container 'mesh' ran on after the trainer" in message for message in named)


@pytest.mark.parametrize("stage", ["check", "train"])
def test_a_job_whose_trainer_is_to_be_started_again_is_made_again_though_a_sidecar_runs(stage: str) -> None:
    system = at_work(stage)
    before = job(system, f"a-{stage}")
    trainer_ends(system, stage, 13)
    goes_on(system)
    after = job(system, f"a-{stage}")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert said(system)[0] == {"check": "Checking", "train": "Training"}[stage]


def test_a_trainer_that_crashed_beside_a_sidecar_ends_the_task() -> None:
    system = at_work("train")
    trainer_ends(system, "train", 1)
    goes_on(system)
    assert said(system)[0] == "TrainerCrashed"
    assert job(system, "a-train") is None


def evicted(system: System, percent: int | None) -> None:
    """The node gets rid of the pod, which had come so far."""
    pod = active_pod(system)
    assert pod is not None
    pod = copied(pod)
    pod["status"] = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
    }
    system.world.server.put("kubelet", PODS, pod)
    if percent is not None:
        far = Progress(stage="Searching", percent=percent, updated_at="2026-01-01T00:00:00Z")
        uid = pod["metadata"]["labels"]["bluetune.dev/task-uid"]
        system.world.store.kept[store_layout.progress(uid, pod["metadata"]["uid"])] = far.model_dump_json(
            by_alias=True
        ).encode()


@pytest.mark.parametrize("stage", ["check", "train"])
def test_a_run_whose_pods_are_taken_again_and_again_ends(stage: str) -> None:
    system = at_work(stage)
    for _ in range(9):
        evicted(system, None if stage == "check" else 10)
        goes_on(system)
    assert said(system)[0] == {"check": "Checking", "train": "Training"}[stage]
    evicted(system, None if stage == "check" else 10)
    goes_on(system)
    assert said(system)[0] == "NoProgress"
    assert job(system, f"a-{stage}") is None


def test_a_run_that_comes_further_between_evictions_goes_on() -> None:
    system = at_work("train")
    for done in range(15):
        evicted(system, done)
        goes_on(system)
    assert said(system)[0] == "Training"


def test_evictions_with_another_end_between_them_are_not_in_a_row() -> None:
    system = at_work("train")
    for _ in range(2):
        for _ in range(6):
            evicted(system, 10)
            goes_on(system)
        pod_ends_with(system, 13)
        goes_on(system)
    assert said(system)[0] == "Training"


def test_who_waits_is_told_of_the_pod_that_does_not_end() -> None:
    system = at_work("train")
    pod = active_pod(system)
    assert pod is not None
    system.apply(("world", "cancel", "a"))
    system.world.add("b")
    operator_works(system)
    pod = copied(active_pod(system))
    pod["metadata"]["deletionTimestamp"] = "2025-12-31T23:58:00Z"
    pod["spec"]["nodeName"] = "n1"
    system.world.server.put("kubelet", PODS, pod)
    operator_works(system)
    ready = condition(system.world.server.get(TASKS, "b") or {}, "Ready") or {}
    assert ready["reason"] == "PodStuck"
    assert "task 'a' holds the model: pod " in ready["message"]
    assert "on node 'n1'" in ready["message"]
    model = system.world.server.get(MODELS, MODEL) or {}
    stalled = condition(model, "Stalled") or {}
    assert (stalled["status"], stalled["reason"]) == ("True", "PodStuck")
    assert "on node 'n1'" in stalled["message"]
    assert (condition(model, "Ready") or {})["status"] == "True"  # blue serves all the same
    told = [
        message for level, reason, message in system.operators[0].told if (level, reason) == ("Warning", "PodStuck")
    ]
    assert any(message.startswith("the lock is not freed: pod ") for message in told)
    system.apply(("world", "kill", pod["metadata"]["name"]))
    operator_works(system)
    assert (condition(system.world.server.get(MODELS, MODEL) or {}, "Stalled") or {})["status"] == "False"
