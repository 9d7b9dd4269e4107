"""Rollouts on a real cluster: forward, back by themselves, and back when a person says so."""

import json
from typing import Any

import pytest

from blue.world import Blue, blue_deployment, reindex, usual_serving

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(300)

LOST = json.dumps([{"op": "replace", "path": "/status", "value": {}}])


def test_the_base_is_rolled_out_then_a_pinned_version_and_its_release_changes_nothing(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, digest = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        status = blue.status()
        assert status["current"]["digest"] == digest
        assert blue.condition("Ready")["status"] == "True"
        assert blue.served() == [base]

        blue.pin(newer)
        blue.until(lambda: blue.current() == newer)
        blue.until(lambda: blue.condition("Ready")["reason"] == "Pinned")
        assert blue.served() == [newer]
        assert [h["version"] for h in blue.status()["history"]] == [base]

        blue.pin(None)
        blue.until(lambda: blue.condition("Ready")["reason"] == "Serving")
        assert (blue.current(), blue.served()) == (newer, [newer])

        blue.pin("v0123456789ab")
        blue.until(lambda: blue.condition("Ready")["reason"] == "RollbackVersionNotFound")
        assert blue.current() == newer


def test_what_a_person_promotes_is_rolled_out_once_and_a_task_afterwards(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    refused, _ = blue.publish("refused by the gate")
    trained, digest = blue.publish("trained")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.promote("v0123456789ab", base)
        blue.until(lambda: blue.condition("Promoted").get("reason") == "VersionNotFound")
        blue.promote(refused, base)
        blue.until(lambda: blue.condition("Promoted").get("status") == "True")
        assert (blue.current(), blue.served()) == (refused, [refused])
        assert blue.kubectl("get", "emodel", "shop", "-o", "wide").split().count("Promoted") == 1
        told = {"VersionNotFound", "RolloutStarted", "RolledOut", "Promoted"}  # after the status is written
        blue.until(lambda: told <= set(blue.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()))

        blue.asking_task("monday", trained, digest)
        blue.until(lambda: blue.current() == trained)
        # the field stays, and the status is lost
        blue.kubectl("patch", "emodel", "shop", "--subresource=status", "--type=json", "-p", LOST)
        blue.until(lambda: blue.condition("Promoted").get("reason") == "PromoteUnknown")
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving")
        assert (blue.current(), blue.served(), blue.step()) == (trained, [trained], None)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("UNREADY", "RolloutTimeout", "blue serves"),
        ("LYING", "VerifyFailed", "it serves digest 'sha256:000"),
        ("SKEWED", "VerifyFailed", "the published vector of 'a' is 0.9980, below minCosine 0.999"),
        ("CRASHING", "RolloutTimeout", "cannot be loaded"),
    ],
)
def test_a_version_that_does_not_serve_goes_back_by_itself(blue: Blue, fault: str, reason: str, words: str) -> None:
    verify = {"port": 8080, "timeoutSeconds": 5, "encodePath": "/encode"}
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=15, verify=verify))
    base, _ = blue.imported("shop")
    bad, _ = blue.publish("bad")
    blue.make_deployment(**{fault: bad})
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(bad)
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"], 90)
        assert (rollout["reason"], rollout["to"]) == (reason, bad)
        assert words in rollout["message"]
        assert (blue.current(), blue.served()) == (base, [base])
        assert blue.condition("Ready")["reason"] == reason
        blue.pin(None)
        blue.until(lambda: blue.condition("Ready")["reason"] == "Serving")


def test_a_failing_reindex_leaves_blue_untouched(blue: Blue) -> None:
    blue.make_deployment()
    script = 'test "$BLUETUNE_VERSION" != "$BAD" || { echo "disk full"; exit 3; }'
    blue.make_model(serving={})
    base, _ = blue.imported("shop")
    bad, _ = blue.publish("bad")
    blue.make_model(serving=usual_serving(reindex=reindex(f"BAD={bad}; {script}")))
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        before = blue.kubectl.json("get", "deployment", "blue")["metadata"]["generation"]
        blue.pin(bad)
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "ReindexFailed"
        assert "disk full" in rollout["message"]
        assert blue.kubectl.json("get", "deployment", "blue")["metadata"]["generation"] == before
        assert blue.current() == base


