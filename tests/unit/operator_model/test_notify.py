"""Webhooks hear what became of runs: at least once, with one id, and without the operator waiting for them."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from aiohttp import web

from bluetune_api.notify import MAX_PENDING, MAX_SEEN, Notify, NotifyStatus
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import _refusal
from bluetune_operator.adapters.store import Stores
from bluetune_operator.adapters.webhooks import REFUSED, Webhooks, is_allowed
from bluetune_operator.core.config import Config
from bluetune_operator.core.kinds import MODELS, SECRETS, TASKS, Kind, Object
from bluetune_operator.core.notify import MAX_ATTEMPTS, Happened, answered, due, seconds_to_next, taken_in
from bluetune_operator.core.times import stamp
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.notify import NotifyReconciler
from unit.operator_lock_model.apiserver import ApiServer, Kube, Request, copied
from unit.operator_model.test_retrain_reconciled import Told

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
Send = Callable[..., Awaitable[str | None]]


def entry(name: str = "hook", **fields: Any) -> Notify:
    return Notify.model_validate({"name": name, "url": "https://hooks.example.com/x", **fields})


def event(number: int, kind: Any = "Refused", *, ago: timedelta = timedelta()) -> Happened:
    return Happened(f"id{number}", kind, NOW - ago, f"task-{number}", "GateNotPassed", "no better")


# What is told, to whom, and how often


def test_an_event_is_taken_in_once_for_each_webhook_that_asks_for_it() -> None:
    entries = [entry("all"), entry("failures", events=["Failed"])]
    state = taken_in(None, entries, [event(1), event(2, "Failed")], NOW)
    assert [(notice.id, notice.target) for notice in state.pending or ()] == [
        ("id1", "all"),
        ("id2", "all"),
        ("id2", "failures"),
    ]
    assert taken_in(state, entries, [event(1), event(2, "Failed")], NOW) == state
    for notice in due(state, NOW):
        state, _ = answered(state, notice, None, NOW)
    assert (state.pending, state.delivered) == (None, 3)
    assert taken_in(state, entries, [event(1), event(2, "Failed")], NOW) == state, "not again"
    assert taken_in(state, [*entries, entry("late")], [event(1)], NOW).pending is None, "nor to one that came later"


def test_what_happened_before_there_was_a_webhook_is_not_told() -> None:
    assert taken_in(None, [entry()], [event(1, ago=timedelta(minutes=1))], NOW).pending is None


def test_a_webhook_that_is_gone_is_told_nothing_more_and_one_with_a_new_address_is() -> None:
    state = taken_in(None, [entry("a"), entry("b")], [event(1)], NOW)
    state = taken_in(state, [entry("b", url="https://other.example.com/")], [event(1)], NOW)
    assert [notice.target for notice in state.pending or ()] == ["b"]


def test_what_is_forgotten_does_not_come_again() -> None:
    events = [event(n, ago=timedelta(seconds=-n)) for n in range(MAX_SEEN + 50)]
    state = taken_in(None, [entry()], events, NOW)
    NotifyStatus.model_validate(state.wire())
    assert (len(state.pending or ()), state.lost) == (MAX_PENDING, MAX_SEEN + 50 - MAX_PENDING)
    again = taken_in(state, [entry()], events, NOW)
    assert again == state
    later = NOW + timedelta(days=8)
    state = taken_in(state, [entry()], events, later)
    assert state.seen is None
    assert taken_in(state, [entry()], events, later) == state, "and nothing is written while nothing happens"


def test_attempts_come_later_and_later_and_end() -> None:
    state, now, waits = taken_in(None, [entry()], [event(1)], NOW), NOW, []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        (notice,) = due(state, now)
        state, lost = answered(state, notice, "HTTP 500", now)
        assert lost is (attempt == MAX_ATTEMPTS)
        if not lost:
            assert due(state, now) == []
            waits.append(cast("float", seconds_to_next(state, now)))
            now += timedelta(seconds=waits[-1] + 1)
    assert (state.pending, state.lost, state.last_error) == (None, 1, "HTTP 500")
    assert all(earlier < later or later > 2000 for earlier, later in pairwise(waits))
    assert timedelta(hours=2) < now - NOW < timedelta(hours=6)


# Where nothing is sent


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("93.184.216.34", True),
        ("fd12::1", True),
        ("127.0.0.1", False),
        ("127.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - refused
        ("169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("224.0.0.1", False),
        ("hooks.example.com", False),
    ],
)
def test_which_addresses_a_webhook_may_have(address: str, allowed: bool) -> None:
    assert is_allowed(address) is allowed


class Hook:
    """A server that takes notices, or not."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        """Of the next requests; 200 after these."""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        self.paths.append(request.path)
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 307 else {})

    async def start(self) -> int:
        """Serve; the port."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_nothing_is_sent_to_the_node_itself_however_its_address_is_written(host: str) -> None:
    async def run() -> tuple[str | None, int]:
        hook, webhooks = Hook(), Webhooks()
        port = await hook.start()
        try:
            return await webhooks.post(f"http://{host}:{port}/", "application/json", b"{}", {}), len(hook.got)
        finally:
            await webhooks.close()
            await hook.stop()

    assert asyncio.run(run()) == (REFUSED, 0)


