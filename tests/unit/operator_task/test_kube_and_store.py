"""The adapters against real HTTP: retries with an end, guarded writes, and a dead store that blocks nobody."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from kubernetes.client.configuration import Configuration

from bluetune_api.objectstore import LocalStore, Page, StoreError, StoreUnreachable
from bluetune_operator.adapters import kube as kube_module
from bluetune_operator.adapters import store as store_module
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.fence import Fence
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, Stores, _Endpoint
from bluetune_operator.adapters.workers import Workers
from bluetune_operator.core.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    ForeignObject,
    Leftover,
    NotLeading,
    WebhookFailed,
)
from bluetune_operator.core.kinds import CONFIG_MAPS, JOBS, Object

Answer = tuple[int, Any]


class Server:
    """Answers requests from a script, and keeps them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                outer.requests.append((self.command, self.path, body))
                status, answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(kube_module, "BACKOFF_CAP_SECONDS", 0.01)
    running = Server()
    yield running
    running.close()


def call(server: Server, what: Callable[[KubeApi], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        configuration = Configuration()
        configuration.host = server.url
        kube = KubeApi(configuration)
        try:
            return await what(kube)
        finally:
            kube.close()

    return asyncio.run(scenario())


def refusal(status: int, reason: str) -> Answer:
    return status, {"kind": "Status", "reason": reason, "message": f"said {reason}"}


def job(owner: str = "me") -> Object:
    return {"metadata": {"name": "j", "namespace": "n", "ownerReferences": [{"uid": owner}]}}


def test_a_server_that_is_busy_is_asked_again(server: Server) -> None:
    server.answers = [refusal(503, "Unavailable"), refusal(429, "TooManyRequests"), (200, job())]
    assert call(server, lambda k: k.get(JOBS, "n", "j"))["metadata"]["name"] == "j"
    assert [path for _, path, _ in server.requests] == ["/apis/batch/v1/namespaces/n/jobs/j"] * 3


def test_a_server_that_stays_busy_is_given_up(server: Server) -> None:
    server.answers = [refusal(503, "Unavailable")]
    with pytest.raises(ApiUnavailable, match="failed 5 times"):
        call(server, lambda k: k.get(JOBS, "n", "j"))
    assert len(server.requests) == 5


def test_an_admission_webhook_that_does_not_answer_is_said_after_the_second_try(server: Server) -> None:
    said = 'Internal error occurred: failed calling webhook "policy.example.com": no endpoints'
    server.answers = [(500, {"kind": "Status", "reason": "InternalError", "message": said})]
    with pytest.raises(WebhookFailed) as caught:
        call(server, lambda k: k.create(JOBS, job()))
    assert caught.value.message == said
    assert len(server.requests) == 2
    server.answers = [server.answers[0], (200, job())]
    assert call(server, lambda k: k.create(JOBS, job()))["metadata"]["name"] == "j"


def test_another_internal_error_is_the_api_servers_own(server: Server) -> None:
    server.answers = [refusal(500, "InternalError")]
    with pytest.raises(ApiUnavailable, match="failed 5 times"):
        call(server, lambda k: k.create(JOBS, job()))


def test_what_a_person_wrote_is_created_strictly(server: Server) -> None:
    server.answers = [(201, job())]
    call(server, lambda k: k.create_owned(JOBS, job(), "me", strict=True))
    call(server, lambda k: k.create_owned(JOBS, job(), "me"))
    assert [path.partition("?")[2] for _, path, _ in server.requests] == ["fieldValidation=Strict", ""]


def test_a_json_patch_is_sent_as_one(server: Server) -> None:
    server.answers = [(200, job())]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    call(server, lambda k: k.json_patch(JOBS, "n", "j", patch))
    assert server.requests[-1] == ("PATCH", "/apis/batch/v1/namespaces/n/jobs/j", patch)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(409, "AlreadyExists"), AlreadyExists),
        (refusal(409, "Conflict"), Conflict),
        (refusal(422, "Invalid"), ApiError),
        (refusal(403, "Forbidden"), ApiError),
    ],
)
def test_a_refusal_is_not_tried_again(server: Server, answer: Answer, error: type[Exception]) -> None:
    server.answers = [answer]
    with pytest.raises(error, match="said"):
        call(server, lambda k: k.create(JOBS, job()))
    assert len(server.requests) == 1


def test_what_is_not_there_is_none_and_its_deletion_no_error(server: Server) -> None:
    server.answers = [refusal(404, "NotFound")]
    assert call(server, lambda k: k.get(JOBS, "n", "j")) is None
    assert call(server, lambda k: k.delete(JOBS, "n", "j", uid="u")) is False
    assert server.requests[-1][2]["preconditions"] == {"uid": "u"}


def test_a_child_that_is_there_already_is_ours_or_foreign(server: Server) -> None:
    server.answers = [refusal(409, "AlreadyExists"), (200, job("me"))]
    assert call(server, lambda k: k.create_owned(JOBS, job(), "me"))["metadata"]["name"] == "j"
    server.answers = [refusal(409, "AlreadyExists"), (200, job("somebody"))]
    with pytest.raises(ForeignObject, match="'j' exists in namespace 'n'"):
        call(server, lambda k: k.create_owned(JOBS, job(), "me"))


