"""Starts the processes beside the first one, watches them, and ends them all when one is lost.

What listens, listens on the loopback device: all processes are in one pod, and nothing of it is for others. The other
processes are given their argument through the pipe that Python starts them with, which is the one thing that is pickled
here: it goes from a parent to its own child, in memory.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import distributed
from torch._C._distributed_c10d import Store, TCPStore
from torch.distributed.distributed_c10d import _abort_process_group

from bluetune_api.exit_codes import Termination, decode_termination
from bluetune_api.reasons import known_reason
from bluetune_trainer.errors import Crashed, PlanInvalid, TrainerError, as_trainer_error, of_code
from bluetune_trainer.training.ranks import told
from bluetune_trainer.training.threads import fit_threads

log = logging.getLogger(__name__)

Abandon = Callable[[TrainerError], None]
"""Ends this process with that error, whatever it is doing."""

PATIENCE = timedelta(hours=1)
"""How long a process waits for another one that lives and is busy with something else."""
JOIN = timedelta(minutes=10)
"""How long processes may take to start and find each other."""
GRACE_SECONDS = 15.0
"""How long the first process may take to notice that another one is lost."""
SETTLE_SECONDS = 3.0
"""Within which processes that end together tell which of them was the first."""
DISMISS_SECONDS = 30.0
"""How long the others may take to leave when all is done."""
_READY = b"ready"
_BROKEN = 70
"""Exit code of a process that ends because it lost another one."""
_CLEAN_UP_ONLY = "2"
"""Of TORCH_NCCL_ASYNC_ERROR_HANDLING: what waits for a lost process fails. By default torch would end this process
instead, without our exit code and message."""


def check_devices(devices: int) -> None:
    """Raise PlanInvalid where a GPU machine has fewer GPUs; on processors any number of processes can run."""
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise PlanInvalid(
            f"settings.devices is {devices}, but the pod sees {torch.cuda.device_count()} GPUs; lower it, or ask for"
            " more in podTemplate.resources"
        )


def confirm() -> None:
    """Raise if another process is lost: what this one computed since may be anything."""
    if _watch is not None and _watch.lost is not None:
        raise _watch.lost


@contextmanager
def together(
    devices: int, companion: Callable[[Any], None], argument: Any, abandon: Abandon | None = None
) -> Iterator[None]:
    """Be rank 0 of `devices` processes, in the others of which `companion(argument)` runs.

    When this one leaves as it should, the others are told None where they wait for what rank 0 tells, and end; when it
    leaves by an exception, they are killed. When another one is lost, this one leaves with that one's error, or with
    what its end says.

    Args:
        devices: processes, this one among them.
        companion: must be importable.
        argument: can be pickled.
        abandon: called if this process has not noticed the loss of another one after GRACE_SECONDS, because it waits
            for a GPU, say.
    """
    global _watch
    if devices == 1:
        yield
        return
    check_devices(devices)
    before = torch.get_num_threads()
    threads = max(fit_threads() // devices, 1)
    with _environment():
        store, port = _rendezvous(devices)
        watch = _watch = _Watch(_start(devices, port, threads, companion, argument), abandon)
        try:
            watch.await_ready()
            _join(store, 0, devices, threads)
            yield
            watch.over()
            with suppress(RuntimeError):  # one that was lost now is missed by nobody
                told(None)
        except TrainerError:
            watch.end()
            raise
        except BaseException as error:
            lost = watch.why() if isinstance(error, Exception) else None
            watch.end()
            if lost is not None:
                raise lost from error
            raise
        else:
            _leave()
            watch.dismiss()
        finally:
            _watch = None
            torch.set_num_threads(before)


@dataclass(frozen=True)
class _Companion:
    number: int
    process: BaseProcess
    words: Connection
    """What it says before it ends."""


class _Watch:
    """Of the other processes, in a thread. `lost` is why the first of them ended that should not have."""

    def __init__(self, companions: list[_Companion], abandon: Abandon | None) -> None:
        self.lost: TrainerError | None = None
        self._companions = companions
        self._abandon = abandon
        self._over = threading.Event()
        self._noticed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="companions", daemon=True)
        self._thread.start()

    def await_ready(self) -> None:
        """Until all processes run, so that what follows waits for none that never will."""
        end = time.monotonic() + JOIN.total_seconds()
        for companion in self._companions:
            while not companion.words.poll(0.2):
                confirm()
                if time.monotonic() > end:
                    raise Crashed(
                        f"process {companion.number + 1} did not start within {JOIN.total_seconds():.0f} s; the log of"
                        " the trainer may have the details",
                        reason="ProcessLost",
                    )
            try:
                companion.words.recv_bytes()
            except EOFError:
                raise self.why() or Crashed("a process ended before it began", reason="ProcessLost") from None

    def why(self) -> TrainerError | None:
        """Why another process was lost, if one was; asked when this one lost a connection, say."""
        self._noticed.wait(SETTLE_SECONDS + 2)
        return self.lost

    def over(self) -> None:
        """From now on the others may end."""
        self._over.set()
        self._thread.join()

    def end(self) -> None:
        """End the others."""
        self.over()
        for companion in self._companions:
            companion.process.kill()
        self._reap()
        _leave(broken=True)

    def dismiss(self) -> None:
        """See the others leave."""
        deadline = time.monotonic() + DISMISS_SECONDS
        for companion in self._companions:
            companion.process.join(max(deadline - time.monotonic(), 0))
            companion.process.kill()
        self._reap()

    def _reap(self) -> None:
        for companion in self._companions:
            companion.process.join()
            companion.words.close()

    def _look(self) -> None:
        sentinels = [companion.process.sentinel for companion in self._companions]
        while not wait(sentinels, 0.2):
            if self._over.is_set():
                return
        lost = self._cause()
        if lost is None:
            return
        log.error("a process is lost", extra={"reason": lost.reason, "error": lost.message})
        self.lost = lost
        self._noticed.set()
        for companion in self._companions:
            companion.process.kill()
        if torch.cuda.is_available() and distributed.is_initialized():
            _abort_process_group()  # a GPU waits for the lost one for as long as PATIENCE
        if not self._over.wait(GRACE_SECONDS) and self._abandon is not None:
            self._abandon(lost)

    def _cause(self) -> TrainerError | None:
        """Of those that ended by now or within moments, the one that did not end for the sake of another.

        None if they may end by now.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._over.wait(0.1):
            ended = [c for c in self._companions if c.process.exitcode is not None]
            own = [c for c in ended if c.process.exitcode != _BROKEN]
            if own or (ended and time.monotonic() > deadline):
                first = (own or ended)[0]
                words = _last_words(first.words)
                return cause(first.number, len(self._companions) + 1, first.process.exitcode or 0, words)
        return None