# The reconciler, with a server


class Direct(Kube):
    """Requests are carried out at once."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__()
        self._server = server
        self.secrets: dict[str, Object] = {}

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.secrets.get(name) if kind == SECRETS else await super().get(kind, namespace, name)

    async def _call(
        self, method: str, path: str, query: Any = None, *, body: Any = None, content_type: str = ""
    ) -> Any:
        status, answer = self._server.handle("operator", Request(method, path, query or {}, body, content_type))
        if status >= 300:
            raise _refusal(status, json.dumps(answer).encode())
        return answer


class Scene:
    """A model with one webhook, and a task that ends."""

    def __init__(self, port: int, **fields: Any) -> None:
        self.now = NOW
        self.server = ApiServer("ns", lambda: stamp(self.now))
        hook = {"name": "hook", "url": f"http://127.0.0.1:{port}/hook", **fields}
        if "urlSecretRef" in fields:
            del hook["url"]
        store = {"endpoint": "s:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}}
        spec = {"base": {"uri": "/models/base"}, "store": store, "notify": [hook]}
        model: Object = {"apiVersion": MODELS.api_version, "kind": MODELS.name, "metadata": {"name": "shop"}}
        self.server.create("setup", MODELS, {**model, "spec": spec, "status": {}})
        self.kube, self.webhooks, self.events = Direct(self.server), Webhooks(allowed=lambda _: True), Told()
        self.restart()

    def restart(self) -> None:
        """A new life of the operator."""
        quiet: Any = object()
        self.metrics = Metrics(WorkQueue())
        self.cache = ObjectCache()
        context = Context(
            kube=self.kube,
            cache=self.cache,
            stores=cast("Stores", quiet),
            events=self.events,
            job_events=cast("JobEvents", quiet),
            cluster=cast("Cluster", quiet),
            config=Config(),
            enqueue=lambda key, delay, urgent=True: None,
            clock=lambda: self.now,
            observer=self.metrics,
        )
        self.reconciler = NotifyReconciler(context, self.webhooks)

    async def look(self) -> float | None:
        for kind in (MODELS, TASKS):
            for thing in self.server.all(kind):
                self.cache.put(kind, copied(thing))
        return await self.reconciler.reconcile("ns", "shop")

    def end(self, name: str, kind: str, reason: str) -> None:
        """A task ends."""
        self.now += timedelta(minutes=1)
        task: Object = {"apiVersion": TASKS.api_version, "kind": TASKS.name, "metadata": {"name": name}}
        said = [
            {
                "type": type_,
                "status": "True",
                "reason": reason,
                "message": "<why>",
                "lastTransitionTime": stamp(self.now),
            }
            for type_ in (kind, "Ready")
        ]
        status = {"completionTime": stamp(self.now), "conditions": said, "bestModelId": "v0123456789ab"}
        self.server.create("setup", TASKS, {**task, "spec": {"modelRef": {"name": "shop"}}, "status": status})

    @property
    def status(self) -> Object:
        model = self.server.get(MODELS, "shop")
        assert model is not None
        found: Object = model["status"]["notify"]
        return found


def with_hook(test: Callable[[Hook, int], Awaitable[None]]) -> None:
    """Run a test beside a server."""

    async def run() -> None:
        hook = Hook()
        port = await hook.start()
        try:
            await test(hook, port)
        finally:
            await hook.stop()

    asyncio.run(run())


def test_a_cloud_event_is_signed_and_sent_once() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port, signingSecretRef={"name": "hooks", "key": "hmac"})
        scene.kube.secrets["hooks"] = {"data": {"hmac": b64encode(b"secret\n").decode()}}
        scene.end("before", "Succeeded", "Promoted")
        scene.now += timedelta(minutes=1)
        await scene.look()
        scene.end("t", "Succeeded", "Promoted")
        for _ in range(3):
            await scene.look()
        ((headers, body),) = hook.got
        sent = json.loads(body)
        assert headers["Content-Type"] == "application/cloudevents+json"
        assert headers["X-Bluetune-Signature"] == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        assert headers["X-Bluetune-Event-Id"] == sent["id"]
        assert (sent["specversion"], sent["type"]) == ("1.0", "dev.bluetune.model.promoted")
        assert sent["source"] == "/apis/bluetune.dev/v1alpha1/namespaces/ns/embeddingmodels/shop"
        assert (sent["subject"], sent["time"]) == ("t", stamp(scene.now))
        assert sent["data"]["version"] == "v0123456789ab"
        assert scene.status["delivered"] == 1
        await scene.webhooks.close()

    with_hook(test)


def test_slack_gets_a_text_at_an_address_from_a_secret() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port, format="Slack", urlSecretRef={"name": "slack", "key": "url"})
        await scene.look()
        scene.end("t", "Failed", "TrainerCrashed")
        await scene.look()
        assert "Secret 'slack' does not exist, or has no key 'url'" in scene.status["lastError"]
        scene.kube.secrets["slack"] = {"data": {"url": b64encode(b"file:///etc/passwd").decode()}}
        scene.now += timedelta(minutes=1)
        await scene.look()
        assert "no http:// or https:// URL" in scene.status["lastError"]
        scene.kube.secrets["slack"] = {"data": {"url": b64encode(f"http://127.0.0.1:{port}/T1/x".encode()).decode()}}
        scene.now += timedelta(minutes=1)
        await scene.look()
        ((_, body),) = hook.got
        assert json.loads(body) == {"text": "*ns/shop*: Failed (TrainerCrashed), t: &lt;why&gt;"}
        assert "lastError" not in scene.status
        await scene.webhooks.close()

    with_hook(test)


def test_what_is_not_taken_is_sent_again_with_the_same_id_also_by_another_life() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port)
        await scene.look()
        hook.answers = [500, 307]
        scene.end("t", "Succeeded", "GateNotPassed")
        wait = await scene.look()
        assert wait is not None
        assert wait > 1
        assert scene.status["pending"][0]["attempts"] == 1
        for _ in range(2):
            scene.server.objects.pop((TASKS.plural, "t"), None)  # its history does not keep it
            scene.restart()
            scene.now += timedelta(minutes=2)
            await scene.look()
        assert len({json.loads(body)["id"] for _, body in hook.got}) == 1
        assert hook.paths == ["/hook"] * 3, "a redirect is no delivery, and is not followed"
        assert (scene.status["delivered"], "pending" in scene.status) == (1, False)
        await scene.webhooks.close()

    with_hook(test)


def test_an_operator_that_dies_after_it_has_sent_sends_again_rather_than_never() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port)
        await scene.look()
        scene.end("t", "Succeeded", "Promoted")
        write, writes = scene.reconciler._write, []

        async def dies(model: Object, old: Any, state: Any) -> Object:
            writes.append(state)
            if len(writes) == 2:
                raise KeyboardInterrupt
            return await write(model, old, state)

        scene.reconciler._write = dies  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await scene.look()
        scene.restart()
        await scene.look()
        assert len({json.loads(body)["id"] for _, body in hook.got}) == 1
        assert len(hook.got) == 2
        await scene.webhooks.close()

    with_hook(test)


def test_a_rollout_that_went_back_and_a_pause_are_told() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port)
        await scene.look()
        model = copied(scene.server.get(MODELS, "shop"))
        scene.now += timedelta(minutes=1)
        at = stamp(scene.now)
        model["status"]["rollout"] = {
            "to": "v0123456789ab",
            "digest": "sha256:" + "0" * 64,
            "task": "t",
            "step": "Failed",
            "startedAt": at,
            "stepStartedAt": at,
            "reason": "VerifyFailed",
            "message": "another digest",
        }
        paused = {"type": "Retraining", "status": "False", "reason": "PausedAfterRefusals", "message": "three in a row"}
        model["status"]["conditions"] = [{**paused, "lastTransitionTime": at}]
        scene.server.put("operator", MODELS, model)
        scene.end("t", "Failed", "RolloutFailed")
        await scene.look()
        told = sorted((json.loads(body)["type"], json.loads(body)["data"]["reason"]) for _, body in hook.got)
        assert told == [
            ("dev.bluetune.model.paused", "PausedAfterRefusals"),
            ("dev.bluetune.model.rolledback", "VerifyFailed"),
        ]
        await scene.webhooks.close()

    with_hook(test)


def test_one_that_is_given_up_is_said() -> None:
    async def test(hook: Hook, port: int) -> None:
        scene = Scene(port)
        await scene.look()
        hook.answers = [500] * MAX_ATTEMPTS
        scene.end("t", "Succeeded", "Promoted")
        for _ in range(MAX_ATTEMPTS):
            await scene.look()
            scene.now += timedelta(hours=1)
        assert scene.events.told == [("Warning", "NotifyFailed")]
        assert (scene.status["lost"], scene.status["lastError"]) == (1, "it answered with HTTP 500")
        text = scene.metrics.text().decode()
        assert 'bluetune_notices_total{model="shop",namespace="ns",outcome="Lost"} 1.0' in text
        assert f'bluetune_notices_total{{model="shop",namespace="ns",outcome="NotTaken"}} {MAX_ATTEMPTS}.0' in text
        await scene.webhooks.close()

    with_hook(test)
