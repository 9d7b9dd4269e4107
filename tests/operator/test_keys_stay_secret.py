"""The store's keys are in their Secret and nowhere else, whether they are right or wrong."""

import base64
from typing import Any

Fixture = Any
KINDS = "emodel,ftm,ftt,jobs,pods,configmaps,events,leases"


def places(operator: Fixture, world: Fixture) -> dict[str, str]:
    """Everything that people may read who may not read Secrets."""
    found = {kind: world.kubectl("get", kind, "-o", "yaml") for kind in KINDS.split(",")}
    pods = world.kubectl("get", "pods", "-o", "name").split()
    found |= {pod: world.kubectl("logs", pod, "--all-containers") for pod in pods}
    return found | {"the operator's log": operator.log.read_text()}


def forms(key: str) -> set[str]:
    """A key as it is, and as a Secret has it."""
    return {key, base64.b64encode(key.encode()).decode()}


def test_keys_are_in_no_status_event_plan_or_log(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("good"))
    assert world.ended("good")["status"]["phase"] == "Succeeded"
    wrong = "wrong-access-key", "wrong-secret-key-0123456789"
    world.kubectl.apply(world.secret(AWS_ACCESS_KEY_ID=wrong[0], AWS_SECRET_ACCESS_KEY=wrong[1]))
    world.kubectl.apply(world.task("bad"))
    world.ready_reason("bad", "StoreDenied")
    server = world.bucket.server
    secret = {form for key in (server.access_key, server.secret_key, *wrong) for form in forms(key)}
    shown = {where for where, text in places(operator, world).items() for form in secret if form in text}
    assert shown == set()
