"""A relay in front of an S3 server that spoils the requests it is told to."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"
CODES = {
    "busy": (503, "SlowDown"),
    "full": (507, "XMinioStorageFull"),
    "expired": (403, "ExpiredToken"),
    "skewed": (403, "RequestTimeTooSkewed"),
}
IGNORES, REFUSES = "ignores conditions", "refuses conditions"
"""Of a store without conditional writes: it creates what is there, or answers HTTP 501."""
CONDITION = b"If-None-Match: *\r\n"
PASSING = ("reset", "lost", "truncated", "busy", "html", "garbage", "slow")
"""Faults that another try gets over."""
SLOW_SECONDS = 1.5


@dataclass
class Relay:
    """`choose(n, method, path)` names the fault of the n-th request from 1, or None."""

    upstream: str
    choose: Callable[[int, str, str], str | None] = lambda _n, _method, _path: None
    address: str = ""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and fault of each request."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(HEAD_END)
            body = await reader.readexactly(_length(head))
            method, path, _ = head.decode("latin-1").split(" ", 2)
            fault = self.choose(len(self.requests) + 1, method, path)
            self.requests.append((method, path, fault))
            if fault == "reset":
                writer.transport.abort()
                return
            if fault == "slow":
                await asyncio.sleep(SLOW_SECONDS)
                return
            if fault == IGNORES:
                head = head.replace(CONDITION, b"")
            if fault == REFUSES and CONDITION in head:
                writer.write(_refusal(501, "NotImplemented", method))
            elif fault in CODES:
                writer.write(_refusal(*CODES[fault], method))
            elif fault == "html":
                writer.write(b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<br>")
            elif fault == "garbage":
                writer.write(b"\x00\xffnothing that HTTP knows\r\n\r\n")
            else:
                answer = await self._ask(head, body)
                if fault == "truncated":
                    answer = answer[: len(answer) - max((len(answer) - answer.index(HEAD_END) - 4) // 2, 1)]
                elif fault == "damaged":
                    answer = answer[:-3] + bytes([answer[-3] ^ 1]) + answer[-2:]
                if fault != "lost":
                    writer.write(answer)
            await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        host, _, port = self.upstream.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.closing(writer):
            writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            answer = await reader.read()
        return (
            answer if b"\r\nConnection: close" in answer else answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        )


def _length(head: bytes) -> int:
    found = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0]) if found else 0


def _refusal(status: int, code: str, method: str) -> bytes:
    body = (
        b"" if method == "HEAD" else f"<Error><Code>{code}</Code><Message>as the test asked</Message></Error>".encode()
    )
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return head.encode() + HEAD_END + body


@contextlib.contextmanager
def relaying(upstream: str) -> Iterator[Relay]:
    """A relay on a free port of 127.0.0.1 for the time of a `with`."""
    relay, started = Relay(upstream), threading.Event()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        server = await asyncio.start_server(relay.handle, "127.0.0.1", 0)
        relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        beginning = loop.create_task(begin())
        loop.run_forever()
        left = [beginning, *asyncio.all_tasks(loop)]
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