def living(blue: Blue) -> list[dict[str, Any]]:
    """The running pods, once none of them is being deleted."""
    pods: list[dict[str, Any]] = blue.kubectl.json("get", "pods", "--field-selector=status.phase=Running")["items"]
    return [] if any("deletionTimestamp" in pod["metadata"] for pod in pods) else pods


@pytest.mark.parametrize(
    ("serving", "step", "said"),
    [
        ({"reindex": reindex("true")}, "Reindex", "no pod can be made for Job '"),
        ({}, "Wait", "no new pod can be made"),
    ],
    ids=["reindex", "surge"],
)
def test_pods_that_a_quota_forbids_are_told_and_the_rollout_goes_on_when_they_may(
    blue: Blue, serving: dict[str, Any], step: str, said: str
) -> None:
    blue.make_deployment()
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=200, **serving))
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base and blue.step() == "Done")
        # the rollout is over when no old pod is asked any more; the quota counts those that still end
        pods = len(blue.until(lambda: living(blue)))
        blue.kubectl("create", "quota", "full", f"--hard=pods={pods}")
        blue.pin(newer)
        rollout = blue.until(lambda: "full" in blue.status()["rollout"].get("message", "") and blue.status()["rollout"])
        assert rollout["step"] == step
        assert said in rollout["message"]
        assert "exceeded quota: full" in rollout["message"]
        assert blue.served() == [base]
        blue.kubectl("delete", "quota", "full")
        blue.until(lambda: blue.current() == newer, 120)


def test_a_field_of_another_manager_is_never_taken_and_is_named(blue: Blue) -> None:
    deployment = blue_deployment("blue", {})
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "BLUETUNE_VERSION", "value": "mine"}]
    blue.kubectl("apply", "--server-side", "--field-manager=argocd", "-f", "-", stdin=json.dumps(deployment))
    blue.make_model()
    blue.imported("shop")
    with blue.operator():
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "FieldConflict"
        assert "argocd" in rollout["message"]
        assert "BLUETUNE_VERSION" in rollout["message"]


def test_why_new_pods_do_not_start_is_said_within_seconds(blue: Blue) -> None:
    deployment = blue_deployment("blue", {})
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["envFrom"] = [{"secretRef": {"name": "missing"}}]
    blue.kubectl.apply(deployment)
    blue.make_model()
    blue.imported("shop")
    with blue.operator():
        blue.until(lambda: 'secret "missing" not found' in (blue.status().get("rollout") or {}).get("message", ""), 20)


def test_a_missing_deployment_is_said_and_the_rollout_begins_when_it_appears(blue: Blue) -> None:
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.condition("Ready").get("reason") == "DeploymentNotFound", 20)
        blue.make_deployment()
        blue.until(lambda: blue.current() == base)
        blue.kubectl("delete", "deployment", "blue", "--timeout=30s")
        blue.until(lambda: blue.condition("Ready").get("reason") == "DeploymentNotFound", 20)
        blue.make_deployment()
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving")
        assert blue.served() == [base]


def test_an_unsafe_deployment_is_served_and_what_to_change_is_said(blue: Blue) -> None:
    deployment = blue_deployment("blue", {}, replicas=1)
    deployment["spec"]["strategy"] = {"type": "Recreate"}
    blue.kubectl.apply(deployment)
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        unsafe = blue.condition("ServingUnsafe")
        assert unsafe["status"] == "True"
        assert "set spec.strategy.type to RollingUpdate" in unsafe["message"]
        blue.kubectl.apply(blue_deployment("blue", {}, replicas=1))
        blue.until(lambda: blue.condition("ServingUnsafe")["status"] == "False", 20)
        assert blue.current() == base
