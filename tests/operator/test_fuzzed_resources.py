"""Whatever the API server takes, the operator lives through, comes to rest, and goes on working.

Some hundreds of resources by default; BLUETUNE_FUZZ=10000 makes as many, BLUETUNE_SEED repeats a run.
"""

import asyncio
import os
import random
import time
from collections import Counter
from typing import Any

import pytest

from bluetune_operator.adapters.kube import KubeApi, load_configuration
from bluetune_operator.core.errors import AlreadyExists, ApiError
from bluetune_operator.core.kinds import METHODS, MODELS, TASKS, name_of
from chaos.fuzzing import Fuzzer
from cluster.metrics import metric
from cluster.processes import resident_mib

Fixture = Any
COUNT = int(os.environ.get("BLUETUNE_FUZZ", "400"))
SEED = int(os.environ.get("BLUETUNE_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
PORT = 18083
MEMORY_MIB = 300
KINDS = {kind.name: kind for kind in (MODELS, METHODS, TASKS)}
pytestmark = pytest.mark.timeout(300 + COUNT)


async def write(fuzzer: Fuzzer, kube: KubeApi, namespace: str) -> Counter[str]:
    """Create, change and delete; what the API server said, counted. Fails on an answer that is its own trouble."""
    said: Counter[str] = Counter()
    chance, gate = random.Random(SEED), asyncio.Semaphore(8)

    async def one(kind: str, thing: dict[str, Any], goes: bool) -> None:
        thing["metadata"]["namespace"] = namespace
        async with gate:
            try:
                await kube.create(KINDS[kind], thing)
                said["taken"] += 1
            except AlreadyExists:
                await kube.merge_patch(KINDS[kind], namespace, name_of(thing), {"spec": thing["spec"]})
                said["changed"] += 1
            if goes:
                await kube.delete(KINDS[kind], namespace, name_of(thing))

    async def one_or_a_clear_no(kind: str, thing: dict[str, Any], goes: bool) -> None:
        try:
            await one(kind, thing, goes)
        except ApiError as error:
            if error.status not in (400, 404, 409, 413, 422):
                raise
            said["refused"] += 1

    await asyncio.gather(*(one_or_a_clear_no(*fuzzer.next(), chance.random() < 0.1) for _ in range(COUNT)))
    return said


def test_no_resource_stops_the_operator(operator: Fixture, world: Fixture) -> None:
    print(f"BLUETUNE_SEED={SEED} BLUETUNE_FUZZ={COUNT}")
    operator.end()
    world.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    world.kubectl.apply(world.secret())
    operator.start(BLUETUNE_METRICS_PORT=str(PORT))
    operator.wait_until_started()
    bases = {thing["kind"]: thing for thing in (world.model("m"), world.method("f"), world.task("t"))}

    async def fuzz() -> Counter[str]:
        kube = KubeApi(load_configuration())
        try:
            return await write(Fuzzer(bases, SEED), kube, operator.namespace)
        finally:
            kube.close()

    said = asyncio.run(fuzz())
    print(said)
    assert min(said["taken"], said["refused"]) > COUNT / 20
    deadline = time.monotonic() + 60 + COUNT / 20
    while metric(PORT, "bluetune_queue_depth") > 0:
        assert operator.process.poll() is None, "the operator ended"
        assert time.monotonic() < deadline, f"{metric('bluetune_queue_depth'):.0f} keys still wait"
        time.sleep(1)
    assert resident_mib(operator.process.pid) < MEMORY_MIB
    for task in world.kubectl.json("get", "ftt")["items"]:
        conditions = (task.get("status") or {}).get("conditions") or []
        assert any(c["type"] == "Ready" and c["reason"] for c in conditions), f"{name_of(task)} says nothing"

    world.kubectl("delete", "ftt,emodel,ftm", "--all", "--wait=false", timeout=300)
    deadline = time.monotonic() + 120
    while left := world.kubectl("get", "ftt,emodel,ftm", "-o", "name"):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    world.kubectl("delete", "quota", "no-pods")
    world.bucket.client.remove_object(world.bucket.name, "m/owner.json")  # one of them may have claimed the prefix
    world.basics()
    world.kubectl.apply(world.task("as-usual"))
    assert world.ended("as-usual", 120)["status"]["phase"] == "Succeeded"
