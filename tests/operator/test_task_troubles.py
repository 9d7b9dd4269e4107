"""What goes wrong on a real cluster, and what a person then reads."""

import base64
import time
from typing import Any

import pytest

Fixture = Any
pytestmark = pytest.mark.timeout(300)


def ready(task: dict[str, Any]) -> dict[str, Any]:
    return next((c for c in (task.get("status") or {}).get("conditions") or [] if c["type"] == "Ready"), {})


def test_missing_references_are_told_one_by_one_and_mended(operator: Fixture, world: Fixture) -> None:
    world.kubectl.apply(world.task("t"))
    assert "EmbeddingModel 'm' does not exist" in world.ready_reason("t", "ModelNotFound", 40)["message"]
    world.batch()
    world.kubectl.apply(world.model())
    told = world.ready_reason("t", "ModelNotReady", 30)["message"]
    assert "'m' has no version yet" in told
    world.kubectl.apply(world.secret(), world.method())
    assert world.ended("t", 120)["status"]["phase"] == "Succeeded"


def test_a_missing_method_does_not_block_the_others(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("lost", methodRef={"name": "nowhere"}))
    assert "FineTuningMethod 'nowhere' does not exist" in world.ready_reason("lost", "MethodNotFound", 10)["message"]
    world.kubectl.apply(world.task("other"))
    assert world.ended("other", 90)["status"]["phase"] == "Succeeded"
    world.batch("b2")
    world.kubectl.apply(world.method("nowhere"))
    assert world.ended("lost", 90)["status"]["phase"] == "Succeeded"


