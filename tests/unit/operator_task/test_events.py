"""Events as they are written."""

import asyncio
from typing import Any, cast

from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import AlreadyExists

TASK = {"apiVersion": "bluetune.dev/v1alpha1", "kind": "FineTuningTask", "metadata": {"name": "t", "namespace": "n"}}


class Kept:
    """Events by name, as the API server keeps them."""

    def __init__(self) -> None:
        self.events: dict[str, Any] = {}

    async def create(self, _: Any, event: Any) -> None:
        if event["metadata"]["name"] in self.events:
            raise AlreadyExists(409, "AlreadyExists", "already exists")
        self.events[event["metadata"]["name"]] = event

    async def get(self, _: Any, __: str, name: str) -> Any:
        return dict(self.events[name])

    async def replace(self, _: Any, event: Any) -> None:
        self.events[event["metadata"]["name"]] = event


def test_the_same_words_as_a_warning_are_another_event_and_again_count_up() -> None:
    kept = Kept()
    events = Events(cast("KubeApi", kept), instance="i")
    task = {**TASK, "metadata": {**cast("dict[str, str]", TASK["metadata"]), "uid": "u"}}

    async def tell() -> None:
        await events.emit(task, "DataInvalid", "3 broken lines", level="Normal")
        for _ in range(2):
            await events.emit(task, "DataInvalid", "3 broken lines", level="Warning")

    asyncio.run(tell())
    assert sorted((e["type"], e["count"]) for e in kept.events.values()) == [("Normal", 1), ("Warning", 2)]
