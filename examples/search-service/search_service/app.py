"""The web application: a search page, its API, and what Kubernetes and bluetune ask a serving pod."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from bluetune_api.objectstore import StoreError
from search_service.clicklog import ClickLog
from search_service.engine import Engine
from search_service.index import as_json

log = logging.getLogger("search")

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
PAGE_POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
MAX_RESULTS, MAX_TEXTS, LONGEST_TEXT, LONGEST_BODY = 100, 256, 20_000, 8 << 20
TICK_SECONDS = 5.0

Load = Callable[[], Engine]


class Service:
    """The engine, once it is loaded, and the click log.

    Args:
        load: fetches and opens the version to serve; None while there is no version to serve.
    """

    def __init__(self, load: Load | None, clicks: ClickLog, *, pod: str) -> None:
        self._load, self.clicks, self.pod = load, clicks, pod
        self.engine: Engine | None = None
        self.failed = False

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Load in the background, so that the pod answers its probes; write the clicks down at the end."""
        tasks = [asyncio.create_task(self._tick())]
        if self._load is not None:
            tasks.append(asyncio.create_task(self._loaded(self._load)))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        written = await run_in_threadpool(self.clicks.flush, everything=True)
        log.info("stopped; wrote down %d sessions", written)

    async def _loaded(self, load: Load) -> None:
        started = time.monotonic()
        try:
            engine = await run_in_threadpool(load)
        except (
            Exception
        ) as error:  # whatever it is, this pod cannot serve: end, so that Kubernetes shows and retries it
            log.error("cannot serve: %s: %s", type(error).__name__, error)
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self.engine = engine
        log.info(
            "serving %s (%s), %d items, after %.1f s",
            engine.version,
            engine.digest,
            engine.rows,
            time.monotonic() - started,
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await run_in_threadpool(self.clicks.tick)
            except StoreError as error:
                log.warning("clicks stay in memory, %d sessions: %s", self.clicks.waiting(), error)

    def ready(self) -> Engine:
        """The engine. Raises 503 while there is none."""
        if self.engine is None:
            why = "no version to serve yet: BLUETUNE_VERSION is not set" if self._load is None else "loading"
            raise HTTPException(503, why)
        return self.engine

    async def page(self, request: Request) -> Response:
        """The search page and its files."""
        name, media_type = PAGE_FILES[request.url.path]
        return FileResponse(PAGE / name, media_type=media_type, headers=PAGE_POLICY)

    async def livez(self, _: Request) -> Response:
        """Alive, whether ready or not."""
        return JSONResponse({"status": "alive"})

    async def healthz(self, _: Request) -> Response:
        """Ready: model and index are loaded."""
        return JSONResponse({"status": "ready", "version": self.ready().version})

    async def version(self, _: Request) -> Response:
        """What this pod serves."""
        engine = self.ready()
        served = {"version": engine.version, "digest": engine.digest}
        return JSONResponse({**served, "items": engine.rows, "pod": self.pod})

    async def search(self, request: Request) -> Response:
        """GET q, limit (10), log (1): the nearest items. With log=0 nobody is looking, and nothing is noted."""
        engine, started = self.ready(), time.perf_counter()
        query = re.sub(r"\s+", " ", request.query_params.get("q", "")).strip()
        limit = _number(request, "limit", 10, 1, MAX_RESULTS)
        if not query or len(query) > LONGEST_TEXT:
            raise HTTPException(422, "q: what to search for, at most 20,000 characters")
        hits = await run_in_threadpool(engine.search, query, limit)
        session = None
        if request.query_params.get("log", "1") != "0":
            session = self.clicks.searched(query, [hit.object_id for hit in hits], engine.version)
        took = round((time.perf_counter() - started) * 1000, 1)
        results = [as_json(hit) for hit in hits]
        said = {"query": query, "session_id": session, "version": engine.version, "index_version": engine.index_version}
        return JSONResponse({**said, "took_ms": took, "results": results})

    async def click(self, request: Request) -> Response:
        """POST {"session_id", "object_id"}: somebody opened a result."""
        body = await _body(request)
        session, item = body.get("session_id"), body.get("object_id")
        if not isinstance(session, str) or not isinstance(item, str):
            raise HTTPException(422, "session_id and object_id: strings, as /search answered them")
        if not self.clicks.clicked(session, item):
            raise HTTPException(404, "this session is over, was another pod's, or never showed this object")
        return Response(status_code=204)

    async def encode(self, request: Request) -> Response:
        """POST {"texts": [...], "kind": "item" | "query"}: their vectors, unit length."""
        engine, body = self.ready(), await _body(request)
        texts, kind = body.get("texts"), body.get("kind", "item")
        if (
            not isinstance(texts, list)
            or not 1 <= len(texts) <= MAX_TEXTS
            or not all(isinstance(t, str) for t in texts)
        ):
            raise HTTPException(422, f"texts: a list of 1 to {MAX_TEXTS} strings")
        if kind not in ("query", "item") or any(len(text) > LONGEST_TEXT for text in texts):
            raise HTTPException(422, 'kind: "query" or "item"; texts: at most 20,000 characters each')
        vectors = await run_in_threadpool(engine.encode, texts, kind)
        return JSONResponse({"vectors": vectors.tolist(), "version": engine.version, "digest": engine.digest})

    async def batch(self, _: Request) -> Response:
        """The open batch of clicks."""
        return JSONResponse(await self._batch(self.clicks.state))

    async def close_batch(self, request: Request) -> Response:
        """POST: complete the open batch, so that a task can learn from it."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "another site's page may not close batches")
        state = await self._batch(self.clicks.close)
        return JSONResponse(state, status_code=200 if state["closed"] else 409)

    async def _batch(self, ask: Callable[[], Any]) -> dict[str, Any]:
        try:
            state = await run_in_threadpool(ask)
        except StoreError as error:
            raise HTTPException(503, str(error)) from error
        return {**asdict(state), "waiting": self.clicks.waiting(), "needed": self.clicks.min_clicked}


def create_app(service: Service) -> Starlette:
    """The routes."""
    get: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        *((path, service.page) for path in PAGE_FILES),
        ("/livez", service.livez),
        ("/healthz", service.healthz),
        ("/version", service.version),
        ("/search", service.search),
        ("/batch", service.batch),
    ]
    post = [("/click", service.click), ("/encode", service.encode), ("/admin/close-batch", service.close_batch)]
    routes = [Route(path, handler, methods=["GET"]) for path, handler in get]
    routes += [Route(path, handler, methods=["POST"]) for path, handler in post]
    return Starlette(routes=routes, lifespan=service.lifespan, exception_handlers={HTTPException: _refused})


async def _refused(_: Request, error: Exception) -> Response:
    status, why = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse({"error": why}, status_code=status)


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise HTTPException(422, f"{name}={text!r}: a number from {low} to {high}")
    return int(text)


async def _body(request: Request) -> dict[str, Any]:
    """The request's JSON object, whatever its content type says: sendBeacon sends text. Raises 413 and 422."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LONGEST_BODY:
            raise HTTPException(413, f"at most {LONGEST_BODY} bytes")
    try:
        body = json.loads(bytes(data))
    except ValueError:
        raise HTTPException(422, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(422, "the body is not a JSON object")
    return body
