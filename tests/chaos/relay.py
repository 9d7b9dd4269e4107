"""A relay in front of the API server or of an S3 server, which spoils the requests that it is told to.

The operator speaks plain HTTP to it; towards the API server the relay shows the operator's own certificate.
"""

import asyncio
import json
import random
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization"}
SLOW_SECONDS = 1.5
S3_BUSY = b"<Error><Code>SlowDown</Code><Message>as the test asked</Message></Error>"
GONE = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}}


@dataclass
class Relay:
    """What passes, and what is done to it."""

    upstream: str
    """Root of the server's addresses."""
    secure: ssl.SSLContext | None
    chance: random.Random
    address: str = ""
    hits: Counter[str] = field(default_factory=Counter)
    """How many requests each fault has spoilt."""
    passed: int = 0
    _faults: dict[str, float] = field(default_factory=dict)
    _streams: set[asyncio.Event] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None
    _client: aiohttp.ClientSession | None = None

    def begin(self, kind: str, share: float) -> None:
        """From now on spoil this share of the requests."""
        self._faults[kind] = share
        if kind.startswith("watch") and self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_streams)

    def _end_streams(self) -> None:
        for stream in self._streams:
            stream.set()

    def end(self, kind: str) -> None:
        """No more of it."""
        self._faults.pop(kind, None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, passed on or spoilt."""
        watch = request.query.get("watch") in ("true", "1")
        for kind, share in list(self._faults.items()):
            if kind.startswith("watch") or self.chance.random() >= share:
                continue
            self.hits[kind] += 1
            spoilt = await self._spoil(kind, request)
            if spoilt is not None:
                return spoilt
        self.passed += 1
        return await self._pass(request, watch=watch)

    async def _spoil(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        """The spoilt answer; None: the request goes on, only later."""
        where, _, how = kind.partition("-")
        if how == "refuse":
            with suppress(Exception):
                await asyncio.wait_for(request.content.read(1024), 0.2)  # in the middle of an upload
            return _break_off(request)
        if how == "hang":
            while kind in self._faults:  # noqa: ASYNC110 - begun and ended from another thread
                await asyncio.sleep(0.1)
            return _break_off(request)
        if how == "lost":
            with suppress(aiohttp.ClientError, OSError):  # the server itself is away
                await self._ask(request)
            return _break_off(request)
        if how == "slow":
            await asyncio.sleep(SLOW_SECONDS)
            return None
        if where == "s3":
            return web.Response(status=503, body=b"" if request.method == "HEAD" else S3_BUSY, content_type="text/xml")
        status = 429 if how == "429" else self.chance.choice((500, 503))
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": status,
            "message": "as the test asked",
        }
        headers = {"Retry-After": "1"} if status == 429 else {}
        return web.json_response(body, status=status, headers=headers)

    async def _ask(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        body = await request.read()
        async with self._request(request, body) as answer:
            return answer.status, _end_to_end(answer.headers), await answer.read()

    def _request(self, request: web.Request, body: bytes) -> "aiohttp.client._RequestContextManager":
        assert self._client is not None
        return self._client.request(
            request.method,
            self.upstream + request.raw_path,
            headers=_end_to_end(request.headers),
            data=body or None,
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
            ssl=self.secure or True,
            allow_redirects=False,
            auto_decompress=False,
        )

    async def _pass(self, request: web.Request, *, watch: bool) -> web.StreamResponse:
        try:
            if not watch:
                status, headers, body = await self._ask(request)
                headers.pop("Content-Length", None)
                if request.method == "HEAD":
                    return web.Response(status=status, headers=headers)
                return web.Response(status=status, headers=headers, body=body)
            return await self._stream(request)
        except (TimeoutError, aiohttp.ClientError, OSError):
            return _break_off(request)  # the server itself is away: a fault of the whole cluster

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        cut = asyncio.Event()
        self._streams.add(cut)
        try:
            async with self._request(request, b"") as answer:
                response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
                response.headers.pop("Content-Length", None)
                await response.prepare(request)
                cutting = asyncio.create_task(cut.wait())
                reading = asyncio.create_task(answer.content.readany())
                try:
                    while True:
                        await asyncio.wait({reading, cutting}, return_when=asyncio.FIRST_COMPLETED)
                        if cutting.done():
                            await self._cut(response, request)
                            return response
                        if not (chunk := reading.result()):
                            return response
                        await response.write(chunk)
                        reading = asyncio.create_task(answer.content.readany())
                finally:
                    for task in (cutting, reading):
                        task.cancel()
                    await asyncio.gather(cutting, reading, return_exceptions=True)
        finally:
            self._streams.discard(cut)

    async def _cut(self, response: web.StreamResponse, request: web.Request) -> None:
        kind = next((kind for kind in self._faults if kind.startswith("watch")), "watch-cut")
        self.hits[kind] += 1
        if kind == "watch-410":
            await response.write(json.dumps(GONE).encode() + b"\n")
            await response.write_eof()
        else:
            _break_off(request)


def _break_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _end_to_end(headers: "aiohttp.typedefs.LooseHeaders") -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}  # type: ignore[union-attr]


@contextmanager
def relaying(upstream: str, host: str, chance: random.Random, secure: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """A relay on a free port of `host` for the time of a `with`, from the network of the calling thread."""
    relay, started = Relay(upstream, secure, chance), threading.Event()
    loop = asyncio.new_event_loop()
    relay._loop = loop
    over = asyncio.Event()

    async def serve() -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=400)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client:
            relay._client = client
            application = web.Application(client_max_size=1 << 30)
            application.router.add_route("*", "/{path:.*}", relay.handle)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
            await runner.setup()
            site = web.TCPSite(runner, host, 0)
            await site.start()
            relay.address = f"{host}:{runner.addresses[0][1]}"
            started.set()
            await over.wait()
            relay._faults.clear()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    if not started.wait(20):
        raise RuntimeError("the relay did not start")
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(15)
        loop.close()
