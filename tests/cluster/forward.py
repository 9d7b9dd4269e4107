"""Ports of this machine's 127.0.0.1 that lead into the cluster's network, for browsers and kubectl outside of it.

A forwarder is a process of its own: it opens its listening socket outside, then moves into the cluster's network and
connects from there.
"""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import node, processes
from .errors import ClusterError
from .lifecycle import PACKAGE, Cluster
from .namespaces import enter_network, network_id, network_of

START_SECONDS = 20
CHUNK = 1 << 16


def parse(text: str) -> tuple[int, str, int]:
    """`PORT:HOST:PORT` → (port here, host there, port there).

    HOST is an address or NAMESPACE/SERVICE; the first PORT may be 0, for any that is free.
    """
    here, _, rest = text.partition(":")
    host, _, there = rest.rpartition(":")
    if not (here.isdigit() and host and there.isdigit() and 0 < int(there) < 65536 and int(here) < 65536):
        raise ClusterError(f"{text!r} is not PORT:HOST:PORT, such as 8080:default/search:80 or 9000:10.90.0.1:9000")
    return int(here), host, int(there)


def serve(cluster: Cluster, rule: str, *, with_parent: bool = False) -> None:
    """Forward until SIGTERM, SIGINT or, if asked, until standard input closes; print `127.0.0.1:PORT` first."""
    port, host, target = parse(rule)
    pid = cluster.node_pid()
    with network_of(_outside(pid)):
        listener = _listen(port)
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    enter_network(descriptor)
    os.close(descriptor)
    _address(cluster, host)  # a Service that does not exist is better said now
    print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    asyncio.run(_accept(cluster, listener, host, target, with_parent))


def detached(cluster: Cluster, rule: str) -> int:
    """Start a forwarder that stays until the cluster goes down; return its port here."""
    log = _log(cluster, rule)
    process, port = _spawn(cluster, rule, log)
    assert process.stdout is not None
    process.stdout.close()
    return port


@contextmanager
def forwarded(cluster: Cluster, host: str, target: int, port: int = 0) -> Iterator[int]:
    """A forwarder for the time of a `with`: yields the port on 127.0.0.1 that leads to `host:target` in the cluster.

    It ends with this process, however that ends.
    """
    rule = f"{port}:{host}:{target}"
    process, chosen = _spawn(cluster, rule, _log(cluster, rule), "--with-parent", stdin=subprocess.PIPE)
    try:
        yield chosen
    finally:
        process.terminate()
        process.communicate(timeout=START_SECONDS)


def _log(cluster: Cluster, rule: str) -> Path:
    return cluster.state.logs / f"forward-{rule.replace('/', '-').replace(':', '-')}.log"


def _outside(node_pid: int) -> int:
    """The nearest of this process and its ancestors that is not in the cluster's network.

    Whoever calls from inside (`exec`, a test) was started by someone outside, whose 127.0.0.1 a browser sees.
    """
    inside = network_id(node_pid)
    for pid in processes.lineage():
        if network_id(pid) not in (inside, None):
            return pid
    raise ClusterError("this process is inside the cluster's network and so are its parents: forward from outside")


def _spawn(
    cluster: Cluster, rule: str, log: Path, *options: str, stdin: int = subprocess.DEVNULL
) -> tuple[subprocess.Popen[str], int]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(PACKAGE), "--state", str(cluster.state.root), "forward", *options, rule],
            env=os.environ | cluster.environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    answers, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().strip() if answers else ""
    if not line:
        process.kill()
        process.communicate()
        raise ClusterError(log.read_text().strip().removeprefix("cluster: ") or f"forwarding {rule} did not start")
    return process, int(line.rpartition(":")[2])


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ClusterError(f"127.0.0.1:{port} cannot be opened ({error.strerror}): choose another port") from error
    listener.listen(64)
    listener.setblocking(False)
    return listener


async def _accept(cluster: Cluster, listener: socket.socket, host: str, target: int, with_parent: bool) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            address = await asyncio.to_thread(_address, cluster, host)
            far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(address, target), 10)
        except (OSError, TimeoutError, ClusterError) as error:
            print(f"{host}:{target}: {error}", file=sys.stderr, flush=True)
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), over.set)
    server = await asyncio.start_server(connected, sock=listener)
    await over.wait()
    server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()


def _address(cluster: Cluster, host: str) -> str:
    """The address of a host; a Service's is looked up each time, since it may be made again."""
    namespace, slash, service = host.partition("/")
    if not slash:
        return host
    try:
        found = json.loads(node.api(cluster.state, f"/api/v1/namespaces/{namespace}/services/{service}"))
    except urllib.error.HTTPError as error:
        raise ClusterError(f"no Service {host} ({error.reason}): see kubectl get services -A") from error
    address = str(found["spec"].get("clusterIP", "None"))
    if address == "None":
        raise ClusterError(f"the Service {host} has no address of its own (it is headless)")
    return address
