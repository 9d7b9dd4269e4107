"""What a task may be told while it waits, runs or has ended, and what others may do to it: on a real cluster.

One operator serves all of these tests; each has a model of its own, so that none waits for another's import.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from cluster.kubectl import KubectlError

Fixture = Any
Object = dict[str, Any]
pytestmark = pytest.mark.timeout(600)


def condition(task: Object, kind: str) -> Object:
    """A condition of a task, or {}."""
    found = (task.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {})


@pytest.fixture
def on(shared_world: Fixture) -> Iterator["OnModel"]:
    """A model for this test alone."""
    model = OnModel(shared_world, shared_world.models.pop())
    yield model
    for name in model.names:
        shared_world.kubectl("delete", "ftt", name, "--wait=false", "--ignore-not-found")


class OnModel:
    """The tasks of one model; their names get the model's as a prefix."""

    def __init__(self, world: Fixture, model: str) -> None:
        self.world = world
        self.model = model
        self.names: list[str] = []

    def name(self, task: str) -> str:
        return f"{self.model}-{task}"

    def apply(self, **tasks: dict[str, Any]) -> None:
        """Apply tasks in one go, in this order."""
        self.names += [self.name(task) for task in tasks]
        self.world.kubectl.apply(*(self.world.task(self.name(n), self.model, **spec) for n, spec in tasks.items()))

    def edit(self, task: str, **spec: Any) -> None:
        self.world.kubectl("patch", "ftt", self.name(task), "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self, task: str) -> None:
        self.world.kubectl("delete", "ftt", self.name(task), "--timeout=60s")

    def get(self, task: str) -> Object:
        return self.world.get(f"ftt/{self.name(task)}")

    def status(self, task: str) -> Object:
        found: Object = self.get(task).get("status") or {}
        return found

    def until(self, task: str, holds: Any, seconds: float = 120) -> Object:
        """Wait until something holds for a task's status; return the task."""
        return self.world.until(f"ftt/{self.name(task)}", lambda o: holds(o.get("status") or {}), seconds)

    def until_reason(self, task: str, reason: str, seconds: float = 120) -> str:
        """Wait until a task's Ready condition has a reason; return its message."""
        return str(self.world.ready_reason(self.name(task), reason, seconds)["message"])

    def position(self, task: str, position: int | None) -> None:
        self.until(task, lambda s: (s.get("queue") or {}).get("position") == position)

    def ended(self, task: str, seconds: float = 120) -> Object:
        return self.world.ended(self.name(task), seconds)

    def job(self, task: str, stage: str = "train") -> str:
        return f"job/{self.name(task)}-{stage}"

    def training(self, task: str) -> Object:
        """Wait until the training's pod runs; return the pod."""
        self.until(task, lambda s: bool(s.get("progress")))
        return self.pods(task)[-1]

    def no_pods(self, task: str) -> None:
        """Wait until a task has no pod; the last one outlives what its Job says of it for a moment."""
        deadline = time.monotonic() + 60
        while found := self.pods(task):
            assert time.monotonic() < deadline, [pod["metadata"]["name"] for pod in found]
            time.sleep(0.2)

    def pods(self, task: str) -> list[Object]:
        """The training's pods, oldest first."""
        selector = f"bluetune.dev/task={self.name(task)},bluetune.dev/job=train"
        found: list[Object] = self.world.kubectl.json("get", "pods", "-l", selector)["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def keys(self, folder: str) -> list[str]:
        """Objects below a folder of the model."""
        prefix = f"{self.model}/{folder}"
        found = self.world.bucket.client.list_objects(self.world.bucket.name, prefix, recursive=True)
        return sorted((o.object_name or "").removeprefix(f"{self.model}/") for o in found)

    def lock_is_free(self) -> None:
        self.world.until(f"lease/bluetune-{self.model}", lambda o: not o["spec"].get("holderIdentity"))


LONG = {"metadata": {"train": "sleep:600"}}


def test_a_suspended_waiter_leaves_the_queue_and_comes_back_to_its_place(on: OnModel) -> None:
    on.apply(holder=LONG)
    on.until("holder", lambda s: bool(s.get("startTime")))
    on.apply(first={"priority": 1}, second={})  # of two that were made in one second, the uid would decide
    on.position("first", 1)
    on.position("second", 2)
    on.edit("first", suspend=True)
    on.until_reason("first", "Suspended")
    on.position("second", 1)
    assert "queue" not in on.status("first")
    on.edit("first", suspend=False)
    on.position("first", 1)
    on.position("second", 2)
    task = on.get("first")
    assert task["status"]["observedGeneration"] == task["metadata"]["generation"]


def test_priority_orders_the_queue_also_when_it_is_raised_later(on: OnModel) -> None:
    on.apply(holder=LONG)
    on.until("holder", lambda s: bool(s.get("startTime")))
    on.apply(low={}, high={"priority": 5})
    on.position("high", 1)
    on.position("low", 2)
    on.edit("low", priority=6)
    on.position("low", 1)
    on.position("high", 2)
    with pytest.raises(KubectlError, match=r"batchId.*immutable"):
        on.edit("low", batchId="b2")
    on.edit("holder", cancel=True)
    on.until("low", lambda s: bool(s.get("startTime")))
    assert "startTime" not in on.status("high")


def test_suspended_time_does_not_count_against_the_deadline_and_running_time_does(on: OnModel) -> None:
    deadline = 30
    on.apply(t={"activeDeadlineSeconds": deadline, "metadata": {"train": "trial:0.7,sleep:600"}})
    on.training("t")
    on.edit("t", suspend=True)
    on.until_reason("t", "Suspended")
    left = on.world.until(on.job("t"), lambda o: o["spec"]["suspend"] is True)["spec"]["activeDeadlineSeconds"]
    assert 0 < left < deadline
    assert condition(on.get("t"), "Trained")["reason"] == "Suspended"
    assert on.world.get(f"lease/bluetune-{on.model}")["spec"]["holderIdentity"].startswith(on.name("t"))
    on.no_pods("t")
    on.edit("t", suspend=False)
    task = on.ended("t")
    assert condition(task, "Failed")["reason"] == "DeadlineExceeded"
    assert f"activeDeadlineSeconds={deadline}" in task["status"]["message"]
    job = on.world.get(on.job("t"))
    ended = next(c["lastTransitionTime"] for c in job["status"]["conditions"] if c["type"] == "Failed")
    ran = datetime.fromisoformat(ended) - datetime.fromisoformat(job["status"]["startTime"])  # since it was resumed
    assert ran.total_seconds() >= left - 1
    assert task["status"]["attempt"] == 2
    assert len(on.keys(f"runs/{task['metadata']['uid']}/trials/")) == 1


def test_cancelling_a_run_keeps_its_best_trial_and_promotes_nothing(on: OnModel) -> None:
    on.apply(t={"deployAsBlue": True, "idempotencyKey": "k", "metadata": {"train": "trial:0.7,sleep:600"}})
    on.training("t")
    on.edit("t", cancel=True)
    task = on.ended("t")
    status, folder = task["status"], f"runs/{task['metadata']['uid']}/"
    assert status["phase"] == "Cancelled"
    assert condition(task, "Failed")["reason"] == "Cancelled"
    assert f"{folder}best/0/ and is not promoted" in status["message"]
    assert (status["best"]["trial"], status["best"]["quality"]) == (0, 0.7)
    assert on.keys(f"{folder}best/") == [f"{folder}best/0/model.txt"]
    assert "bestModelId" not in status
    assert "Promoted" not in {c["type"] for c in status["conditions"] if c["status"] == "True"}
    assert len(on.world.versions(on.model)) == 1
    assert not any(pod["status"]["phase"] == "Running" for pod in on.pods("t"))
    on.lock_is_free()
    on.apply(again={"idempotencyKey": "k"})
    assert condition(on.ended("again"), "Succeeded")["reason"] == "Completed"


def test_waiters_and_suspended_tasks_are_cancelled_and_deleted_at_once(on: OnModel) -> None:
    on.apply(holder=LONG)
    on.training("holder")
    on.apply(waiter={}, gone={}, asleep={"suspend": True}, last={"priority": -1})
    on.position("last", 3)
    on.until_reason("asleep", "Suspended")
    on.edit("waiter", cancel=True)
    on.edit("asleep", cancel=True)
    for task in ("waiter", "asleep"):
        assert "before the training began" in on.ended(task)["status"]["message"]
    on.delete("gone")
    on.position("last", 1)
    on.edit("holder", suspend=True)
    on.until_reason("holder", "Suspended")
    on.delete("holder")
    on.until("last", lambda s: bool(s.get("startTime")))
    with pytest.raises(KubectlError, match="NotFound"):
        on.world.get(on.job("holder"))
    assert condition(on.ended("last"), "Succeeded")["status"] == "True"


def test_a_task_that_is_deleted_and_applied_again_runs_anew(on: OnModel) -> None:
    on.apply(t=LONG)
    first = on.training("t")["metadata"]["labels"]["bluetune.dev/task-uid"]
    on.delete("t")
    on.apply(t={})
    task = on.ended("t")
    assert task["metadata"]["uid"] != first
    assert condition(task, "Succeeded")["reason"] == "Completed"
    about = f"involvedObject.uid={task['metadata']['uid']},type=Warning"
    assert on.world.kubectl.json("get", "events", "--field-selector", about)["items"] == []


def test_an_eviction_is_no_retry_and_a_crash_is_one(on: OnModel) -> None:
    on.apply(t={"maxRetries": 0, "metadata": {"train": "sleep:3"}})
    pod = on.training("t")["metadata"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["name"]}}
    path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/eviction"
    on.world.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    task = on.ended("t")
    assert condition(task, "Succeeded")["reason"] == "Completed"
    assert task["status"]["attempt"] == 2
    on.world.batch("b2", on.model)
    on.apply(u={"maxRetries": 0, "metadata": {"train": "exit:1"}})
    task = on.ended("u")
    assert condition(task, "Failed")["reason"] == "TrainerCrashed"
    assert "given up after 1 attempt" in task["status"]["message"]


def test_an_ended_task_can_be_edited_and_goes_when_its_time_is_over(on: OnModel) -> None:
    on.apply(t={})
    on.ended("t")
    on.edit("t", priority=3)
    task = on.until("t", lambda s: s["observedGeneration"] == 2)
    assert task["metadata"]["generation"] == 2
    on.edit("t", ttlSecondsAfterFinished=0)
    on.world.kubectl("wait", "--for=delete", f"ftt/{on.name('t')}", "--timeout=60s")


def test_a_run_starts_from_the_version_that_it_names_with_its_own_overrides(on: OnModel) -> None:
    on.apply(first={})
    version = on.ended("first")["status"]["bestModelId"]
    on.world.batch("b2", on.model)
    on.apply(second={"startFrom": version, "overrides": {"initialMaxEvals": 3, "settings": {"seed": 7}}})
    task = on.ended("second")
    assert (task["status"]["startVersion"], task["status"]["batchId"]) == (version, "b2")
    plan = json.loads(on.world.get(f"cm/{on.name('second')}-train")["data"]["plan.json"])
    assert (plan["method"]["initialMaxEvals"], plan["method"]["settings"]["seed"]) == (3, 7)
    manifest = f"versions/{task['status']['bestModelId']}/manifest.json"
    data = on.world.bucket.client.get_object(on.world.bucket.name, f"{on.model}/{manifest}").read()
    assert json.loads(data)["lineageBatches"] == ["b1", "b2"]


def test_of_two_tasks_with_one_key_applied_at_the_same_instant_one_works(on: OnModel) -> None:
    spec = {"idempotencyKey": "k", "waitOnConflict": False, "metadata": {"train": "sleep:1"}}
    on.apply(a=spec, b=spec)
    tasks = [on.ended("a"), on.ended("b")]
    reasons = sorted(condition(task, "Succeeded").get("reason", "") for task in tasks)
    assert reasons == ["Completed", "Duplicate"]
    assert len({task["status"]["bestModelId"] for task in tasks}) == 1
    assert len(on.world.versions(on.model)) == 2


def test_a_key_is_free_when_the_first_task_failed_or_was_deleted(on: OnModel) -> None:
    on.apply(doomed={"idempotencyKey": "k", **LONG})
    on.training("doomed")
    on.apply(failing={"idempotencyKey": "k", "metadata": {"check": "exit:10"}})
    on.until_reason("failing", "Duplicate")
    on.delete("doomed")
    on.until("failing", lambda s: bool(s.get("startTime")))
    on.apply(last={"idempotencyKey": "k"})
    assert condition(on.ended("failing"), "Failed")["reason"] == "DataInvalid"
    task = on.ended("last")
    assert condition(task, "Succeeded")["reason"] == "Completed"
    assert "duplicateOf" not in task["status"]


def test_a_run_keeps_its_plan_when_its_method_is_edited_and_says_so(on: OnModel) -> None:
    method = on.model
    on.world.kubectl.apply(on.world.method(method, initialMaxEvals=4))
    on.apply(t={"methodRef": {"name": method}, "metadata": {"check": "sleep:3", "train": "sleep:3"}})
    on.world.until(on.job("t", "check"), lambda o: (o.get("status") or {}).get("active") == 1)
    assert condition(on.get("t"), "PlanCurrent").get("status") != "False"
    on.world.kubectl.apply(on.world.method(method, initialMaxEvals=9, image="localhost:1/new:2"))
    on.until("t", lambda s: any(c["type"] == "PlanCurrent" and c["status"] == "False" for c in s["conditions"]))
    assert f"FineTuningMethod '{method}' was edited" in condition(on.get("t"), "PlanCurrent")["message"]
    task = on.ended("t")
    assert condition(task, "Succeeded")["reason"] == "Completed"
    assert condition(task, "PlanCurrent")["reason"] == "EditedSince"
    plan = json.loads(on.world.get(f"cm/{on.name('t')}-train")["data"]["plan.json"])
    assert plan["method"]["initialMaxEvals"] == 4
    about = f"involvedObject.name={on.name('t')},reason=EditedSince"
    assert len(on.world.kubectl.json("get", "events", "--field-selector", about)["items"]) == 1


def test_a_job_in_a_queue_of_kueue_is_started_and_stopped_by_kueue_alone(on: OnModel) -> None:
    def kueue(suspend: bool, stage: str = "train") -> None:
        patch = json.dumps({"spec": {"suspend": suspend}})
        on.world.kubectl("patch", on.job("t", stage), "--type=merge", "-p", patch)

    on.apply(t={"queueName": "gpus", "metadata": {"train": "sleep:5"}})
    on.until_reason("t", "Queued")
    check = on.world.get(on.job("t", "check"))
    assert check["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    kueue(False, "check")
    job = on.world.until(on.job("t"), lambda o: bool(o["spec"]["suspend"]))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    on.until_reason("t", "Queued")
    kueue(suspend=False)
    on.training("t")
    on.edit("t", suspend=True)
    assert "spec.active=false on its Workload" in on.until_reason("t", "KueueOwnsSuspend")
    kueue(suspend=True)  # preempted
    on.until_reason("t", "KueueOwnsSuspend")
    on.world.until(on.job("t"), lambda o: not (o["status"].get("active") or 0))
    on.edit("t", suspend=False)
    on.until_reason("t", "Queued")
    kueue(suspend=False)
    assert condition(on.ended("t"), "Succeeded")["reason"] == "Completed"


def test_a_namespace_goes_when_the_operator_is_gone(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", **LONG))
    world.until("ftt/t", lambda o: "startTime" in (o.get("status") or {}))  # of one second, any could be the first
    world.kubectl.apply(world.task("waiter"), world.task("asleep", suspend=True))
    world.until("ftt/t", lambda o: bool((o.get("status") or {}).get("progress")))
    operator.end()
    world.kubectl("delete", "namespace", operator.namespace, "--timeout=200s", timeout=210)
