"""Real servers on 127.0.0.1 that answer rightly, wrongly, endlessly, or not at all."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bluetune_api.model import Verify
from bluetune_api.records import Probe
from bluetune_operator.adapters import serving
from bluetune_operator.adapters.serving import PodServers
from bluetune_operator.core.rollout import Answers

D = "sha256:" + "1" * 64
PROBE = Probe(texts=["a"], vectors=[[1.0, 0.0]])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/version":
            self.say(200, json.dumps({"digest": D}).encode())
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/version")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(b"x" * 65536)
        elif self.path == "/silent":
            threading.Event().wait(3)
        else:
            self.say(404, b"")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vector = [1, 0] if self.path == "/encode" else [0, 1]
        self.say(200, json.dumps({"vectors": [vector for _ in asked["texts"]]}).encode())

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def ask(verify: Verify, count: int = 1, probe: Probe | None = None) -> Answers:
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": f"blue-{n}"}, "status": {"podIP": "127.0.0.1"}} for n in range(count)
    ]

    async def asked() -> Answers:
        servers = PodServers()
        try:
            return await servers.ask(pods, verify, D, probe)
        finally:
            await servers.close()

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/version", None),
        ("/other", "pod blue-0: GET /other: HTTP 404"),
        ("/moved", "HTTP 302"),
        ("/endless", "longer than"),
        ("/silent", "no answer within"),
    ],
)
def test_every_pod_is_asked_for_its_digest(
    port: int, path: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "VERSION_SECONDS", 1.0 if path == "/silent" else 10.0)
    answers = ask(Verify(port=port, version_path=path), 3)
    assert answers.right == (words is None)
    assert (words or "3 pods serve") in answers.message


@pytest.mark.parametrize(("path", "right"), [("/encode", True), ("/wrong", False)])
def test_vectors_are_compared_with_the_probe(port: int, path: str, right: bool) -> None:
    answers = ask(Verify(port=port, encode_path=path), probe=PROBE)
    assert answers.right == right
    assert right or "cosine" in answers.message


def test_no_pod_is_no_right_answer() -> None:
    assert not ask(Verify(port=1), 0).right


def test_a_closed_port_is_said() -> None:
    assert "no answer" in ask(Verify(port=9)).message