_watch: _Watch | None = None


def _last_words(words: Connection) -> bytes:
    """What a process that ended said last."""
    said = b""
    with suppress(EOFError, OSError):
        while words.poll():
            said = words.recv_bytes()
    return said


def cause(number: int, devices: int, code: int, words: bytes) -> TrainerError:
    """Why a process ended, by what it said before, or else by its exit code (below 0: a signal)."""
    said = decode_termination(words.decode(errors="replace"))
    if said is not None:
        return of_code(code)(said.message, reason=known_reason(said.reason))
    who = f"process {number + 1} of {devices} (settings.devices)"
    if code == -signal.SIGKILL:
        what = (
            "was killed; most likely the pod's memory did not suffice: give it more in podTemplate.resources, or lower"
            " settings.batchSize or settings.devices"
        )
    elif code < 0:
        what = f"was ended by {signal.Signals(-code).name}; the log of the trainer may have the details"
    else:
        what = f"ended with exit code {code}; the log of the trainer has the details"
    return Crashed(f"{who} {what}", reason="ProcessLost")


@contextmanager
def _environment() -> Iterator[None]:
    """What gloo and NCCL are told: here and, as they inherit it, in the others."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    wanted = {
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": _CLEAN_UP_ONLY,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _rendezvous(devices: int) -> tuple[Store, int]:
    """Where the processes find each other, and its port. By itself TCPStore would listen on every address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=devices)
    port = listener.getsockname()[1]
    store = TCPStore(
        "127.0.0.1",
        port,
        devices,
        is_master=True,
        wait_for_workers=False,
        timeout=JOIN,
        master_listen_fd=listener.detach(),
    )
    return store, port


def _start(devices: int, port: int, threads: int, companion: Callable[[Any], None], argument: Any) -> list[_Companion]:
    context = multiprocessing.get_context("spawn")
    started: list[_Companion] = []
    # A terminal's Ctrl-C asks all processes: only the first one is to hear it, and it ends the others.
    deaf = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        for number in range(1, devices):
            words, speaks = context.Pipe(duplex=False)
            arguments = (number, devices, port, threads, companion, argument, speaks)
            process = context.Process(target=_run, args=arguments, daemon=True)
            process.start()
            speaks.close()
            started.append(_Companion(number, process, words))
    except BaseException:
        for one in started:
            one.process.kill()
            one.process.join()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, deaf)
    return started


def _run(
    number: int,
    devices: int,
    port: int,
    threads: int,
    companion: Callable[[Any], None],
    argument: Any,
    words: Connection,
) -> None:
    """A companion's life."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = 0
    try:
        words.send_bytes(_READY)
        store = TCPStore("127.0.0.1", port, devices, is_master=False, timeout=JOIN)
        _join(store, number, devices, threads)
        companion(argument)
        _leave()
    except BaseException as error:
        code = _BROKEN
        if not _of_another(error):
            ending = as_trainer_error(error)
            code = int(ending.exit_code)
            if isinstance(ending, Crashed):
                traceback.print_exception(error)
            words.send_bytes(Termination(reason=ending.reason, message=ending.message[:4096]).encode().encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # whatever threads of torch still wait for


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this process is a child
    parent.join()
    os._exit(_BROKEN)


def _of_another(error: BaseException) -> bool:
    """Whether an exception says no more than that another process is gone."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _join(store: Store, number: int, devices: int, threads: int) -> None:
    torch.set_num_threads(threads)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, store=store, rank=number, world_size=devices, timeout=PATIENCE)


def _leave(*, broken: bool = False) -> None:
    if not distributed.is_initialized():
        return
    if broken and torch.cuda.is_available():
        _abort_process_group()
    else:
        distributed.destroy_process_group()
