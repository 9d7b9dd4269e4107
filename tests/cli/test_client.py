"""`Client` and `AsyncClient` against a real API server, with an operator whose trainer stands in."""

import asyncio
from typing import Any

import pytest

from bluetune import AsyncClient, Client, Conflict, NotFound, Refused, TaskFailed, TimedOut

Fixture = Any
pytestmark = pytest.mark.timeout(600)


def test_a_task_is_submitted_followed_and_refused_from_python(shared_world: Fixture) -> None:
    world, model = shared_world, shared_world.models.pop()
    client = Client(namespace=world.get(f"emodel/{model}")["metadata"]["namespace"])
    with pytest.raises(NotFound, match="there is no EmbeddingModel nobody"):
        client.submit("nobody")
    task = client.submit(model, name=f"{model}-c", batch="b1")
    with pytest.raises(Conflict):
        client.submit(model, name=task.name)
    seen = list(client.progress(task.name, timeout=120))
    assert (seen[0].ended, seen[-1].ended) == (None, "Succeeded")
    assert client.wait(task.name, timeout=1) == seen[-1]
    with pytest.raises(Refused, match="has ended"):
        client.cancel(task.name)
    base, made = client.versions(model)
    assert (made.id, made.parent, made.task) == (seen[-1].version, base.id, task.name)
    asyncio.run(_cancelled(client.namespace, model))


async def _cancelled(namespace: str, model: str) -> None:
    client = AsyncClient(namespace=namespace)
    task = await client.submit(model, name=f"{model}-d", batch="b1", start_from=(await client.versions(model))[0].id)
    with pytest.raises(TimedOut):
        await client.wait(task.name, timeout=0)
    await client.cancel(task.name)
    with pytest.raises(TaskFailed, match=task.name) as raised:
        await client.wait(task.name, timeout=120)
    assert raised.value.task.reason == "Cancelled"