def test_a_child_of_an_earlier_owner_of_the_same_name_will_go(server: Server) -> None:
    def of(task: str, uid: str) -> Object:
        owner = {"kind": "FineTuningTask", "name": task, "uid": uid}
        return {"metadata": {"name": "t-check", "namespace": "n", "ownerReferences": [owner]}}

    server.answers = [refusal(409, "AlreadyExists"), (200, of("t", "old"))]
    with pytest.raises(Leftover, match="of an earlier one of this name is being removed"):
        call(server, lambda k: k.create_owned(JOBS, of("t", "new"), "new"))
    server.answers = [refusal(409, "AlreadyExists"), (200, of("another", "old"))]
    with pytest.raises(ForeignObject, match="does not belong to this resource"):
        call(server, lambda k: k.create_owned(JOBS, of("t", "new"), "new"))


def test_a_status_is_written_with_the_version_that_was_read(server: Server) -> None:
    server.answers = [(200, {})]
    read = {"metadata": {"name": "j", "namespace": "n", "resourceVersion": "41"}, "status": {"old": 1}}
    call(server, lambda k: k.replace_status(JOBS, read, {"new": 2}))
    method, path, body = server.requests[-1]
    assert (method, path) == ("PUT", "/apis/batch/v1/namespaces/n/jobs/j/status")
    assert body["metadata"]["resourceVersion"] == "41"
    assert body["status"] == {"new": 2}


def test_a_long_list_comes_in_pages_and_the_apply_is_never_forced(server: Server) -> None:
    server.answers = [
        (200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]}),
        (200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
    ]
    found = call(server, lambda k: k.list(CONFIG_MAPS, None, labels={"a": "b"}, fields={"c.d": "e"}))
    assert [(o["kind"], o["metadata"]["name"]) for o in found] == [("ConfigMap", "a"), ("ConfigMap", "b")]
    query = parse_qs(urlparse(server.requests[-1][1]).query)
    assert (query["continue"], query["labelSelector"], query["fieldSelector"]) == (["more"], ["a=b"], ["c.d=e"])
    server.answers = [(200, {})]
    call(server, lambda k: k.apply(JOBS, job(), field_manager="me"))
    assert parse_qs(urlparse(server.requests[-1][1]).query) == {"fieldManager": ["me"], "force": ["false"]}


def test_a_closed_fence_lets_reads_pass_and_no_write(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, job())]

    async def scenario(_: KubeApi) -> None:
        configuration = Configuration()
        configuration.host = server.url
        fence = Fence(lambda: 0.0)
        kube = KubeApi(configuration, fence=fence)
        store = AsyncStore(
            LocalStore(tmp_path), Workers("s", 1), _Endpoint(asyncio.Semaphore(1)), CrashPoint(None), fence
        )
        writes = (
            lambda: kube.create(JOBS, job()),
            lambda: kube.replace(JOBS, job()),
            lambda: kube.merge_patch(JOBS, "n", "j", {}),
            lambda: kube.delete(JOBS, "n", "j"),
            lambda: store.put("k", b""),
            lambda: store.create("k", b""),
            lambda: store.delete("k"),
        )
        for write in writes:
            with pytest.raises(NotLeading, match="not written"):
                await write()
        await kube.get(JOBS, "n", "j")
        assert await store.stat("k") is None
        assert [method for method, _, _ in server.requests] == ["GET"]
        fence.open_until(1.0)
        for write in writes:
            await write()
        assert len(server.requests) == 5
        kube.close()

    call(server, scenario)


def secret(**data: str) -> Answer:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return 200, {"metadata": {"name": "keys", "resourceVersion": "1"}, "data": encoded}


def model(endpoint: str = "127.0.0.1:1") -> Object:
    store = {"endpoint": endpoint, "bucket": "bucket", "secure": False, "credentialsSecretRef": {"name": "keys"}}
    return {"metadata": {"name": "m", "namespace": "n"}, "spec": {"store": store}}


KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.mark.parametrize(
    ("answer", "reason", "part"),
    [
        (refusal(404, "NotFound"), "SecretNotFound", "Secret 'keys' does not exist in namespace 'n'"),
        (secret(AWS_ACCESS_KEY_ID="a"), "SecretInvalid", "has no key AWS_SECRET_ACCESS_KEY"),
        (secret(**KEYS | {"AWS_ACCESS_KEY_ID": " "}), "SecretInvalid", "AWS_ACCESS_KEY_ID is empty"),
        (secret(**KEYS | {"AWS_ACCESS_KEY_ID": "a\nb"}), "SecretInvalid", "AWS_ACCESS_KEY_ID holds a line break"),
        (
            secret(**KEYS | {"AWS_SESSION_TOKEN": "a b"}),
            "SecretInvalid",
            r"AWS_SESSION_TOKEN holds the character U\+0020",
        ),
    ],
)
def test_keys_that_cannot_be_had_say_what_to_do(server: Server, answer: Answer, reason: str, part: str) -> None:
    server.answers = [answer]
    with pytest.raises(StoreProblem, match=part) as raised:
        call(server, lambda k: Stores(k).open(model()))
    assert raised.value.reason == reason


