"""The relay passes requests as they are, and spoils those that it is told to, so that the fault really hits."""

import json
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

from chaos.relay import Relay, relaying

HTTP = urllib3.PoolManager(retries=False, timeout=10)


class Server:
    """Keeps what it is asked, and streams a line every now and then to who watches."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, body, self.headers.get("Host")))
                if "watch=true" in self.path:
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for _ in range(200):
                        self.wfile.write(b"3\r\n{}\n\r\n")
                        time.sleep(0.05)
                    return
                self.send_response(201)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", "3")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"yes")

            do_GET = do_PUT = do_HEAD = do_POST = _answer  # noqa: N815

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # the relay broke off

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    with relaying(server.url, "127.0.0.1", random.Random(1)) as made:
        yield made


def ask(
    relay: Relay, method: str = "PUT", path: str = "/b/k%2Fx?a=1", body: bytes = b"data"
) -> urllib3.BaseHTTPResponse:
    return HTTP.request(method, f"http://{relay.address}{path}", body=body, headers={"Host": "signed:9000"})


def test_a_request_passes_as_it_is(relay: Relay, server: Server) -> None:
    answer = ask(relay)
    assert (answer.status, answer.data, answer.headers["ETag"]) == (201, b"yes", '"e"')
    assert server.asked == [("PUT", "/b/k%2Fx?a=1", b"data", "signed:9000")]
    head = ask(relay, "HEAD", body=b"")
    assert (head.status, head.headers["ETag"]) == (201, '"e"')


@pytest.mark.parametrize(("kind", "statuses"), [("api-503", {500, 503}), ("api-429", {429}), ("s3-503", {503})])
def test_a_refusal_is_not_passed_on(relay: Relay, server: Server, kind: str, statuses: set[int]) -> None:
    relay.begin(kind, 1.0)
    answers = [ask(relay) for _ in range(5)]
    relay.end(kind)
    assert {answer.status for answer in answers} <= statuses
    assert server.asked == []
    assert relay.hits[kind] == 5
    assert ask(relay).status == 201


@pytest.mark.parametrize(("kind", "done"), [("api-refuse", 0), ("api-lost", 1), ("s3-refuse", 0), ("s3-lost", 1)])
def test_a_broken_connection_leaves_the_request_done_or_undone(
    relay: Relay, server: Server, kind: str, done: int
) -> None:
    relay.begin(kind, 1.0)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(relay)
    assert len(server.asked) == done
    assert relay.hits[kind] == 1


def test_a_request_hangs_until_the_outage_is_over(relay: Relay, server: Server) -> None:
    relay.begin("api-hang", 1.0)
    threading.Timer(0.5, relay.end, ["api-hang"]).start()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(relay)
    assert server.asked == []
    assert relay._faults == {}


@pytest.mark.parametrize("kind", ["watch-cut", "watch-410"])
def test_a_watch_that_runs_is_ended(relay: Relay, kind: str) -> None:
    answer = HTTP.request("GET", f"http://{relay.address}/x?watch=true", preload_content=False)
    chunks = answer.stream(4096)
    rest = next(chunks)
    relay.begin(kind, 1.0)
    try:
        for chunk in chunks:
            rest += chunk
    except urllib3.exceptions.HTTPError:
        assert kind == "watch-cut"
    else:
        assert json.loads(rest.strip().splitlines()[-1])["object"]["code"] == 410
    assert relay.hits[kind] == 1


def test_a_share_of_the_requests_is_spoilt(relay: Relay) -> None:
    relay.begin("api-429", 0.5)
    statuses = [ask(relay).status for _ in range(60)]
    assert 10 < statuses.count(429) < 50


def test_a_server_that_is_away_is_a_broken_connection() -> None:
    with relaying("http://127.0.0.1:1", "127.0.0.1", random.Random(1)) as relay:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            ask(relay)
        assert relay.hits == {}
