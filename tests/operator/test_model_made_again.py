"""A model that is deleted and applied again goes on with the version that is live, and touches nothing."""

import json
import time
from typing import Any

import pytest

from blue.world import blue_deployment, reindex, usual_serving
from bluetune_api import store_layout
from cluster.kubectl import Kubectl

Fixture = Any
pytestmark = pytest.mark.timeout(400)


def pods(kubectl: Kubectl) -> list[str]:
    """Those that stay: pods of the version before may still be on their way out."""
    found = [each["metadata"] for each in kubectl.json("get", "pods", "-l", "app=blue")["items"]]
    return sorted(each["name"] for each in found if "deletionTimestamp" not in each)


def events(kubectl: Kubectl, reason: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.json("get", "events", f"--field-selector=reason={reason}")["items"]
    return found


def stored(world: Fixture, key: str) -> dict[str, Any]:
    response = world.bucket.client.get_object(world.bucket.name, f"m/{key}")
    try:
        found: dict[str, Any] = json.loads(response.data)
        return found
    finally:
        response.close()
        response.release_conn()


def test_a_promoted_version_outlives_its_model(operator: Fixture, world: Fixture) -> None:
    kubectl = world.kubectl
    model = world.model(serving=usual_serving(reindex=reindex("true")))
    world.batch()
    kubectl.apply(world.secret(), world.method(), blue_deployment("blue", {}), model)
    world.until("emodel/m", lambda o: bool((o.get("status") or {}).get("current")), 120)
    kubectl.apply(world.task("t", deployAsBlue=True))
    live = world.ended("t", 200)["status"]["bestModelId"]
    before = world.until("emodel/m", lambda o: o["status"]["current"]["version"] == live)
    base = before["status"]["baseVersion"]
    assert live != base
    assert stored(world, store_layout.CURRENT)["version"] == live
    assert stored(world, store_layout.OWNER)["uid"] == before["metadata"]["uid"]
    deployment = world.until(
        "deployment/blue", lambda o: o["status"]["observedGeneration"] == o["metadata"]["generation"]
    )
    serving, started = pods(kubectl), len(events(kubectl, "RolloutStarted"))

    kubectl("delete", "emodel", "m", "--timeout=30s")
    kubectl.apply(model)
    after = world.until(
        "emodel/m",
        lambda o: any(
            c["type"] == "Ready" and c["reason"] == "Serving" for c in o.get("status", {}).get("conditions", ())
        ),
        120,
    )
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["current"]["version"] == live
    assert after["status"]["current"]["promotedAt"] == before["status"]["current"]["promotedAt"]
    assert [each["version"] for each in after["status"]["history"]] == [base]
    owner = stored(world, store_layout.OWNER)
    assert (owner["uid"], owner["namespace"], owner["name"]) == (after["metadata"]["uid"], kubectl.namespace, "m")
    assert owner["cluster"] == kubectl.json("get", "namespace", "kube-system")["metadata"]["uid"]

    time.sleep(3)  # would something begin, it would have by now
    now = world.get("deployment/blue")
    assert now["metadata"]["generation"] == deployment["metadata"]["generation"]
    assert pods(kubectl) == serving
    assert len(events(kubectl, "RolloutStarted")) == started
    assert kubectl("get", "jobs", "-l", "bluetune.dev/job=reindex", "-o", "name") == ""
    assert len(kubectl("get", "jobs", "-l", "bluetune.dev/job=train", "-o", "name").split()) == 1
    assert events(kubectl, "StoreTakenOver")
    assert live in events(kubectl, "Adopted")[0]["message"]