def test_a_dead_store_fails_fast_and_then_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REST_SECONDS", 60.0)
    server.answers = [secret(**KEYS)]

    async def scenario(kube: KubeApi) -> tuple[float, float]:
        stores = Stores(kube)
        times = []
        for _ in range(2):
            store = await stores.open(model())
            begun = time.monotonic()
            with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:1"):
                await store.get("key")
            times.append(time.monotonic() - begun)
        return times[0], times[1]

    first, second = call(server, scenario)
    assert first < 10
    assert second < 0.05
    assert len(server.requests) == 1  # the Secret is believed for a few seconds


def test_stores_opened_at_once_read_their_secret_once_and_fresh_ones_again(server: Server) -> None:
    server.answers = [secret(**KEYS)]

    async def scenario(kube: KubeApi) -> tuple[int, int]:
        stores = Stores(kube)
        await asyncio.gather(*(stores.open(model()) for _ in range(20)))
        at_once = len(server.requests)
        await stores.open(model(), fresh=True)
        return at_once, len(server.requests)

    assert call(server, scenario) == (1, 2)


def test_stores_and_secrets_of_namespaces_that_are_gone_are_not_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [secret(**KEYS)]
    now = [1000.0]
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now[0])

    def preview(number: int) -> Object:
        made = model()
        made["metadata"]["namespace"] = f"preview-{number}"
        made["spec"]["store"]["endpoint"] = f"store-{number}:9000"
        return made

    async def scenario(kube: KubeApi) -> None:
        stores = Stores(kube)
        for number in range(50):
            await stores.open(preview(number))
            now[0] += 60.0
        lasting = await stores.open(preview(49))
        kept = (stores._open, stores._secrets, stores._reading, stores._endpoints, stores._tenants, stores._used)
        assert all(len(cache) <= 2 * store_module.IDLE_SECONDS / 60 + 1 for cache in kept), [*map(len, kept)]
        assert await stores.open(preview(49)) is lasting
        now[0] += 10 * store_module.IDLE_SECONDS
        await stores.open(model())
        assert [len(cache) for cache in kept] == [1] * len(kept)

    call(server, scenario)


def test_a_dead_store_of_one_namespace_tells_another_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REST_SECONDS", 60.0)
    server.answers = [secret(**KEYS)]

    async def told(stores: Stores, namespace: str, prefix: str) -> str:
        made = model()
        made["metadata"]["namespace"] = namespace
        made["spec"]["store"]["prefix"] = prefix
        store = await stores.open(made)
        with pytest.raises(StoreUnreachable) as raised:
            await store.get("key")
        return str(raised.value)

    async def scenario(kube: KubeApi) -> None:
        stores = Stores(kube)
        assert "secret-project" in await told(stores, "tenant-a", "secret-project")
        assert "secret-project" not in await told(stores, "tenant-b", "mine")

    call(server, scenario)


def test_calls_that_hang_in_one_namespace_leave_threads_to_another(tmp_path: Path) -> None:
    class Hanging(LocalStore):
        def stat(self, key: str) -> Any:
            held.wait(20)

    held = threading.Event()

    async def scenario() -> None:
        workers = Workers("s", store_module.THREADS)
        tenant, other = (asyncio.Semaphore(store_module.THREADS_PER_NAMESPACE) for _ in range(2))

        def opened(store: LocalStore, whose: asyncio.Semaphore) -> AsyncStore:
            endpoint = _Endpoint(asyncio.Semaphore(store_module.THREADS_PER_ENDPOINT), whose)
            return AsyncStore(store, workers, endpoint, CrashPoint(None), None)  # type: ignore[arg-type]

        hanging = [asyncio.create_task(opened(Hanging(tmp_path), tenant).stat("k")) for _ in range(100)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            assert await opened(LocalStore(tmp_path), other).stat("k") is None
        held.set()
        await asyncio.gather(*hanging)
        workers.close()

    asyncio.run(scenario())


def test_many_objects_are_listed_page_by_page_and_too_many_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paged(LocalStore):
        def page(self, prefix: str, after: str = "") -> Page:
            time.sleep(0.05)
            whole = super().page(prefix, after).objects
            return Page(whole[:1], whole[0].key if len(whole) > 1 else None)

    files = Paged(tmp_path)
    for number in range(8):
        files.put(f"versions/{number}", b"")

    async def scenario() -> None:
        workers = Workers("s", 1)
        store = AsyncStore(files, workers, _Endpoint(asyncio.Semaphore(1)), CrashPoint(None), None)  # type: ignore[arg-type]
        assert [info.key for info in await store.objects("versions/")] == [f"versions/{n}" for n in range(8)]
        monkeypatch.setattr(store_module, "MAX_OBJECTS", 5)
        with pytest.raises(StoreError, match="holds more than 5 objects"):
            await store.objects("versions/")
        workers.close()

    monkeypatch.setattr(store_module, "CALL_SECONDS", 0.3)  # less than all pages take
    asyncio.run(scenario())
