"""What the other processes do in the tests of processes that work together: a spawned one imports it by its name.

Without transformers and Lightning, which take seconds to import in each of them.
"""

import multiprocessing
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import distributed

from bluetune_trainer.training.launch import together
from bluetune_trainer.training.ranks import agree, rank, told


def raise_at_rank_1(error: BaseException) -> None:
    """The other ranks wait for what never comes."""
    if rank() == 1:
        raise error
    told(None)


def kill_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(300)


class NotForOthers:
    """Can be pickled, and not be made again."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _refuse, ()


def _refuse() -> None:
    raise ImportError("no such module here")


def listening(_: object = None) -> list[str]:
    """Addresses on which this process listens."""
    own = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                address = fields[1].partition(":")[0]
                found.append(socket.inet_ntoa(struct.pack("<I", int(address, 16))) if table == "tcp" else address)
    return found


def answer(_: object) -> None:
    """What a companion sees of what rank 0 tells, and where it listens."""
    order = told(None)
    seen = f"{order}|{sorted(set(listening()))}".encode().ljust(200)
    distributed.broadcast(torch.frombuffer(bytearray(seen), dtype=torch.uint8), src=1)
    os.kill(os.getpid(), signal.SIGTERM)  # a terminal's, say: the first process decides
    os.kill(os.getpid(), signal.SIGINT)
    assert told(None) is None


def disagree(_: object) -> None:
    agree(7, "the inputs")
    agree(8, "the inputs")
    told(None)


def wait_for_ever(_: object) -> None:
    told(None)


def be_first(pids: Connection) -> None:
    """A first process that tells its companion's id, and is killed from outside."""
    with together(2, wait_for_ever, None):
        (child,) = multiprocessing.active_children()
        pids.send_bytes(str(child.pid).encode())
        time.sleep(300)
