"""Argo CD, Flux and people change the same Deployment: nobody's fields are taken, and nobody fights."""

import json
import time
from typing import Any

import pytest

from blue.world import Blue, blue_deployment, usual_serving

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(300)

APPLIES = {
    "kubectl": ["apply"],
    "server-side": ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller"],
}
"""Argo CD can do both; Flux does the second, as kustomize-controller."""


def environment(blue: Blue) -> dict[str, str]:
    found = blue.kubectl.json("get", "deployment", "blue")["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable["value"] for variable in found["env"]}


def generation(blue: Blue) -> int:
    number: int = blue.kubectl.json("get", "deployment", "blue")["metadata"]["generation"]
    return number


@pytest.mark.parametrize("tool", list(APPLIES))
def test_the_manifest_from_git_applied_again_and_again_leaves_the_version_alone(blue: Blue, tool: str) -> None:
    def sync(**env: str) -> None:
        manifest: dict[str, Any] = blue_deployment("blue", env, replicas=1)
        blue.kubectl(*APPLIES[tool], "-f", "-", stdin=json.dumps(manifest))

    sync(GREETING="hello")
    blue.make_model()
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        before, started = generation(blue), blue.status()["rollout"]["startedAt"]
        for _ in range(3):
            sync(GREETING="hello")
        assert generation(blue) == before, "no field was changed"
        sync(GREETING="hello again")  # a commit
        assert generation(blue) == before + 1
        assert environment(blue)["BLUETUNE_VERSION"] == base
        time.sleep(3)
        assert generation(blue) == before + 1, "nobody fights"

        blue.pin(newer)

        def synced_until_current() -> bool:
            sync(GREETING="hello again")
            return blue.current() == newer

        blue.until(synced_until_current)
        said = environment(blue)
        assert (said["BLUETUNE_VERSION"], said["GREETING"]) == (newer, "hello again")
        assert generation(blue) == before + 2, "one change by bluetune, whatever was synced meanwhile"
        assert blue.status()["rollout"]["startedAt"] >= started
        assert blue.served() == [newer]


@pytest.mark.parametrize("tool", list(APPLIES))
def test_a_rollback_by_hand_outlives_the_sync_of_a_model_that_does_not_name_it(blue: Blue, tool: str) -> None:
    blue.make_model(serving=usual_serving())
    blue.imported("shop")
    model = blue.model()
    manifest = {key: model[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "shop"}}

    def sync() -> None:
        blue.kubectl(*APPLIES[tool], "-f", "-", stdin=json.dumps(manifest))

    sync()
    blue.pin("v0123456789ab")
    sync()
    assert blue.model()["spec"]["serving"]["rollbackTo"] == "v0123456789ab"
    blue.pin(None)
    sync()
    assert "rollbackTo" not in blue.model()["spec"]["serving"]


def test_what_others_change_during_a_rollout_is_kept(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    newer, _ = blue.publish("newer")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(newer)
        blue.until(lambda: blue.step() == "Wait")
        blue.kubectl("set", "env", "deployment/blue", "TUNING=9")
        blue.kubectl("scale", "deployment/blue", "--replicas=3")
        blue.until(lambda: blue.current() == newer)
        said = environment(blue)
        assert (said["BLUETUNE_VERSION"], said["TUNING"]) == (newer, "9")
        assert blue.kubectl.json("get", "deployment", "blue")["spec"]["replicas"] == 3
        assert blue.served() == [newer]


def test_a_version_set_by_hand_during_a_rollout_is_not_overwritten_and_is_named(blue: Blue) -> None:
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=120))
    base, _ = blue.imported("shop")
    never_ready, _ = blue.publish("never ready")
    blue.make_deployment(UNREADY=never_ready)
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(never_ready)
        blue.until(lambda: blue.step() == "Wait")
        blue.kubectl("set", "env", "deployment/blue", "BLUETUNE_VERSION=mine")
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "FieldConflict"
        assert 'env[name="BLUETUNE_VERSION"].value belongs to kubectl' in rollout["message"]
        time.sleep(3)
        assert environment(blue)["BLUETUNE_VERSION"] == "mine"
        blue.pin(None)
        blue.kubectl("set", "env", "deployment/blue", "BLUETUNE_VERSION-")
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving", 90)
        assert (blue.current(), blue.served()) == (base, [base])
