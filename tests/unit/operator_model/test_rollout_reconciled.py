"""Rollouts by the reconciler itself: what is written to Kubernetes, when, and what is said of it."""

import copy
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.objectstore import StoreUnreachable
from bluetune_operator.core.errors import WebhookFailed
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS, MODELS, PODS
from unit.operator_model.scene import ANOTHER, NEW, OLD, Scene

TIMES: dict[str, Any] = {"rolloutTimeoutSeconds": 60}


def rolling(step: str = "Wait", **serving: Any) -> Scene:
    """A model whose rollout of the new version is at a step."""
    scene = Scene(**TIMES, **serving)
    scene.look()
    scene.edit(rollbackTo=NEW)
    scene.until(step)
    return scene


def test_ready_stays_true_from_before_a_rollout_until_after_it() -> None:
    scene = rolling()
    scene.roll()
    scene.until("Done")
    scene.look(3)
    assert {status for status, _, _ in scene.conditions} == {"True"}, scene.conditions
    assert scene.status["current"]["version"] == scene.told() == NEW


def test_the_end_of_a_rollout_is_counted_once_with_its_reason() -> None:
    scene = rolling()
    scene.roll()
    scene.until("Done")
    scene.edit(rollbackTo=ANOTHER)
    scene.until("Wait")
    scene.edit(serving=None)
    scene.look(3)
    text, model = scene.metrics.text().decode(), 'model="shop",namespace="ns"'
    assert text.count("bluetune_rollouts_total{") == 2
    assert f'bluetune_rollouts_total{{{model},outcome="Done",reason="RolledOut"}} 1.0' in text
    assert f'bluetune_rollouts_total{{{model},outcome="Failed",reason="ServingRemoved"}} 1.0' in text


@pytest.mark.parametrize(
    ("case", "reason"), [("deleted", "DeploymentNotFound"), ("no pod", "BlueNotAvailable"), ("at 0", "ScaledToZero")]
)
def test_ready_is_false_during_a_rollout_while_nobody_serves(case: str, reason: str) -> None:
    scene = rolling()
    if case == "at 0":
        scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["replicas"] = 0
        scene.roll()
    for key in [k for k in scene.kube.objects if k[0] == PODS.plural or (case == "deleted" and k[0] == "deployments")]:
        del scene.kube.objects[key]
    scene.look()
    assert scene.rollout["step"] == "Wait"
    assert scene.conditions[-1][:2] == ("False", reason)


def test_a_deployment_at_0_replicas_is_left_as_it_is_until_it_has_pods() -> None:
    scene = Scene(**TIMES)
    scene.look()
    scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["replicas"] = 0
    scene.roll()
    scene.edit(rollbackTo=NEW)
    scene.look(50, seconds=600)  # a night
    assert (scene.rollout["step"], scene.rollout["reason"], scene.told()) == ("Patch", "ScaledToZero", OLD)
    scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["replicas"] = 1
    scene.roll()
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    assert scene.told() == NEW


def test_a_pod_of_others_with_the_same_labels_holds_nothing_up_and_is_not_asked() -> None:
    scene = rolling()
    scene.roll()
    metadata = {"name": "canary", "ownerReferences": [{"kind": "ReplicaSet", "name": "canary-1", "uid": "c"}]}
    ready = {"phase": "Running", "podIP": "10.9.9.9", "conditions": [{"type": "Ready", "status": "True"}]}
    scene.kube.put(PODS, {"metadata": metadata | {"labels": {"pod-template-hash": "1"}}, "status": ready})
    scene.until("Done")


def test_serving_removed_during_a_rollout_brings_the_version_before_back_and_gives_the_fields_back() -> None:
    scene = rolling()
    assert scene.told() == NEW
    scene.edit(serving=None)
    scene.look()
    assert (scene.rollout["step"], scene.rollout["reason"]) == ("Failed", "ServingRemoved")
    assert (scene.told(), scene.owned()) == (OLD, False)
    assert "blue" not in scene.status
    before = list(scene.kube.written)
    scene.look(3)
    assert scene.kube.written == before, "once"


def test_serving_moved_during_a_rollout_does_the_same_and_goes_on_with_the_other_deployment() -> None:
    scene = rolling()
    scene.deploy("green")
    scene.edit(deployment="green", rollbackTo=ANOTHER)
    scene.look()
    assert (scene.told(), scene.owned()) == (OLD, False)
    assert (scene.status["blue"]["deployment"], scene.status["blue"]["told"]["version"]) == ("green", OLD)
    scene.until("Wait")
    scene.roll("green")
    scene.until("Done")
    assert (scene.told("green"), scene.told("blue")) == (ANOTHER, OLD)


