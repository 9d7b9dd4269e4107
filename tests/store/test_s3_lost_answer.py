"""A write that went through but whose answer was lost is known again as the writer's own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from cluster.buckets import Bucket


@contextmanager
def swallowing_proxy(address: str) -> Iterator[str]:
    """A relay to `address` that takes the first connection's request through and closes without its answer."""
    host, _, port = address.rpartition(":")

    def relay(incoming: socket.socket, swallow: bool) -> None:
        with closing(incoming), closing(socket.create_connection((host, int(port)))) as outgoing:
            request = incoming.recv(1 << 16)
            while b"\r\n\r\n" not in request or not _complete(request):
                request += incoming.recv(1 << 16)
            outgoing.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            while answer := outgoing.recv(1 << 16):
                if not swallow:
                    incoming.sendall(answer)

    def serve() -> None:
        swallow = True
        while True:
            try:
                incoming, _ = listener.accept()
            except OSError:
                return
            incoming.settimeout(10)
            relay(incoming, swallow)
            swallow = False

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _complete(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0]) if lengths else True


def through(bucket: Bucket, endpoint: str) -> S3Store:
    location = StoreLocation(endpoint=endpoint, bucket=bucket.name, secure=False)
    return S3Store(location, access_key=bucket.server.access_key, secret_key=bucket.server.secret_key)


def test_a_create_whose_answer_was_lost_is_the_writers_own(bucket: Bucket) -> None:
    with swallowing_proxy(bucket.server.address) as endpoint:
        assert through(bucket, endpoint).create("claim", b"mine")
    direct = through(bucket, bucket.server.address)
    assert direct.get("claim") == b"mine"
    assert not direct.create("claim", b"mine")


def test_a_create_that_lost_to_another_is_refused_also_when_it_is_tried_again(bucket: Bucket) -> None:
    assert through(bucket, bucket.server.address).create("claim", b"theirs")
    with swallowing_proxy(bucket.server.address) as endpoint:
        assert not through(bucket, endpoint).create("claim", b"mine")
