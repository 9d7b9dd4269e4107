"""The Jobs: restricted, without a token, with the right failure policy; plans that never change; suspension."""

from typing import Any

import pytest

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs import plan_config_map, plan_of, trainer_job
from bluetune_operator.core.task_jobs import check_job, check_plan, suspension, train_job, train_plan

VERSION = "v0123456789ab"


def resource(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}"}
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


STORE = {"endpoint": "s3:9000", "bucket": "bucket", "prefix": "m", "credentialsSecretRef": {"name": "keys"}}
POD = {
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"}},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "labels": {"team": "search", "bluetune.dev/task": "forged"},
    "env": [{"name": "A", "value": "1"}, {"name": "B", "secretKeyRef": {"name": "s", "key": "k"}}],
}


def parts(store: dict[str, Any] | None = None, **spec: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    raw = resource("FineTuningTask", "t", modelRef={"name": "m"}, **spec)
    model = resource("EmbeddingModel", "m", base={"uri": "/base"}, store=store or STORE)
    method = resource("FineTuningMethod", "text", podTemplate=POD, initialMaxEvals=4)
    return (
        raw,
        FineTuningTask.model_validate(raw),
        EmbeddingModel.model_validate(model),
        FineTuningMethod.model_validate(method),
    )


def train(store: dict[str, Any] | None = None, check: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    raw, task, model, method = parts(store, **spec)
    return trainer_job(train_job(raw, task, model, method, Config(trainer_image="trainer:1"), check=check))


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def test_the_pod_is_restricted_and_has_no_token() -> None:
    pod = pod_of(train())
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 120)
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_the_failure_policy_is_in_this_order() -> None:
    spec = train(maxRetries=2)["spec"]
    rules = [(r["action"], r.get("onExitCodes", {}).get("values")) for r in spec["podFailurePolicy"]["rules"]]
    assert rules == [("Ignore", None), ("FailJob", [10, 11, 12]), ("Ignore", [75])]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (2, "Failed")


def test_only_the_training_asks_for_a_gpu() -> None:
    raw, task, model, method = parts()
    check = trainer_job(check_job(raw, task, model, method, Config()))
    assert pod_of(check)["containers"][0]["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "8Gi"}}
    assert pod_of(train())["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod_of(check)["containers"][0]["args"][0] == "check"
    assert pod_of(check)["nodeSelector"] == {"pool": "gpu"}


def test_credentials_are_references_and_never_values() -> None:
    env = {e["name"]: e for e in pod_of(train())["containers"][0]["env"]}
    reference = env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}
    assert env["B"]["valueFrom"]["secretKeyRef"] == {"name": "s", "key": "k"}
    assert env["HF_HUB_OFFLINE"]["value"] == "1"


def test_workload_identity_and_a_certificate_authority() -> None:
    store = {k: v for k, v in STORE.items() if k != "credentialsSecretRef"}
    pod = pod_of(train(store | {"serviceAccountName": "robot", "caSecretRef": {"name": "ca"}}))
    env = {e["name"]: e for e in pod["containers"][0]["env"]}
    assert pod["serviceAccountName"] == "robot"
    assert "AWS_ACCESS_KEY_ID" not in env
    assert env["BLUETUNE_CA_FILE"]["value"] == "/etc/bluetune-ca/ca.crt"
    assert {"name": "ca", "secret": {"secretName": "ca"}} in pod["volumes"]


def test_a_method_cannot_forge_our_labels() -> None:
    job = train()
    assert job["spec"]["template"]["metadata"]["labels"]["bluetune.dev/task"] == "t"
    assert job["spec"]["template"]["metadata"]["labels"]["team"] == "search"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-t"


def test_a_queue_of_kueue_starts_the_job_itself() -> None:
    job = train(queueName="gpus")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert suspension(job, suspend=False, now_stamp="2026-01-01T00:00:00Z") is None


def test_the_training_follows_the_plan_that_was_checked() -> None:
    raw, task, model, method = parts(overrides={"initialMaxEvals": 2}, metadata={"a": "b"})
    status = FineTuningTaskStatus(batch_id="b1", start_version=VERSION, live_version=VERSION)
    check = check_plan(task, status, model, method)
    kept = plan_of(plan_config_map(check_job(raw, task, model, method, Config()), check))
    assert kept == check
    assert (kept.method.initial_max_evals, kept.metadata, kept.batch_id) == (2, {"a": "b"}, "b1")
    assert train_plan(kept).wire() == kept.wire() | {"kind": "Train"}


def test_the_checks_time_counts_against_the_deadline() -> None:
    ran = {"status": {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:40Z"}}
    assert train(activeDeadlineSeconds=100, check=ran)["spec"]["activeDeadlineSeconds"] == 60
    assert train(activeDeadlineSeconds=30, check=ran)["spec"]["activeDeadlineSeconds"] == 1
    assert "activeDeadlineSeconds" not in train(check=ran)["spec"]


@pytest.mark.parametrize(
    ("job", "suspend", "expected"),
    [
        ({"spec": {}}, False, None),
        ({"spec": {"suspend": True}}, True, None),
        ({"spec": {}}, True, {"suspend": True}),
        ({"spec": {"suspend": True}}, False, {"suspend": False}),
        (
            {"spec": {"activeDeadlineSeconds": 100}, "status": {"startTime": "2026-01-01T00:00:00Z"}},
            True,
            {"suspend": True, "activeDeadlineSeconds": 70},
        ),
        ({"spec": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}, True, None),
    ],
)
def test_suspending_keeps_what_is_left_of_the_deadline(job: dict[str, Any], suspend: bool, expected: Any) -> None:
    thing = {"metadata": {"resourceVersion": "5"}, **job}
    patch = suspension(thing, suspend=suspend, now_stamp="2026-01-01T00:00:30Z")
    assert (patch["spec"] if patch else None) == expected
    assert patch is None or patch["metadata"] == {"resourceVersion": "5"}
