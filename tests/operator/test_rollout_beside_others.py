"""Others get in a rollout's way, on a real cluster: each time it ends, or goes on, and says who and what to do."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from blue.world import Blue, blue_deployment, reindex, usual_serving

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(300)


def deployment(blue: Blue, name: str = "blue") -> dict[str, Any]:
    found: dict[str, Any] = blue.kubectl.json("get", "deployment", name, "--show-managed-fields")
    return found


def env(blue: Blue, name: str = "blue") -> dict[str, str]:
    container = deployment(blue, name)["spec"]["template"]["spec"]["containers"][0]
    return {v["name"]: v.get("value", "") for v in container.get("env", [])}


def owned(blue: Blue, name: str = "blue") -> bool:
    return any(e["manager"] == "bluetune-serving" for e in deployment(blue, name)["metadata"]["managedFields"])


def test_a_rollback_by_kubectl_is_named_with_the_commands_that_free_the_fields(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(newer)
        blue.until(lambda: blue.current() == newer and blue.condition("Ready")["reason"] == "Pinned")
        blue.kubectl("rollout", "undo", "deployment/blue")
        blue.until(lambda: blue.condition("Ready")["reason"] == "FieldConflict")
        said = blue.condition("Ready")["message"]
        assert "kubectl set env deployment/blue -c server BLUETUNE_" in said
        assert "kubectl patch deployment blue --type=json -p" in said
        for command in said.partition("free it: ")[2].split(" ; "):
            words = command.removeprefix("kubectl ").split(" -p ")
            patch = ["-p", words[1].strip("'")] if len(words) > 1 else []
            blue.kubectl(*words[0].split(), *patch)
        blue.until(lambda: blue.condition("Ready")["reason"] == "Pinned", 120)
        assert blue.served() == [newer]


def test_ready_stays_true_through_a_promotion(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.condition("Ready").get("status") == "True" and blue.current() == base)
        blue.pin(newer)
        blue.until(lambda: blue.current() == newer and blue.condition("Ready")["reason"] == "Pinned")
        changed = blue.condition("Ready")["lastTransitionTime"]
        events = blue.kubectl.json("get", "events", "--field-selector=involvedObject.name=shop")["items"]
        ours = [e for e in events if e["reason"] == "RollingOut" and "does not serve" in e.get("message", "")]
    assert ours == []
    assert changed <= blue.status()["rollout"]["startedAt"], "True since before the rollout"


def test_a_deployment_at_0_replicas_is_waited_for(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=20))
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.kubectl("scale", "deployment/blue", "--replicas=0")
        blue.until(lambda: blue.condition("Ready")["reason"] == "ScaledToZero")
        blue.pin(newer)
        blue.until(lambda: (blue.status()["rollout"].get("reason")) == "ScaledToZero")
        time.sleep(25)  # longer than the rollout's timeout
        assert blue.condition("Ready")["status"] == "False"
        assert env(blue)["BLUETUNE_VERSION"] == base
        blue.kubectl("scale", "deployment/blue", "--replicas=2")
        blue.until(lambda: blue.current() == newer and blue.condition("Ready")["reason"] == "Pinned", 90)
        assert blue.served() == [newer]


@pytest.mark.parametrize(
    "tool", [[], ["--server-side", "--field-manager=flux", "--force-conflicts"]], ids=["kubectl", "flux"]
)
def test_a_variable_that_is_named_first_without_a_value_is_expanded(blue: Blue, tool: list[str]) -> None:
    manifest = blue_deployment("blue", {}, replicas=1)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "BLUETUNE_URI"}, {"name": "MODEL_URI", "value": "$(BLUETUNE_URI)"}]

    def sync() -> int:
        blue.kubectl("apply", *tool, "-f", "-", stdin=json.dumps(manifest))
        generation: int = deployment(blue)["metadata"]["generation"]
        return generation

    sync()
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        pods = blue.kubectl.json("get", "pods", "-l", "app=blue")["items"]
        names = [p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]]
        said = blue.kubectl("exec", names[0], "--", "printenv", "MODEL_URI")
        assert f"versions/{base}/" in said
        before = deployment(blue)["metadata"]["generation"]
        assert sync() == sync() == before, "applied again, it changes nothing"


def test_serving_that_is_removed_leaves_the_version_there_and_the_fields_to_others(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        before = deployment(blue)["metadata"]["generation"]
        assert owned(blue)
        blue.kubectl("patch", "emodel", "shop", "--type=json", "-p", '[{"op":"remove","path":"/spec/serving"}]')
        blue.until(lambda: not owned(blue))
        assert env(blue)["BLUETUNE_VERSION"] == base
        assert deployment(blue)["metadata"]["generation"] == before, "giving back changes nothing"
        mine = blue_deployment("blue", {"BLUETUNE_VERSION": "mine"})
        blue.kubectl("apply", "--server-side", "--field-manager=me", "-f", "-", stdin=json.dumps(mine))
        assert env(blue)["BLUETUNE_VERSION"] == "mine"


def test_a_container_that_its_manifest_renames_is_given_back_and_told_anew(blue: Blue) -> None:
    manifest = blue_deployment("blue", {}, replicas=1)
    apply = ["apply", "--server-side", "--field-manager=flux", "--force-conflicts", "-f", "-"]
    blue.kubectl(*apply, stdin=json.dumps(manifest))
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        manifest["spec"]["template"]["spec"]["containers"][0]["name"] = "api"
        blue.make_model(serving=usual_serving(container="api"))

        def renamed() -> bool:
            blue.kubectl(*apply, stdin=json.dumps(manifest))
            return [c["name"] for c in deployment(blue)["spec"]["template"]["spec"]["containers"]] == ["api"]

        blue.until(renamed, 30)
        blue.until(lambda: env(blue).get("BLUETUNE_VERSION") == base)
        blue.until(lambda: blue.condition("Ready")["reason"] == "Serving", 90)


def test_one_who_replaces_the_deployment_again_and_again_is_named_and_nobody_fights_for_ever(blue: Blue) -> None:
    manifest = blue_deployment("blue", {}, replicas=1)
    blue.kubectl.apply(manifest)
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=25))
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        blue.pin(newer)

        def replaced_until_it_gives_up() -> bool:
            blue.kubectl("replace", "-f", "-", stdin=json.dumps(manifest))
            return blue.step() == "Failed"

        blue.until(replaced_until_it_gives_up, 150)
        rollout = blue.status()["rollout"]
        assert rollout["reason"] == "OverwrittenByOthers", rollout
        assert "its spec was last written by" in rollout["message"]
        told = deployment(blue)["metadata"]["generation"]
        time.sleep(5)
        assert deployment(blue)["metadata"]["generation"] <= told + 1


@contextmanager
def no_answer(blue: Blue, resource: str, group: str, operation: str) -> Iterator[None]:
    """A webhook of this namespace that must agree, and does not answer."""
    namespace = blue.kubectl.namespace
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
    hook = {
        "name": "gone.example.com",
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "clientConfig": {"service": {"name": "gone", "namespace": namespace, "path": "/"}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
    }
    kind = "ValidatingWebhookConfiguration"
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": f"gone-{namespace}"}}
    blue.kubectl.apply({**api, "webhooks": [hook]})
    try:
        yield
    finally:
        blue.kubectl("delete", kind, f"gone-{namespace}")


@pytest.mark.parametrize(
    ("resource", "group", "operation", "step"),
    [("deployments", "apps", "UPDATE", "Patch"), ("jobs", "batch", "CREATE", "Reindex")],
)
def test_a_webhook_that_does_not_answer_is_said_and_the_rollout_goes_on_when_it_does(
    blue: Blue, resource: str, group: str, operation: str, step: str
) -> None:
    blue.make_deployment()
    blue.make_model(serving=usual_serving(reindex=reindex("true")))
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        with no_answer(blue, resource, group, operation):
            time.sleep(2)  # until the API server knows of it
            blue.pin(newer)
            blue.until(lambda: "failed calling webhook" in (blue.status()["rollout"].get("message") or ""), 30)
            assert blue.step() == step
            assert blue.current() == base
        blue.until(lambda: blue.current() == newer, 90)


def test_a_webhook_that_does_not_answer_to_an_import_is_said_too(blue: Blue) -> None:
    with no_answer(blue, "jobs", "batch", "CREATE"):
        time.sleep(2)
        blue.make_model()
        with blue.operator():
            blue.until(lambda: blue.condition("Ready").get("reason") == "JobRefused", 30)
            assert "failed calling webhook" in blue.condition("Ready")["message"]


def test_a_pod_of_others_with_the_deployments_labels_holds_nothing_up(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    pod = blue_deployment("x", {})["spec"]["template"]
    metadata = {"name": "alone", "labels": {"app": "blue"}}
    blue.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(newer)
        blue.until(lambda: blue.current() == newer)
