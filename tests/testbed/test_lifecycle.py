"""A second cluster beside the one of the session: it comes, is killed, and leaves nothing."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import processes
from cluster.errors import ClusterError
from cluster.forward import forwarded
from cluster.lifecycle import Cluster
from cluster.paths import State


@pytest.fixture(scope="module")
def second() -> Iterator[Cluster]:
    """A cluster with a state folder of its own; the caller stays outside of its network."""
    cluster = Cluster(State(Path(f"/run/bluetune-test-{os.getpid()}")))
    cluster.up()
    yield cluster
    cluster.down()


def groups(cluster: Cluster) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/{cluster.state.cgroup}"))


def test_it_runs_beside_another_one_and_up_does_nothing_more(second: Cluster) -> None:
    assert second.is_up()
    assert second.up() is False
    assert "node1" in second.run("kubectl", "get", "nodes", "-o", "name")


def test_a_forwarded_port_is_open_while_it_is_asked_for(second: Cluster) -> None:
    with forwarded(second, "10.90.0.1", 9000) as port:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_service_that_does_not_exist_cannot_be_forwarded(second: Cluster) -> None:
    with pytest.raises(ClusterError, match="no Service default/nothing"), forwarded(second, "default/nothing", 80):
        pass


def test_the_kubelet_is_started_again_when_it_ends(second: Cluster) -> None:
    def kubelets() -> list[int]:
        return [pid for pid in processes.marked(second.state) if processes.command_name(pid) == "kubelet"]

    (before,) = kubelets()
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not (now := kubelets()) or now == [before]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second.run("kubectl", "wait", "--for=condition=Ready", "node/node1", "--timeout=60s", timeout=70)
    assert "kubelet -9" in (second.state.root / "ended").read_text()


def test_killed_all_at_once_it_still_goes_down_without_a_trace(second: Cluster) -> None:
    inside = subprocess.Popen(second.command(["sleep", "300"]), env=os.environ | second.environment())
    deadline = time.monotonic() + 10
    while inside.pid not in (everything := processes.marked(second.state)):  # a process has no environment at once
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(everything) > 10
    for pid in everything:
        with contextlib.suppress(ProcessLookupError):  # the namespace's first process takes the others with it
            os.kill(pid, signal.SIGKILL)
    inside.wait(timeout=10)
    second.down()
    assert processes.marked(second.state) == []
    assert not second.state.root.exists()
    assert not second.state.images.exists()
    assert str(second.state.root) not in Path("/proc/mounts").read_text()
    assert groups(second) == []
    assert not second.is_up()


def test_it_comes_up_again_after_that(second: Cluster) -> None:
    assert second.up() is True
    second.down()
    with pytest.raises(ClusterError, match="make up"):
        second.node_pid()
