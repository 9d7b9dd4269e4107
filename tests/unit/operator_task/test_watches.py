"""kopf's watches: what one namespace refuses ends none of the others."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import kopf
import pytest
from aiohttp import web

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.config import Config
from bluetune_operator.core.kinds import TASKS, Kind, Object
from bluetune_operator.handlers import informer
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.informer import WATCHED, Informer, registry_for, settings
from unit.operator_task.cached_objects import task


class Api:
    """Serves empty lists, and watches that tell of one task; and refuses the namespaces that it is told to."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if "namespaces" not in parts:
            return web.json_response(_discovery(parts))
        namespace, plural = parts[-2], parts[-1]
        self.asked.append(namespace)
        if namespace in self.refused:
            status = {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no Role"}
            return web.json_response(status, status=403)
        if "watch" not in request.query:
            return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
        stream = web.StreamResponse()
        await stream.prepare(request)
        if plural == TASKS.plural:
            await stream.write(json.dumps({"type": "ADDED", "object": _task(namespace)}).encode() + b"\n")
        await asyncio.sleep(0.3)  # and then it is cut, as an API server does from time to time
        return stream


def _task(namespace: str) -> Object:
    made: Object = {"apiVersion": TASKS.api_version, "kind": TASKS.name, **task("t", version=2)}
    made["metadata"]["namespace"] = namespace
    return made


KINDS = [
    *WATCHED,
    *(
        Kind(*kind, namespaced=False)
        for kind in (
            ("", "v1", "namespaces", "Namespace"),
            ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
        )
    ),
]
"""What kopf looks for: also what it needs to know of itself, and never asks for here."""


def _discovery(parts: list[str]) -> dict[str, Any]:
    if parts == ["api"]:
        return {"versions": ["v1"]}
    if parts == ["apis"]:
        found = {kind.group: kind.version for kind in KINDS if kind.group}
        versions = {name: {"groupVersion": f"{name}/{version}", "version": version} for name, version in found.items()}
        return {"groups": [{"name": g, "versions": [v], "preferredVersion": v} for g, v in versions.items()]}
    group = "" if parts[0] == "api" else parts[1]
    return {"resources": [_resource(kind) for kind in KINDS if kind.group == group]}


def _resource(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "kind": kind.name,
        "namespaced": kind.namespaced,
        "verbs": ["list", "watch", "patch"],
    }


def test_a_namespace_that_refuses_its_watches_ends_no_other_and_is_watched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "FIRST_SECONDS", (0.01,) * 9)
    monkeypatch.setattr(informer, "REFUSED_SECONDS", 0.02)
    api, cache, config = Api(), ObjectCache(), Config(namespaces=("search", "staging"))
    api.refused = {"staging"}
    watching = Informer(cast("KubeApi", None), cache, config, Health(300.0), lambda *_, **__: None)

    async def until(namespace: str) -> None:
        async with asyncio.timeout(20):
            while cache.get(TASKS, namespace, "t") is None:  # noqa: ASYNC110 - the cache tells nobody
                await asyncio.sleep(0.02)

    async def scenario() -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", api.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(_kubeconfig(port)))
        monkeypatch.setenv("KUBECONFIG", str(file))
        operator = asyncio.create_task(
            kopf.operator(
                registry=registry_for(watching),
                settings=settings(config),
                standalone=True,
                clusterwide=False,
                namespaces=list(config.namespaces),
            )
        )
        try:
            await until("search")
            while api.asked.count("staging") < 12 * len(WATCHED):
                assert not operator.done(), operator.exception()
                await asyncio.sleep(0.02)
            assert cache.get(TASKS, "staging", "t") is None
            api.refused.clear()
            await until("staging")
            assert not operator.done()
        finally:
            operator.cancel()
            await asyncio.wait([operator], timeout=20)
            await runner.cleanup()

    asyncio.run(scenario())


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
