"""S3Store when its server is away, comes back, or never answers."""

import dataclasses
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from bluetune_api.objectstore import StoreUnreachable
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from cluster import s3
from cluster.lifecycle import Cluster


@pytest.fixture
def own_server(cluster: Cluster) -> Iterator[s3.Server]:
    """A MinIO of this test's own that does not run yet."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield dataclasses.replace(s3.servers(cluster.state)["minio"], host="127.0.0.1", port=port)
    shutil.rmtree(cluster.state.root / "s3" / f"test-{port}", ignore_errors=True)
    (cluster.state.logs / f"minio-test-{port}.log").unlink(missing_ok=True)


def store_at(server: s3.Server, **options: float) -> S3Store:
    location = StoreLocation(endpoint=server.address, bucket="models", secure=False)
    return S3Store(location, access_key=server.access_key, secret_key=server.secret_key, **options)  # type: ignore[arg-type]


def test_a_server_that_is_down_is_tried_again_and_then_named(own_server: s3.Server) -> None:
    begun = time.monotonic()
    store = store_at(own_server, attempts=4)
    for action in (lambda: store.get("a"), lambda: store.create("a", b"1"), lambda: list(store.list(""))):
        with pytest.raises(StoreUnreachable, match=rf"127\.0\.0\.1:{own_server.port} after 4 attempts"):
            action()
    assert time.monotonic() - begun < 30


def test_a_server_that_never_answers_is_given_up(own_server: s3.Server) -> None:
    with closing(socket.create_server(("127.0.0.1", own_server.port))):
        store = store_at(own_server, attempts=2, connect_seconds=0.5, read_seconds=0.5)
        with pytest.raises(StoreUnreachable, match="after 2 attempts"):
            store.get("a")


def test_a_server_that_comes_back_is_not_an_error(own_server: s3.Server, cluster: Cluster) -> None:
    data = cluster.state.root / "s3" / f"test-{own_server.port}"
    log = cluster.state.logs / f"minio-test-{own_server.port}.log"
    with s3.running(own_server, data, log):
        (data / "models").mkdir()
        store_at(own_server).put("a", b"1")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(store_at(own_server, attempts=12).get("a")))
    reader.start()
    time.sleep(1)
    with s3.running(own_server, data, log):
        reader.join(timeout=45)
    assert read == [b"1"]
