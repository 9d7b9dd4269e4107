"""What is in one namespace cannot be used from another, though one operator serves both."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.kubectl import Kubectl

Fixture = Any


@pytest.fixture
def neighbour(namespace: str) -> Iterator[str]:
    """Another namespace."""
    name = f"neighbour-{secrets.token_hex(3)}"
    Kubectl()("create", "namespace", name)
    yield name
    Kubectl()("delete", "namespace", name, "--wait=false")


def ready(thing: dict[str, Any]) -> dict[str, Any]:
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready"), {})


def test_a_model_a_method_and_a_secret_of_the_neighbour_do_not_exist(
    operator: Fixture, world: Fixture, neighbour: str
) -> None:
    world.basics()
    operator.end()
    operator.start(BLUETUNE_NAMESPACES=f"{operator.namespace},{neighbour}")
    elsewhere = type(world)(Kubectl(neighbour), world.bucket, "unused")
    # a task with the neighbour's model; a task with a model of its own whose method is the neighbour's; a model whose
    # keys are in the neighbour's Secret
    other = elsewhere.model("other")
    other["spec"]["store"]["prefix"] = "elsewhere"
    elsewhere.kubectl.apply(elsewhere.task("of-neighbour", model="m"), other, elsewhere.task("of-other", model="other"))
    elsewhere.until("ftt/of-neighbour", lambda o: ready(o).get("reason") == "ModelNotFound")
    found = elsewhere.until("emodel/other", lambda o: ready(o).get("reason") == "SecretNotFound")
    assert neighbour in ready(found)["message"]
    leases = world.kubectl.json("get", "leases")["items"]
    assert not [each for each in leases if "of-neighbour" in (each["spec"].get("holderIdentity") or "")]
    assert not elsewhere.kubectl.json("get", "jobs")["items"]


def test_a_place_in_a_store_belongs_to_one_model_of_all_namespaces(
    operator: Fixture, world: Fixture, neighbour: str
) -> None:
    world.basics()
    operator.end()
    operator.start(BLUETUNE_NAMESPACES=f"{operator.namespace},{neighbour}")
    elsewhere = type(world)(Kubectl(neighbour), world.bucket, "unused")
    elsewhere.kubectl.apply(elsewhere.secret(), elsewhere.method(), elsewhere.model("m"))
    elsewhere.until("emodel/m", lambda o: ready(o).get("reason") == "AlreadyClaimed")
