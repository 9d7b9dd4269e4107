"""A store that answers with too much, or too slowly, costs the operator a bounded time and memory."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bluetune_api.objectstore import ObjectTooLarge, StoreError, StoreUnreachable
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_operator.adapters import store as store_module
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.store import AsyncStore, _Endpoint
from bluetune_operator.adapters.workers import Workers

MOST, PAGE = 1 << 20, 1 << 17
Body = Callable[[], Iterator[bytes]]


@contextmanager
def store_with(body: Body, length: int, **headers: str) -> Iterator[tuple[S3Store, list[int]]]:
    """A store whose every object is `body`, said to be `length` bytes long; and how many bytes it sent."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {"Content-Length": str(length), "ETag": '"e"', **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in body():
                    self.wfile.write(chunk)
                    sent.append(len(chunk))
            except OSError:
                pass  # the reader has had enough

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    location = StoreLocation(endpoint=f"127.0.0.1:{server.server_address[1]}", bucket="bucket", secure=False)
    try:
        yield S3Store(location, access_key="a", secret_key="b", attempts=1), sent
    finally:
        server.shutdown()
        server.server_close()


def test_an_object_of_a_terabyte_is_refused_after_the_first_megabytes() -> None:
    def endless() -> Iterator[bytes]:
        return itertools.repeat(b"x" * (1 << 16))

    with store_with(endless, 1 << 40) as (store, sent):
        with pytest.raises(ObjectTooLarge, match="longer than the 1048576 bytes"):
            store.get("runs/u/result.json", most=MOST, seconds=60)
        assert sum(sent) < 64 * MOST  # what was in the buffers of the connection


def test_an_object_that_just_fits_is_read() -> None:
    with store_with(lambda: iter([b"x" * MOST]), MOST) as (store, _):
        assert store.get("k", most=MOST, seconds=60) == b"x" * MOST


def test_a_compressed_object_is_not_unpacked() -> None:
    with store_with(lambda: iter([b"\x1f\x8b"]), 2, **{"Content-Encoding": "gzip"}) as (store, _):
        assert store.get("k", most=MOST, seconds=60) == b"\x1f\x8b"


def test_a_body_that_drips_is_no_answer() -> None:
    pause = threading.Event()

    def drip() -> Iterator[bytes]:
        for _ in range(600):
            yield b"x"
            pause.wait(0.1)

    with store_with(drip, 600) as (store, _):
        with pytest.raises(StoreUnreachable, match="too slowly"):
            store.get("k", most=MOST, seconds=0.3)
        pause.set()


def test_a_body_that_breaks_off_is_no_answer() -> None:
    with store_with(lambda: iter([b"x"]), 10) as (store, _), pytest.raises(StoreUnreachable):
        store.get("k", most=MOST, seconds=60)


def test_a_listing_of_too_many_objects_is_refused_before_it_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    def page() -> Iterator[bytes]:
        nonlocal asked
        asked += 1
        name = "<Contents><Key>versions/{}</Key><Size>1</Size><ETag>e</ETag></Contents>"
        objects = "".join(name.format(f"{asked}-{n}") for n in range(1000))
        head = (
            f"<Name>bucket</Name><IsTruncated>true</IsTruncated><NextContinuationToken>{asked}</NextContinuationToken>"
        )
        text = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{head}{objects}</ListBucketResult>'
        return iter([text.ljust(PAGE).encode()])

    async def listed(store: S3Store) -> None:
        workers = Workers("s", 1)
        opened = AsyncStore(store, workers, _Endpoint(asyncio.Semaphore(1)), CrashPoint(None), None)
        try:
            await opened.objects("versions/")
        finally:
            workers.close()

    monkeypatch.setattr(store_module, "MAX_OBJECTS", 2500)
    with store_with(page, PAGE) as (store, _), pytest.raises(StoreError, match="more than 2500 objects"):
        asyncio.run(listed(store))
    assert asked == 3


def test_a_store_that_gives_the_same_page_for_ever_is_refused() -> None:
    objects = "".join(f"<Contents><Key>v/{n:04d}</Key><Size>1</Size><ETag>e</ETag></Contents>" for n in range(1000))
    head = "<Name>bucket</Name><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    text = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{head}{objects}</ListBucketResult>'
    with (
        store_with(lambda: iter([text.ljust(PAGE).encode()]), PAGE) as (store, _),
        pytest.raises(StoreError, match="ignores start-after"),
    ):
        list(store.list("v/"))
