"""A webhook on a real network hears how a task ended, and hears it again when it was away."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

Fixture = Any
pytestmark = pytest.mark.timeout(300)


class Hook(HTTPServer):
    """Keeps what it is sent; the first answers are those given."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook(world: Fixture) -> Iterator[Hook]:
    """A server at the address by which the store is reached: nothing is sent to the loopback device."""
    host, port = world.bucket.server.address.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((host, int(port)))
        address = towards.getsockname()[0]
    serving = Hook(address)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


def test_a_failed_task_is_told_until_the_webhook_takes_it(operator: Fixture, world: Fixture, hook: Hook) -> None:
    world.basics()
    url = f"http://{hook.server_address[0]}:{hook.server_address[1]}/bluetune"
    patch = {"spec": {"notify": [{"name": "team", "url": url}]}}
    world.kubectl("patch", "emodel", "m", "--type=merge", "-p", json.dumps(patch))
    world.until("emodel/m", lambda o: "notify" in o["status"], 30)
    hook.answers = [503]
    world.kubectl.apply(world.task("t", metadata={"check": "exit:10"}))
    world.ended("t", 90)
    model = world.until("emodel/m", lambda o: o["status"]["notify"].get("delivered") == 1, 60)
    assert "pending" not in model["status"]["notify"]
    assert len(hook.got) == 2
    assert hook.got[0] == hook.got[1]
    assert (hook.got[0]["type"], hook.got[0]["subject"]) == ("dev.bluetune.model.failed", "t")


def test_the_loopback_device_of_the_operator_is_not_reached(operator: Fixture, world: Fixture) -> None:
    world.basics()
    patch = {"spec": {"notify": [{"name": "team", "url": "http://localhost:6443/"}]}}
    world.kubectl("patch", "emodel", "m", "--type=merge", "-p", json.dumps(patch))
    world.until("emodel/m", lambda o: "notify" in o["status"], 30)
    world.kubectl.apply(world.task("t", metadata={"check": "exit:10"}))
    model = world.until("emodel/m", lambda o: o["status"]["notify"].get("lastError"), 90)
    assert "nothing is sent there" in model["status"]["notify"]["lastError"]