def test_an_operator_that_dies_before_it_writes_the_status_gives_back_once_more() -> None:
    scene = rolling()
    scene.edit(serving=None)
    before = copy.deepcopy(scene.kube.objects["embeddingmodels", "shop"])
    scene.look()
    scene.kube.put(MODELS, before)
    scene.look()
    assert (scene.told(), scene.owned(), scene.rollout["step"]) == (OLD, False, "Failed")


def test_a_served_model_that_ends_serving_leaves_all_values_in_the_deployment() -> None:
    scene = Scene(**TIMES)
    scene.look()
    template = copy.deepcopy(scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"])
    scene.edit(serving=None)
    scene.look()
    assert scene.kube.written == [("patch", "blue")]
    assert scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"] == template
    assert not scene.owned()


def test_a_container_that_is_renamed_is_given_back_so_that_its_owner_can_rename_it() -> None:
    scene = rolling()
    scene.roll()
    scene.until("Done")
    scene.edit(container="api")
    scene.look()
    assert scene.conditions[-1][:2] == ("False", "ContainerNotFound")
    assert not scene.owned()
    scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]["spec"]["containers"][0]["name"] = "api"
    scene.look(2)
    assert scene.conditions[-1][0] == "True"


def test_a_webhook_that_does_not_answer_is_said_and_ends_the_rollout_with_blue_as_it_was() -> None:
    scene = Scene(**TIMES)
    scene.look()
    said = 'Internal error occurred: failed calling webhook "policy.example.com"'
    scene.kube.refuse = lambda verb, name: WebhookFailed(500, "InternalError", said) if verb == "apply" else None
    scene.edit(rollbackTo=NEW)
    scene.look(5)
    assert said in scene.rollout["message"]
    assert said in scene.conditions[-1][2]
    rollout = scene.until("Failed", seconds=5)
    assert (rollout["reason"], scene.told()) == ("PatchRefused", OLD)
    assert said in rollout["message"]


def test_the_probe_is_read_before_the_switch() -> None:
    scene = Scene(**TIMES, verify={"port": 9, "encodePath": "/encode"})
    scene.look()
    scene.edit(rollbackTo=NEW)
    scene.look()  # the rollout begins
    scene.store.away = StoreUnreachable("the store is away")
    scene.look(5)
    assert scene.kube.written == []
    assert "the store is away" in scene.rollout["message"]
    scene.store.away = None
    scene.until("Wait")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"template": {"spec": {"containers": {"name": "x"}}}}, "template.spec.containers must be a list"),
        ({"template": None}, "template.template must be a map of fields, not null"),
        ({"template": {"spec": {"containers": [{"env": {"A": "b"}}]}}}, "containers[0].env must be a list"),
        ({}, "the pod of the Job, is missing"),
    ],
)
def test_a_slip_in_the_reindex_template_is_named_and_blue_is_as_it_was(template: Any, words: str) -> None:
    scene = Scene(**TIMES, reindex={"template": template})
    scene.look()
    scene.edit(rollbackTo=NEW)
    rollout = scene.until("Failed")
    assert rollout["reason"] == "ReindexRefused"
    assert words in rollout["message"]
    assert (scene.told(), scene.kube.written) == (OLD, [])


REINDEX = {"template": {"template": {"spec": {"containers": [{"name": "index", "image": "i"}]}}}}


def test_a_job_of_others_with_the_reindex_jobs_name_is_not_deleted() -> None:
    scene = Scene(**TIMES, reindex=REINDEX)
    scene.look()
    name = f"shop-reindex-{NEW.removeprefix('v')}"
    scene.kube.put(JOBS, {"metadata": {"name": name, "namespace": "ns", "uid": "foreign"}, "spec": {}})
    scene.edit(rollbackTo=NEW)
    rollout = scene.until("Failed")
    assert (rollout["reason"], scene.kube.written) == ("NameTaken", [])
    assert name in rollout["message"]


def test_a_reindex_job_that_somebody_deletes_is_made_again_later_each_time_and_then_given_up() -> None:
    scene = Scene(**TIMES, reindex=REINDEX)
    scene.look()
    scene.edit(rollbackTo=NEW)
    scene.until("Reindex")
    for _ in range(300):
        scene.look()
        for job in scene.jobs():
            del scene.kube.objects[JOBS.plural, job["metadata"]["name"]]
        if scene.rollout["step"] == "Failed":
            break
    assert scene.rollout["reason"] == "ReindexJobDeleted"
    assert [verb for verb, _ in scene.kube.written] == ["create"] * 6


