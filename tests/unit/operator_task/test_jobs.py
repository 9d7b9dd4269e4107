"""The Jobs: restricted, without a token, with the right failure policy; plans that never change; suspension."""

from dataclasses import replace
from typing import Any

import pytest

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.pods import PodTemplate
from bluetune_api.records import Plan
from bluetune_api.store_location import StoreLocation
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.config import Config
from bluetune_operator.core.digests import said_by
from bluetune_operator.core.jobs.build import plan_config_map, trainer_job
from bluetune_operator.core.jobs.cpu_pods import cpu_template
from bluetune_operator.core.jobs.state import JobState
from bluetune_operator.core.tasks.jobs import (
    as_checked,
    attempts,
    check_job,
    check_plan,
    is_kueues,
    suspension,
    train_job,
    train_plan,
    with_record,
)
from bluetune_operator.core.tasks.run_record import RECORD, RunRecord, plan_verdict, run_record

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
    config = Config(trainer_image="trainer:1")
    return trainer_job(train_job(raw, task, model, run_record(task, model, method, config), config, check=check))


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


def test_user_and_groups_are_named_unless_the_platform_assigns_them() -> None:
    named = {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    raw, task, model, method = parts()
    for fixed in (True, False):
        config = Config(fixed_ids=fixed)
        record = run_record(task, model, method, config)
        for wanted in (
            check_job(raw, task, model, record, config),
            train_job(raw, task, model, record, config, check=None),
        ):
            pod = pod_of(trainer_job(wanted))
            rest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
            assert pod["securityContext"] == rest | (named if fixed else {})
            assert "runAsUser" not in pod["containers"][0]["securityContext"]


def test_the_failure_policy_is_in_this_order() -> None:
    spec = train(maxRetries=2)["spec"]
    rules = [(r["action"], r.get("onExitCodes", {}).get("values")) for r in spec["podFailurePolicy"]["rules"]]
    assert rules == [("Ignore", None), ("FailJob", [10, 11, 12, 14]), ("Ignore", [13, 75])]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (2, "Failed")


def test_only_the_training_asks_for_a_gpu() -> None:
    raw, task, model, method = parts()
    check = trainer_job(check_job(raw, task, model, run_record(task, model, method, Config()), Config()))
    assert pod_of(check)["containers"][0]["resources"] == {
        "requests": {"cpu": "2"},
        "limits": {"cpu": "2", "memory": "8Gi"},
    }
    assert pod_of(train())["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod_of(check)["containers"][0]["args"][0] == "check"


def test_a_pod_template_says_what_a_pod_can_say() -> None:
    more: dict[str, Any] = {
        "schedulerName": "gangs",
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
        "resources": {"claims": [{"name": "gpu"}], "limits": {"nvidia.com/gpu": "1"}},
        "envFrom": [{"prefix": "X_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
        "env": [{"name": "C", "configMapKeyRef": {"name": "c", "key": "k"}}],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Ti"}},
        ],
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp/"},
        ],
        "labels": {"kueue.x-k8s.io/priority-class": "low", "bluetune.dev/task": "forged"},
        "annotations": {"owner": "search", "bluetune.dev/method-digest": "forged"},
    }
    raw, task, model, method = parts()
    chosen = method.model_copy(
        update={"spec": method.spec.model_copy(update={"pod_template": PodTemplate.model_validate(more)})}
    )
    record = run_record(task, model, chosen, Config())
    job = trainer_job(train_job(raw, task, model, record, Config(), check=None))
    pod, container = pod_of(job), pod_of(job)["containers"][0]
    for name in ("schedulerName", "topologySpreadConstraints", "resourceClaims"):
        assert pod[name] == more[name]
    assert container["envFrom"] == more["envFrom"]
    small = {"cpu": "100m", "memory": "256Mi"}
    assert container["resources"] == more["resources"] | {"requests": small}
    reference = {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
    assert reference in container["env"]
    assert all(volume in pod["volumes"] for volume in more["volumes"])
    assert all(mount in container["volumeMounts"] for mount in more["volumeMounts"])
    names = [volume["name"] for volume in pod["volumes"]]
    assert sorted(names) == ["models", "plan", "scratch", "shm"]  # the scratch volume is the pod's /tmp
    assert job["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "low"
    assert job["metadata"]["labels"]["bluetune.dev/task"] == "t"
    assert job["metadata"]["annotations"] == {"owner": "search", **record.annotations()}
    check = trainer_job(check_job(raw, task, model, record, Config()))
    assert pod_of(check)["containers"][0]["resources"] == {"requests": small, "limits": {"cpu": "2", "memory": "8Gi"}}
    assert not {"schedulerName", "topologySpreadConstraints", "resourceClaims"} & set(pod_of(check))
    assert more["volumes"][0] in pod_of(check)["volumes"]


def test_a_check_is_not_placed_where_the_training_is() -> None:
    raw, task, model, method = parts()
    gpu_node = {"affinity": {"nodeAffinity": {}}, "runtimeClassName": "nvidia", "priorityClassName": "high"}
    secrets = [{"name": "pull"}]
    large = {"requests": {"cpu": "16", "memory": "100G", "hugepages-2Mi": "1Gi"}, "limits": {"nvidia.com/gpu": "8"}}
    template = PodTemplate.model_validate(POD | gpu_node | {"imagePullSecrets": secrets, "resources": large})
    cpu = PodTemplate.model_validate({"nodeSelector": {"pool": "cpu"}, "labels": {"a": "b"}})
    for own, placed in ((None, {}), (cpu, {"nodeSelector": {"pool": "cpu"}})):
        spec = method.spec.model_copy(update={"pod_template": template, "cpu_pod_template": own})
        chosen = method.model_copy(update={"spec": spec})
        job = trainer_job(check_job(raw, task, model, run_record(task, model, chosen, Config()), Config()))
        pod = pod_of(job)
        placement = ("nodeSelector", "tolerations", "affinity", "runtimeClassName")
        assert {name: pod[name] for name in placement if name in pod} == placed
        assert (pod["priorityClassName"], pod["imagePullSecrets"]) == ("high", secrets)
        assert {"name": "A", "value": "1"} in pod["containers"][0]["env"]
        assert pod["containers"][0]["resources"]["requests"] == {"cpu": "2", "memory": "8Gi"}
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert ("team" in labels, "a" in labels) == (own is None, own is not None)
    own = PodTemplate.model_validate({"resources": {"limits": {"cpu": "8", "memory": "64Gi"}}})
    assert cpu_template(template, own).resources == own.resources
    assert cpu_template(None, None).resources is None


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"cpu": "500m", "memory": "1500Mi"}, {"cpu": "500m", "memory": "1500Mi"}),
        ({"cpu": "2500m", "memory": "8192Mi"}, {"cpu": "2", "memory": "8192Mi"}),
        ({"cpu": "2.5", "memory": "9e9"}, {"cpu": "2", "memory": "8Gi"}),
        ({"memory": "8e9", "ephemeral-storage": "1Ti"}, {"memory": "8e9", "ephemeral-storage": "32Gi"}),
        ({"memory": f"1e{'9' * 25}", "cpu": ".5"}, {"memory": "8Gi", "cpu": ".5"}),
        ({"memory": f"1e-{'9' * 25}", "cpu": "5."}, {"memory": f"1e-{'9' * 25}", "cpu": "2"}),
        ({"memory": "1E", "cpu": "2000000u"}, {"memory": "8Gi", "cpu": "2000000u"}),
    ],
)
def test_a_check_asks_for_no_more_than_it_needs(asked: dict[str, str], given: dict[str, str]) -> None:
    template = PodTemplate.model_validate({"resources": {"requests": asked}})
    resources = cpu_template(template, None).resources
    assert resources is not None
    assert resources.requests == given


