"""The server of the page: routes, streams, and the few requests that change something."""

import asyncio
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from aiohttp import web

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.run_store import RunStores
from bluetune.core import changes, versions
from bluetune.core.errors import CliError
from bluetune.core.kinds import MODELS, TASKS
from bluetune.core.page.runs import Records
from bluetune.ui import pages
from bluetune.ui.feed import Feed
from bluetune.ui.guard import EMBEDDED_POLICY, ENTER, HOST, Guard
from bluetune.ui.records import RecordsKept

MAX_STREAMS = 32
HEARTBEAT_SECONDS, WRITE_SECONDS, AGAIN_MILLISECONDS = 15.0, 30.0, 3000
MAX_BODY_BYTES = 4096
STATIC = {"icon.svg": "image/svg+xml", "page.css": "text/css", "page.js": "text/javascript"}


def listening(port: int) -> socket.socket:
    """A socket of this machine alone; 0 is a free port. Raises CliError."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((HOST, port))
    except OSError as error:
        opened.close()
        raise CliError(f"--port {port}: {error.strerror}; name another one, or leave --port out") from None
    return opened


async def serve(cluster: Cluster, stores: RunStores, listener: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve until it is cancelled. `announce` is told the address once it answers."""
    port = listener.getsockname()[1]
    guard, feed = Guard(port), Feed(cluster)
    runner = web.AppRunner(Site(cluster, stores, feed, guard).app, access_log=None, shutdown_timeout=2.0)
    looking = asyncio.create_task(feed.run())
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        announce(guard.address(port))
        await looking
    finally:
        looking.cancel()
        await runner.cleanup()


class Site:
    """Answers requests."""

    def __init__(self, cluster: Cluster, stores: RunStores, feed: Feed, guard: Guard) -> None:
        self._cluster, self._stores, self._feed = cluster, stores, feed
        self._records = RecordsKept(stores)
        self._streams: set[asyncio.Task[Any]] = set()
        self.app = web.Application(middlewares=[guard.middleware()], client_max_size=MAX_BODY_BYTES)
        self.app.on_response_prepare.append(guard.harden)
        self.app.on_shutdown.append(self._end_streams)
        self.app.add_routes(
            [
                web.get(ENTER + "{token}", _entered),
                web.get("/", self._page),
                web.get("/models/{name}", self._page),
                web.get("/runs/{name}", self._page),
                web.get("/runs/{name}/report", self._report),
                web.get("/events", self._events),
                web.get("/static/{file}", _static),
                web.post("/ask", self._ask),
                web.post("/do", self._do),
            ]
        )

    async def _end_streams(self, app: web.Application) -> None:
        for stream in self._streams:
            stream.cancel()

    async def _shown(self, path: str) -> pages.Page:
        snapshot = self._feed.snapshot
        at = pages.place(path, snapshot)
        records = Records() if at.task is None else await self._records.of(at.task, at.model)
        return pages.page(at, snapshot, records, self._cluster.namespace, datetime.now(UTC))

    async def _page(self, request: web.Request) -> web.Response:
        await self._feed.fresh()
        shown = await self._shown(request.path)
        text = pages.framed(shown, self._cluster.namespace, request.path)
        return web.Response(text=text, content_type="text/html", status=200 if shown.found else 404)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The page again, whenever it differs."""
        if len(self._streams) >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable(reason=f"{MAX_STREAMS} pages are open: close some")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in one
        self._streams.add(task)
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await self._stream(response, request.query.get("of", "/"))
            return response
        except (ConnectionResetError, TimeoutError):  # nobody reads it any more
            return response
        finally:
            self._streams.discard(task)

    async def _stream(self, response: web.StreamResponse, path: str) -> None:
        await _written(response, f"retry: {AGAIN_MILLISECONDS}\n\n")
        last: pages.Page | None = None
        beat = number = 0.0
        clock = asyncio.get_running_loop().time
        await self._feed.fresh()
        while True:
            shown = await self._shown(path)
            if shown != last:
                data = json.dumps({"title": shown.title, "body": shown.body, "said": shown.said})
                await _written(response, f"event: page\ndata: {data}\n\n")
                last, beat = shown, clock()
            elif clock() - beat >= HEARTBEAT_SECONDS:
                await _written(response, ": still here\n\n")
                beat = clock()
            number = (await self._feed.newer(int(number), HEARTBEAT_SECONDS)).number

    async def _report(self, request: web.Request) -> web.Response:
        await self._feed.fresh()
        at = pages.place(f"/runs/{request.match_info['name']}", self._feed.snapshot)
        try:
            if at.task is None or at.model is None:
                raise CliError("This run, or its model, is not there.")
            body = await asyncio.to_thread(self._stores.report, at.task, at.model)
        except CliError as error:
            body = pages.problem(str(error)).encode()
        headers = {"Content-Security-Policy": EMBEDDED_POLICY}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def _ask(self, request: web.Request) -> web.Response:
        """The question that comes before a change."""
        try:
            change = await self._change(await _body(request))
        except CliError as error:
            return web.json_response({"error": str(error)}, status=409)
        if change.patch is None:
            return web.json_response({"error": change.done}, status=409)
        return web.json_response({"question": change.question, "warning": change.warning, "mark": change.mark})

    async def _do(self, request: web.Request) -> web.Response:
        """The change that was confirmed, if the same question would be asked now."""
        asked = await _body(request)
        try:
            change = await self._change(asked)
            if change.patch is None:
                return web.json_response({"done": change.done, "after": ""})
            if change.mark != asked.get("mark"):
                raise CliError("Nothing was changed: what you were asked about has changed meanwhile. Ask again.")
            await asyncio.to_thread(self._cluster.patch, change.kind, change.name, change.patch)
        except CliError as error:
            return web.json_response({"error": str(error)}, status=409)
        self._feed.hurry()
        return web.json_response({"done": change.done, "after": change.after})

    async def _change(self, asked: dict[str, str]) -> changes.Change:
        what, name, version = asked.get("do"), asked.get("name", ""), asked.get("version", "")
        namespace = self._cluster.namespace
        if what == "cancel":
            return changes.cancel(await asyncio.to_thread(self._cluster.get, TASKS, name), namespace)
        if what not in ("promote", "rollback"):
            raise web.HTTPBadRequest(reason="do must be promote, rollback or cancel")
        model = await asyncio.to_thread(self._cluster.get, MODELS, name)
        known = versions.versions(model, self._feed.snapshot.tasks)
        ask = changes.promote if what == "promote" else changes.rollback
        return ask(model, known, version, namespace)


async def _entered(request: web.Request) -> web.Response:
    """Never called: the guard answers."""
    raise web.HTTPNotFound


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["file"]
    if name not in STATIC:
        raise web.HTTPNotFound(reason=f"there is no file {name}")
    text = files("bluetune.ui").joinpath("static", name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=STATIC[name], charset="utf-8")


async def _body(request: web.Request) -> dict[str, str]:
    try:
        found = await request.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise web.HTTPBadRequest(reason="the body must be a JSON object of texts")
    return found


async def _written(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(text.encode())
