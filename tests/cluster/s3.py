"""S3 servers inside the cluster's network: MinIO's own server, and SeaweedFS as a second opinion. Both with keys."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from .errors import ClusterError
from .paths import NODE_IP, State, binaries

Kind = Literal["minio", "seaweedfs"]
PORTS: dict[Kind, int] = {"minio": 9000, "seaweedfs": 8333}
START_SECONDS = 30.0

_HIDE_TMP = 'exec 3<"$1" && shift && mount -t tmpfs tmpfs /tmp && exec /proc/self/fd/3 "$@"'
"""SeaweedFS leaves sockets in /tmp, so it gets a private one; opened before that, since its program may lie in /tmp."""


@dataclass(frozen=True)
class Server:
    """How to reach a server: what a Secret and an EmbeddingModel's store need."""

    kind: Kind
    host: str
    port: int
    access_key: str
    secret_key: str

    @property
    def address(self) -> str:
        """`host:port`, without a scheme."""
        return f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"


def servers(state: State) -> dict[Kind, Server]:
    """The servers of a cluster by kind, whether they run or not. Raises ClusterError if there is no cluster."""
    try:
        found = json.loads((state.root / "s3.json").read_text())
    except FileNotFoundError:
        raise ClusterError(f"no cluster at {state.root}: run `make up` first") from None
    return {server["kind"]: Server(**server) for server in found}


def write_servers(state: State) -> None:
    """Choose addresses and keys for a new cluster."""
    chosen = [Server(kind, NODE_IP, port, f"testbed-{kind}", secrets.token_urlsafe(24)) for kind, port in PORTS.items()]
    path = state.root / "s3.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps([asdict(server) for server in chosen], indent=1))


def command(server: Server, data: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment that start a server over the folder `data`, which is not below /tmp."""
    if server.kind == "minio":
        line = [str(binaries() / "minio"), "server", "--quiet", "--address", server.address, str(data)]
        keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
        return line, keys | {"MINIO_UPDATE": "off", "MINIO_BROWSER": "off", "HOME": str(data.parent)}
    line = [
        *("unshare", "--mount", "sh", "-c", _HIDE_TMP, "sh", str(Path(sys.prefix) / "bin" / "weed")),
        "-logtostderr",
        "mini",
        f"-dir={data}",
        f"-ip={server.host}",
        f"-s3.port={server.port}",
        "-volume.max=1000",  # a bucket takes several; by default the free disk decides how many there may be
        "-s3.autoCreateBucket=false",  # a missing bucket is an error, as it is with S3
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    return line, {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}


def start(server: Server, data: Path, log: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start a server from inside the cluster's network, with more environment, and wait until its port answers.

    Raises ClusterError, with the end of its log, if it ends or does not answer in time.
    """
    data.mkdir(parents=True, exist_ok=True)
    line, environment = command(server, data)
    with log.open("ab") as output:
        process = subprocess.Popen(
            line,
            env=os.environ | environment | more,
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not listening(server):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise ClusterError(f"{server.kind} did not start on {server.address}:\n{tail}")
        time.sleep(0.1)
    return process


def listening(server: Server) -> bool:
    """Whether something accepts connections at the server's address. Only meaningful inside the cluster's network."""
    try:
        socket.create_connection((server.host, server.port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(server: Server, data: Path, log: Path, **more: str) -> Iterator[Server]:
    """A server for the time of a `with`, as `start` starts it; SIGTERM and then SIGKILL end it."""
    process = start(server, data, log, **more)
    try:
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


@contextmanager
def minio_of_a_test(state: State, bucket: str, **more: str) -> Iterator[Server]:
    """A MinIO on a free port, with an empty bucket and `more` in its environment; nothing of it is left afterwards."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = replace(servers(state)["minio"], host="127.0.0.1", port=port)
    data, log = state.root / "s3" / f"test-{port}", state.logs / f"minio-test-{port}.log"
    try:
        with running(server, data, log, **more):
            (data / bucket).mkdir()
            yield server
    finally:
        shutil.rmtree(data, ignore_errors=True)
        log.unlink(missing_ok=True)
