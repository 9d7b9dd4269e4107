"""Finding and ending processes by the mark that they carry in their environment (see paths.MARKER)."""

import os
import signal
import time
from pathlib import Path

from .paths import MARKER, State

NODE_COMMAND = "_node"
"""The command of the cluster's first process."""


def marked(state: State) -> list[int]:
    """Processes of a cluster that are visible from here, without the caller and its ancestors."""
    mark = f"{MARKER}={state.root}".encode()
    own = lineage()
    return [pid for pid in _pids() if pid not in own and mark in _read(pid, "environ").split(b"\0")]


def node(state: State) -> int | None:
    """The process that is number 1 in the cluster's namespaces, by the number that it has here."""
    mark = f"{MARKER}={state.root}".encode()
    for pid in _pids():
        arguments = _read(pid, "cmdline").split(b"\0")
        if NODE_COMMAND.encode() not in arguments or mark not in _read(pid, "environ").split(b"\0"):
            continue
        numbers = next((line for line in _read(pid, "status").splitlines() if line.startswith(b"NSpid:")), b"").split()
        if len(numbers) > 2 and numbers[-1] == b"1":
            return pid
    return None


def end_all(state: State, seconds: float = 15.0) -> list[int]:
    """End a cluster's processes, the node first, and return those that are still there when time is up."""
    if first := node(state):
        _signal(first, signal.SIGKILL)
    for pid in marked(state):
        _signal(pid, signal.SIGTERM)
    begun = time.monotonic()
    while left := marked(state):
        if time.monotonic() - begun > seconds:
            return left
        if time.monotonic() - begun > 3:
            for pid in left:
                _signal(pid, signal.SIGKILL)
        time.sleep(0.05)
    return []


def resident_mib(pid: int) -> float:
    """A process's resident memory."""
    for line in _read(pid, "status").splitlines():
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def command_name(pid: int) -> str:
    """The name of a process's program."""
    return Path(_read(pid, "cmdline").split(b"\0")[0].decode(errors="replace")).name


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:  # gone meanwhile, or a kernel thread
        return b""


def lineage() -> list[int]:
    """This process, its parent, and so on up to the first process, which is left out."""
    found, pid = [], os.getpid()
    while pid > 1:
        found.append(pid)
        after_name = _read(pid, "stat").rpartition(b")")[2].split()
        pid = int(after_name[1]) if len(after_name) > 1 else 0
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