def test_who_writes_over_the_deployment_again_and_again_is_named_and_blue_is_told_six_times() -> None:
    scene = Scene(rolloutTimeoutSeconds=600)
    scene.look()
    stripped = copy.deepcopy(scene.kube.objects[DEPLOYMENTS.plural, "blue"])
    for container in stripped["spec"]["template"]["spec"]["containers"]:
        container["env"] = []
    writer = {"manager": "app-operator", "operation": "Update", "time": "2026-01-01T01:00:00Z"}
    stripped["metadata"]["managedFields"] = [{**writer, "fieldsV1": {"f:spec": {}}}]
    for _ in range(400):
        scene.kube.put(DEPLOYMENTS, stripped)
        scene.look()
        if scene.rollout.get("step") == "Failed":
            break
    assert scene.rollout["reason"] == "OverwrittenByOthers"
    assert "app-operator" in scene.rollout["message"]
    assert scene.conditions[-1][:2] == ("False", "OverwrittenByOthers")
    assert [verb for verb, _ in scene.kube.written] == ["apply"] * 6


def test_a_rollout_that_a_newer_operator_left_is_frozen_and_goes_on_where_it_was() -> None:
    scene = rolling()
    model = copy.deepcopy(scene.kube.objects[MODELS.plural, "shop"])
    step = model["status"]["rollout"]["step"]
    model["status"]["rollout"] |= {"step": "Canary", "percent": 5}
    scene.kube.put(MODELS, model)
    written = list(scene.kube.written)
    scene.look(5, seconds=5)
    found = scene.status
    assert (found["rollout"], scene.kube.written) == (model["status"]["rollout"], written)
    said = next(c for c in found["conditions"] if c["type"] == "StatusUnreadable")
    assert said["message"].startswith("EmbeddingModel 'shop': status.rollout.step")
    model = copy.deepcopy(scene.kube.objects[MODELS.plural, "shop"])
    model["status"]["rollout"]["step"] = step
    scene.kube.put(MODELS, model)
    scene.look()
    assert scene.rollout["percent"] == 5, "what a newer release knows of the rollout is kept"
    scene.roll()
    scene.until("Done")
    assert scene.told() == NEW
    assert [c["status"] for c in scene.status["conditions"] if c["type"] == "StatusUnreadable"] == ["False"]


def test_the_fetcher_is_the_operators_image_on_the_way_and_on_the_way_back() -> None:
    scene = rolling("Wait", delivery="InitContainer", mountPath="/model")

    def images() -> list[str]:
        pod = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]["spec"]
        return [container["image"] for container in pod["initContainers"]]

    assert (scene.told(), images()) == (NEW, ["operator:1"])
    scene.edit(serving=None)
    scene.look(3)
    assert (scene.told(), images()) == (OLD, ["operator:1"])


def test_an_owner_record_of_a_newer_release_freezes_a_rollout_and_abandons_nothing() -> None:
    scene = rolling()
    owner = scene.store.kept[store_layout.OWNER]
    scene.store.kept[store_layout.OWNER] = owner.replace(b'"formatVersion":1', b'"formatVersion":2')
    scene._restarted()
    before, written = dict(scene.rollout), list(scene.kube.written)
    scene.look(5)
    assert scene.conditions[-1][:2] == ("False", "FormatTooNew")
    assert "upgrade the operator" in scene.conditions[-1][2]
    assert (scene.rollout, scene.kube.written) == (before, written)
    assert scene.status["deployment"] == "blue", "it is still this model's"
    scene.store.kept[store_layout.OWNER] = owner
    scene.roll()
    scene.until("Done")
    assert scene.told() == NEW


@pytest.mark.parametrize("reason", ["FormatTooNew", "VersionInvalid"])
def test_a_model_without_status_rolls_nothing_out_by_a_record_that_it_cannot_read(reason: str) -> None:
    scene = Scene(**TIMES)
    scene.look(2)
    current = scene.store.kept[store_layout.CURRENT]
    newer = current.replace(b'"formatVersion":1', b'"formatVersion":2')
    scene.store.kept[store_layout.CURRENT] = newer if reason == "FormatTooNew" else b"{"
    model = copy.deepcopy(scene.kube.objects[MODELS.plural, "shop"])
    for field in ("current", "history", "rollout"):
        model["status"].pop(field, None)
    scene.kube.put(MODELS, model)
    blue = scene.kube.objects[DEPLOYMENTS.plural, "blue"]
    blue["spec"]["template"]["metadata"]["annotations"] = {}  # nor does the Deployment tell
    scene.look(3)
    assert scene.conditions[-1][:2] == ("False", reason)
    assert scene.kube.written == []
    assert scene.store.kept[store_layout.CURRENT] != current, "it is left for a person, or a newer operator"