def test_a_pod_with_gpus_is_told_how_many_and_may_share_memory_for_them() -> None:
    raw, task, model, method = parts()
    check = trainer_job(check_job(raw, task, model, run_record(task, model, method, Config()), Config()))
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
    for job, has in ((train(), True), (check, False)):
        pod = pod_of(job)
        container = pod["containers"][0]
        assert (shm in pod["volumes"]) is has
        assert ({"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]) is has
        assert ({"name": "BLUETUNE_GPUS", "value": "1"} in container["env"]) is has


def test_credentials_are_references_and_never_values() -> None:
    env = {e["name"]: e for e in pod_of(train())["containers"][0]["env"]}
    reference = env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}
    token = env["AWS_SESSION_TOKEN"]["valueFrom"]["secretKeyRef"]  # a Secret may have none
    assert token == {"name": "keys", "key": "AWS_SESSION_TOKEN", "optional": True}
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
    assert is_kueues(job)
    for suspend in (False, True):
        assert suspension(job, suspend=suspend, now_stamp="2026-01-01T00:00:00Z") is None


@pytest.mark.parametrize(
    ("of_task", "of_model", "queue"), [(None, None, None), ("a", None, "a"), (None, "b", "b"), ("a", "b", "a")]
)
def test_check_and_training_are_in_one_queue(of_task: str | None, of_model: str | None, queue: str | None) -> None:
    raw, task, model, method = parts(**({"queueName": of_task} if of_task else {}))
    model = model.model_copy(update={"spec": model.spec.model_copy(update={"queue_name": of_model})})
    record = run_record(task, model, method, Config())
    for wanted in (
        check_job(raw, task, model, record, Config()),
        train_job(raw, task, model, record, Config(), check=None),
    ):
        job = trainer_job(wanted)
        assert job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == queue
        assert job["spec"]["suspend"] is True  # it starts once the Lease was read, or Kueue starts it


def test_a_queue_that_the_pod_template_names_is_kueues_too() -> None:
    raw, task, model, method = parts()
    record = run_record(task, model, method, Config())
    template = PodTemplate(labels={"kueue.x-k8s.io/queue-name": "gpus"})
    wanted = replace(check_job(raw, task, model, record, Config()), template=template, suspend=False)
    job = trainer_job(wanted)
    assert is_kueues(job)
    assert job["spec"]["suspend"] is True


def kept_check(**spec: Any) -> tuple[Plan, RunRecord, dict[str, Any]]:
    """Plan and record of a run that begins, and the ConfigMap that keeps them."""
    raw, task, model, method = parts(**spec)
    status = FineTuningTaskStatus(batch_id="b1", start_version=VERSION, live_version=VERSION)
    plan, record = check_plan(task, status, model, method), run_record(task, model, method, Config())
    job = check_job(raw, task, model, record, Config())
    return plan, record, plan_config_map(job, plan, **{RECORD: record.model_dump_json(by_alias=True)})


def test_the_training_follows_the_plan_that_was_checked() -> None:
    plan, record, kept = kept_check(overrides={"initialMaxEvals": 2}, metadata={"a": "b"})
    edited = plan.model_copy(update={"batch_id": "b2"}), record.model_copy(update={"image": "another:2"})
    for now in (edited, None):  # the method was edited, or deleted
        assert as_checked(kept, now) == (plan, record)
    assert (plan.method.initial_max_evals, plan.metadata, plan.batch_id) == (2, {"a": "b"}, "b1")
    assert train_plan(plan).wire() == plan.wire() | {"kind": "Train"}
    assert as_checked(None, edited) == edited
    assert as_checked(None, None) is None


def test_a_job_is_made_from_the_record_whatever_the_method_says_now() -> None:
    raw, task, model, method = parts()
    record = run_record(task, model, method, Config()).model_copy(update={"image": "kept:1", "pod_template": None})
    job = trainer_job(
        with_record(check_job(raw, task, model, run_record(task, model, method, Config()), Config()), record)
    )
    assert pod_of(job)["containers"][0]["image"] == "kept:1"
    assert "nodeSelector" not in pod_of(job)
    assert job["metadata"]["annotations"] == record.annotations()


@pytest.mark.parametrize(
    ("method_change", "model_change", "said"),
    [
        ({}, {}, None),
        ({}, {"retention": {"keepVersions": 3}}, None),
        ({}, {"serving": {"deployment": "d", "container": "c"}}, None),
        ({"initialMaxEvals": 5}, {}, "FineTuningMethod 'text' was edited"),
        ({"image": "new:1"}, {}, "FineTuningMethod 'text' was edited"),
        ({"podTemplate": {}}, {}, "FineTuningMethod 'text' was edited"),
        ({}, {"store": STORE | {"prefix": "other"}}, "EmbeddingModel 'm' was edited"),
        (
            {"settings": {"seed": 9}},
            {"serving": {"deployment": "d", "container": "c", "gate": {"minDelta": 0.5}}},
            "FineTuningMethod 'text' was edited and spec.store or spec.serving.gate of EmbeddingModel 'm' was edited",
        ),
        (None, {}, "its FineTuningMethod was deleted"),
    ],
)
def test_an_edit_that_the_run_does_not_follow_is_told(
    method_change: dict[str, Any] | None, model_change: dict[str, Any], said: str | None
) -> None:
    raw, task, model, method = parts()
    job = trainer_job(check_job(raw, task, model, run_record(task, model, method, Config()), Config()))
    base = {"base": {"uri": "/base"}, "store": STORE}
    now = EmbeddingModel.model_validate(resource("EmbeddingModel", "m", **base | model_change))
    spec = {"podTemplate": POD, "initialMaxEvals": 4}
    known = method_change is not None
    method = FineTuningMethod.model_validate(resource("FineTuningMethod", "text", **spec | (method_change or {})))
    verdict = plan_verdict(job, task, now, method if known else None)
    assert verdict is not None
    assert verdict.current == (said is None)
    assert (said or "as they were") in verdict.message


@pytest.mark.parametrize(
    "annotations", [{}, {"bluetune.dev/method-digest": "0" * 64, "bluetune.dev/model-digest": "0" * 64}]
)
def test_a_job_from_before_the_record_or_its_form_says_nothing_about_edits(annotations: dict[str, str]) -> None:
    _, task, model, method = parts()
    assert plan_verdict({"metadata": {"annotations": annotations}}, task, model, method) is None


class LaterLocation(StoreLocation):
    addressing: str = "Path"


def test_a_field_that_a_release_adds_edits_nothing_until_it_is_set() -> None:
    where = {"endpoint": "s3:9000", "bucket": "bucket"}
    before, after = StoreLocation.model_validate(where), LaterLocation.model_validate(where)
    assert said_by(before) == said_by(after)
    assert said_by(before) != said_by(LaterLocation.model_validate({**where, "addressing": "Host"}))
    assert said_by(before) != said_by(StoreLocation.model_validate({**where, "prefix": "p"}))


def test_a_setting_that_the_task_overrides_may_change_in_the_method() -> None:
    _, task, model, method = parts(overrides={"initialMaxEvals": 2})
    edited = method.model_copy(update={"spec": method.spec.model_copy(update={"initial_max_evals": 9})})
    assert run_record(task, model, method, Config()) == run_record(task, model, edited, Config())


def test_the_checks_time_counts_against_the_deadline() -> None:
    ran = {"status": {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:40Z"}}
    assert train(activeDeadlineSeconds=100, check=ran)["spec"]["activeDeadlineSeconds"] == 60
    assert train(activeDeadlineSeconds=30, check=ran)["spec"]["activeDeadlineSeconds"] == 1
    assert "activeDeadlineSeconds" not in train(check=ran)["spec"]
    # the check was suspended after 25 s, and ran 40 s more
    ran["spec"] = {"activeDeadlineSeconds": 75}  # type: ignore[assignment]
    assert train(activeDeadlineSeconds=100, check=ran)["spec"]["activeDeadlineSeconds"] == 35


@pytest.mark.parametrize(
    ("before", "pod_before", "pod", "pods", "expected"),
    [
        (None, None, None, 0, 0),
        (None, None, "a", 1, 1),
        (1, "a", "a", 1, 1),
        (1, "a", "b", 2, 2),  # a crash leaves its pod
        (1, "a", "b", 1, 2),  # an eviction does not
        (3, "c", None, 0, 3),  # suspended
        (3, "c", "d", 1, 4),
        (1, "a", "c", 3, 3),  # two came while nobody looked
    ],
)
def test_attempts_count_pods_that_are_gone(
    before: int | None, pod_before: str | None, pod: str | None, pods: int, expected: int
) -> None:
    assert attempts(before, pod_before, JobState("Running", attempt=pods, pod_name=pod)) == expected


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
        (
            {  # resumed a moment ago: startTime is still that of before
                "spec": {"activeDeadlineSeconds": 70},
                "status": {
                    "startTime": "2026-01-01T00:00:00Z",
                    "conditions": [{"type": "Suspended", "status": "True"}],
                },
            },
            True,
            {"suspend": True},
        ),
    ],
)
def test_suspending_keeps_what_is_left_of_the_deadline(job: dict[str, Any], suspend: bool, expected: Any) -> None:
    thing = {"metadata": {"resourceVersion": "5"}, **job}
    patch = suspension(thing, suspend=suspend, now_stamp="2026-01-01T00:00:30Z")
    assert (patch["spec"] if patch else None) == expected
    assert patch is None or patch["metadata"]["resourceVersion"] == "5"
