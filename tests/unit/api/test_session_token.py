"""Temporary keys: their token goes with every request."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bluetune_api.s3 import store_from_environment
from bluetune_api.store_location import StoreLocation

TOKEN = "FwoGZXIvYXdzEtoken=="


class Server(ThreadingHTTPServer):
    """Answers everything with an empty success, and keeps the tokens."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.append(self.headers.get("x-amz-security-token"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("ETag", '"e"')
        self.end_headers()

    def do_GET(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_the_token_goes_with_every_request(server: Server, tmp_path: Path) -> None:
    location = StoreLocation(
        endpoint=f"127.0.0.1:{server.server_port}", bucket="models", region="us-east-1", secure=False
    )
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": f"{TOKEN}\n"}
    store = store_from_environment(location, keys)
    store.get("a")
    store.download("a", tmp_path / "a")
    store.put("a", b"")
    assert store.create("a", b"")
    assert server.tokens == [TOKEN] * 4
