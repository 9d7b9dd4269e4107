"""Whether another model claims the same is asked live before the first Job is made, and not again while it runs."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bluetune_api.model import EmbeddingModelStatus
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.kinds import JOBS, Object
from bluetune_operator.core.models.base_import import import_name
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.models.reconcile import ModelReconciler

STORE = {"endpoint": "minio:9000", "bucket": "b", "prefix": "m", "secure": False}


def model(name: str, namespace: str, created: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "creationTimestamp": created}
    return {"metadata": metadata, "spec": {"store": STORE}}


MINE, OLDER = model("m", "search", "2026-02-01T00:00:00Z"), model("old", "staging", "2026-01-01T00:00:00Z")


class Lists:
    """Lists of models by namespace; an error is raised. Remembers what was asked."""

    def __init__(self, answers: dict[str | None, list[Object] | ApiError]) -> None:
        self.answers = answers
        self.asked: list[str | None] = []

    async def list(self, _: object, scope: str | None) -> list[Object]:
        self.asked.append(scope)
        answer = self.answers[scope]
        if isinstance(answer, ApiError):
            raise answer
        return answer


def claim(lists: Lists, cache: ObjectCache, *, namespaces: tuple[str, ...] = ("search", "staging")) -> Any:
    config = Config(namespaces=namespaces)
    context = SimpleNamespace(kube=lists, cache=cache, config=config, stores=None, events=None, clock=None)
    reconciler = ModelReconciler(cast("Context", context))
    return asyncio.run(reconciler._claim(MINE, EmbeddingModelStatus()))


def test_an_older_model_is_found_by_a_live_list_before_the_import() -> None:
    lists = Lists({"search": [MINE], "staging": [OLDER]})
    assert claim(lists, ObjectCache()).reason == "AlreadyClaimed"
    assert lists.asked == ["search", "staging"]


def test_models_are_not_listed_again_while_the_import_runs() -> None:
    cache, lists = ObjectCache(), Lists({})
    metadata = {"name": import_name("m"), "namespace": "search", "uid": "j", "resourceVersion": "1"}
    cache.put(JOBS, {"metadata": metadata, "spec": {}})
    assert claim(lists, cache) is None
    assert lists.asked == []


def test_a_lost_namespace_does_not_stop_an_import_in_another() -> None:
    lists = Lists({"search": [MINE], "staging": ApiError(403, "Forbidden", "no Role")})
    assert claim(lists, ObjectCache()) is None


@pytest.mark.parametrize(("namespaces", "status"), [((), 403), (("search", "staging"), 500)])
def test_what_is_no_lost_namespace_is_an_error(namespaces: tuple[str, ...], status: int) -> None:
    error = ApiError(status, "Whatever", "refused")
    with pytest.raises(ApiError):
        claim(Lists(dict.fromkeys(namespaces or (None,), error)), ObjectCache(), namespaces=namespaces)