def test_a_missing_secret_is_told_and_the_task_goes_on_when_it_appears(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl("delete", "secret", "store")
    world.kubectl.apply(world.task("t"))
    told = world.ready_reason("t", "SecretNotFound", 20)
    assert "Secret 'store' does not exist" in told["message"]
    assert "AWS_ACCESS_KEY_ID" in told["message"]
    world.kubectl.apply(world.secret())
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


def test_a_wrong_password_is_told_and_the_task_goes_on_with_the_right_one(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.secret(AWS_SECRET_ACCESS_KEY="wrong"))
    world.kubectl.apply(world.task("t", batchId="b1"))
    told = world.ready_reason("t", "StoreDenied", 20)["message"]
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told
    world.kubectl.apply(world.secret())
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


def test_keys_that_are_refused_during_a_training_cost_it_nothing(operator: Fixture, world: Fixture) -> None:
    world.basics()
    # a pod keeps the keys that it began with, so it is told when it would find them refused
    world.kubectl.apply(world.task("t", maxRetries=0, metadata={"train": "sleep:15,exit-once:13"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    world.ready_reason("t", "Training", 30)
    world.kubectl.apply(world.secret(AWS_SECRET_ACCESS_KEY="wrong"))
    told = world.ready_reason("t", "StoreDenied", 15)["message"]
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told
    world.until("emodel/m", lambda o: ready(o).get("reason") == "StoreDenied", 15)
    waits = world.until("job/t-train", lambda o: o["spec"]["suspend"], 60)
    assert "failed" not in waits["status"]
    time.sleep(12)  # Kubernetes would make the next pod after ten seconds
    assert ready(world.get("ftt/t"))["reason"] == "StoreDenied"
    assert not world.get("job/t-train")["status"].get("active")
    world.kubectl.apply(world.secret())
    task = world.ended("t", 120)
    assert task["status"]["phase"] == "Succeeded"
    assert task["status"]["attempt"] == 2
    world.until("emodel/m", lambda o: ready(o).get("status") == "True", 40)
    warnings = f"involvedObject.uid={task['metadata']['uid']},type=Warning"
    reasons = {e["reason"] for e in world.kubectl.json("get", "events", "--field-selector", warnings)["items"]}
    assert "StoreDenied" in reasons
    assert reasons <= {"StoreDenied", "StoreUnreachable"}  # what exit code 13 alone says


def test_a_batch_or_version_that_does_not_exist_is_named(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", batchId="later"), world.task("u", startFrom="v0123456789ab"))
    assert "m/clickstream/later/_SUCCESS does not exist" in world.ready_reason("t", "BatchNotFound", 10)["message"]
    assert "v0123456789ab" in world.ready_reason("u", "VersionNotFound", 10)["message"]


def test_a_pod_that_no_node_can_take_says_so_within_seconds(operator: Fixture, world: Fixture) -> None:
    world.basics()
    template = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    world.kubectl.apply(world.method("hungry", podTemplate=template), world.task("t", methodRef={"name": "hungry"}))
    world.until("ftt/t", lambda o: (o.get("status") or {}).get("jobName") == "t-train", 60)
    told = world.ready_reason("t", "Unschedulable", 10)["message"]
    assert "Insufficient nvidia.com/gpu" in told
    check = world.get("job/t-check")["spec"]["template"]["spec"]["containers"][0]
    assert check["resources"]["limits"] == {"cpu": "2", "memory": "8Gi"}


def test_a_task_whose_pod_no_node_takes_in_time_lets_the_next_one_train(operator: Fixture, world: Fixture) -> None:
    world.basics()
    template = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    hungry = {"methodRef": {"name": "hungry"}, "pendingTimeoutSeconds": 5}
    world.kubectl.apply(world.method("hungry", podTemplate=template), world.task("t", **hungry))
    world.until("ftt/t", lambda o: (o.get("status") or {}).get("jobName") == "t-train", 60)
    world.kubectl.apply(world.task("u", batchId="b1"))
    failed = ready(world.ended("t"))
    assert failed["reason"] == "PendingTimeout"
    assert "Insufficient nvidia.com/gpu" in failed["message"]
    assert ready(world.ended("u"))["status"] == "True"


def test_a_pod_that_a_quota_forbids_is_told_and_made_when_it_may(operator: Fixture, world: Fixture) -> None:
    world.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    world.batch()
    world.kubectl.apply(world.secret(), world.method(), world.model())
    said = "no pod can be made for Job '{}': the pod is forbidden: exceeded quota: no-pods"
    model = world.until("emodel/m", lambda o: ready(o).get("reason") == "PodRefused", 30)
    assert said.format("m-import") in ready(model)["message"]
    world.kubectl("delete", "quota", "no-pods")
    world.until("emodel/m", lambda o: ready(o).get("status") == "True", 90)

    world.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    world.kubectl.apply(world.task("t"))
    assert said.format("t-check") in world.ready_reason("t", "PodRefused", 30)["message"]
    version = world.get("ftt/t")["metadata"]["resourceVersion"]
    time.sleep(20)  # the Job controller tries again and again
    assert world.get("ftt/t")["metadata"]["resourceVersion"] == version
    world.kubectl("delete", "quota", "no-pods")
    assert world.ended("t", 150)["status"]["phase"] == "Succeeded"


def test_an_image_that_cannot_be_pulled_says_so(operator: Fixture, world: Fixture) -> None:
    world.basics()
    image = "localhost:1/no-such-image:1"
    world.kubectl.apply(world.method("broken", image=image), world.task("t", methodRef={"name": "broken"}))
    assert image in world.ready_reason("t", "ImagePullBackOff", 30)["message"]


def test_a_secret_without_a_key_shows_as_the_pods_error(operator: Fixture, world: Fixture) -> None:
    world.basics()
    env = [{"name": "TOKEN", "secretKeyRef": {"name": "absent", "key": "token"}}]
    world.kubectl.apply(world.method("needy", podTemplate={"env": env}), world.task("t", methodRef={"name": "needy"}))
    assert 'secret "absent" not found' in world.ready_reason("t", "CreateContainerConfigError", 30)["message"]


@pytest.mark.parametrize(
    ("stage", "code", "condition", "reason"),
    [
        ("check", 10, "DataValid", "DataInvalid"),
        ("check", 11, "DataValid", "PlanInvalid"),
        ("train", 12, "Trained", "PluginFailed"),
    ],
)
def test_an_exit_code_that_retrying_cannot_mend_ends_the_task(
    operator: Fixture, world: Fixture, stage: str, code: int, condition: str, reason: str
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={stage: f"exit:{code}"}))
    task = world.ended("t", 60)
    assert ready(task)["reason"] == reason  # the trainer's own word is none that the runbook knows
    assert ready(task)["message"] == f"Exit{code}: ended with {code} because the test says so"
    found = next(c for c in task["status"]["conditions"] if c["type"] == condition)
    assert found["status"] == "False"
    job = world.get(f"job/t-{stage}")
    assert job["status"]["failed"] == 1
    world.until("lease/bluetune-m", lambda o: not o["spec"].get("holderIdentity"))


def test_too_little_memory_is_told_while_it_is_retried(operator: Fixture, world: Fixture) -> None:
    world.basics()
    template = {"resources": {"limits": {"memory": "150Mi"}}}
    method = world.method("small", podTemplate=template)
    world.kubectl.apply(method, world.task("t", methodRef={"name": "small"}, metadata={"train": "oom"}, maxRetries=1))
    told = world.ready_reason("t", "OOMKilled", 60)["message"]
    assert "150Mi" in told
    task = world.ended("t", 90)
    assert ready(task)["reason"] == "OOMKilled"
    assert "given up after 2 attempts" in ready(task)["message"]


def test_a_deadline_ends_the_task(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", activeDeadlineSeconds=12, metadata={"train": "sleep:60"}))
    assert ready(world.ended("t", 60))["reason"] == "DeadlineExceeded"


def test_a_wrong_trainer_password_does_not_leak_the_right_one(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t"))
    world.ended("t")
    secret = world.bucket.server.secret_key
    told = operator.log.read_text() + world.kubectl("get", "events,ftt,emodel,cm,jobs", "-o", "yaml")
    assert secret not in told
    assert base64.b64encode(secret.encode()).decode() not in told


def test_a_lease_that_comes_to_name_a_suspended_task_goes_back_to_the_one_that_runs(
    operator: Fixture, world: Fixture
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:8"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    world.kubectl.apply(world.task("other", suspend=True))
    other = world.get("ftt/other")["metadata"]["uid"]
    world.kubectl(
        "patch", "lease", "bluetune-m", "--type=merge", "-p", f'{{"spec":{{"holderIdentity":"other/{other}"}}}}'
    )
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"
    assert len(world.versions()) == 2
    assert "startTime" not in (world.get("ftt/other").get("status") or {})


def test_a_job_that_somebody_deletes_is_made_again(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:8"}))
    first = world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    world.kubectl("delete", "job", "t-train")
    again = world.until("job/t-train", lambda o: o["metadata"]["uid"] != first["metadata"]["uid"], 60)
    assert again["metadata"]["labels"]["bluetune.dev/task"] == "t"
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


def test_a_run_goes_on_when_its_method_is_deleted(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:5"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    world.kubectl("delete", "ftm", "text")
    assert world.ended("t", 90)["status"]["phase"] == "Succeeded"


def test_a_pod_that_kubernetes_refuses_says_why(operator: Fixture, world: Fixture) -> None:
    world.basics()
    bad = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}
    world.kubectl.apply(world.method("bad", podTemplate=bad), world.task("t", methodRef={"name": "bad"}))
    assert "nodeSelectorTerms" in world.ready_reason("t", "JobRefused", 30)["message"]


def test_a_lease_that_names_nobody_known_heals_by_itself(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:5"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1, 60)
    forged = '{"spec":{"holderIdentity":"ghost/11111111-2222-3333-4444-555555555555"}}'
    world.kubectl("patch", "lease", "bluetune-m", "--type=merge", "-p", forged)
    world.until("lease/bluetune-m", lambda o: o["spec"]["holderIdentity"].startswith("t/"), 30)
    assert world.ended("t", 60)["status"]["phase"] == "Succeeded"
