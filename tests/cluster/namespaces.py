"""Moving a thread into a network namespace and back: the cluster's network without another process."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_network(descriptor: int) -> None:
    """Move the calling thread into the network namespace that an open /proc/PID/ns/net stands for.

    Threads and processes that it starts from then on are there too; those it has stay where they are.
    """
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"entering the network namespace failed: {os.strerror(number)}")


def network_id(pid: int) -> int | None:
    """What tells network namespaces apart, or None if the process is gone or not ours to look at."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of process `pid` for the time of a `with`."""
    before, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        enter_network(there)
        yield
    finally:
        enter_network(before)
        os.close(there)
        os.close(before)
