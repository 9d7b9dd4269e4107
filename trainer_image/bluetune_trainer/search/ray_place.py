"""Trials in worker processes that Ray starts on this machine: those of a rung at the same time.

What the search decides depends on what trials came to, and never on which worker was faster or died. Ray listens on the
loopback device alone, and asks for a token that this process makes up; its dashboard and its usage statistics are off.
"""

import importlib
import logging
import os
import pickle
import random
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Event
from typing import Any

import torch

from bluetune_api.exit_codes import ExitCode
from bluetune_api.reasons import known_reason
from bluetune_api.retries import with_retries
from bluetune_trainer.errors import Crashed, PlanInvalid, TrainerError, of_code, raise_if
from bluetune_trainer.search.place import Failed, Heard
from bluetune_trainer.search.trial_worker import Ending, Reply, Seen, TrialWorker
from bluetune_trainer.training.companions import Preparation
from bluetune_trainer.training.threads import threads_of_each
from bluetune_trainer.training.trial import Order, TrialRun

log = logging.getLogger(__name__)

START_SECONDS = 300.0
"""How long Ray, and then a worker, may take to start."""
START_ATTEMPTS = 3
"""To start Ray."""
LEAVE_SECONDS = 60.0
"""How long workers may take to leave their trials with a checkpoint."""
LOOK_SECONDS = 0.5
"""Between two looks at the workers."""
MOST_LOSSES = 3
"""Workers that may be lost with one trial."""
LONGEST_PAUSE = 30.0
"""Before a worker takes the place of a lost one."""
BESIDE = "beside"
"""Ray's group of calls that a worker answers while it trains."""


@cache
def _token() -> str:
    return secrets.token_hex(32)


def _environment(threads: int) -> dict[str, str]:
    """What Ray is told: here, before it is imported, and as its processes inherit it."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _token(),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the switch for listening on the loopback device alone
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def ray_place(workers: int, begin: Preparation, checkpoint_seconds: float, stop: Event) -> Iterator["RayPlace"]:
    """Start Ray and the workers, and end them. This process computes with as many threads as a worker meanwhile.

    Raises:
        PlanInvalid: Ray cannot be started.
        Stopped: `stop` was set meanwhile.
    """
    before, threads = torch.get_num_threads(), threads_of_each(workers)
    scratch = tempfile.TemporaryDirectory(prefix="bluetune-ray-", ignore_cleanup_errors=True)
    with _set(_environment(threads)), scratch as folder, _ray(workers, Path(folder), stop) as ray:
        torch.set_num_threads(threads)
        try:
            yield RayPlace(ray, workers, threads, begin, checkpoint_seconds, stop)
        finally:
            torch.set_num_threads(before)


@contextmanager
def _set(wanted: Mapping[str, str]) -> Iterator[None]:
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


@contextmanager
def _ray(workers: int, folder: Path, stop: Event) -> Iterator[Any]:
    """Ray, as long as it is needed.

    It is started by a thread of its own. In the main thread it would take SIGTERM for itself; and its processes end
    with the thread that started them.
    """
    started, over = Event(), Event()
    failure: list[BaseException] = []

    def life() -> None:
        try:
            ray = importlib.import_module("ray")
            # on a machine that is busy, Ray gives its own processes up after 30 s
            with_retries(
                partial(_init, ray, workers, folder),
                retryable=lambda error: not over.is_set(),
                attempts=START_ATTEMPTS,
                base_seconds=5.0,
            )
        except BaseException as error:
            failure.append(error)
            return
        finally:
            started.set()
        over.wait()
        ray.shutdown()

    thread = threading.Thread(target=life, name="ray", daemon=True)
    thread.start()
    try:
        end = time.monotonic() + START_SECONDS
        while not started.wait(0.1):
            raise_if(stop)
            if time.monotonic() > end:
                raise _no_ray(f"it did not start within {START_SECONDS:.0f} s")
        if failure:
            raise _no_ray(f"{type(failure[0]).__name__}: {failure[0]}") from failure[0]
        yield importlib.import_module("ray")
    finally:
        over.set()
        thread.join(START_SECONDS if started.is_set() else 0)


def _init(ray: Any, workers: int, folder: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=workers,
            num_gpus=workers if torch.cuda.is_available() else 0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except BaseException:
        ray.shutdown()
        raise


def _no_ray(why: str) -> PlanInvalid:
    return PlanInvalid(
        f"--workers: Ray, of the extra `ray` (pip install 'bluetune[ray]'), cannot be started: {why}; leave"
        " --workers out, or try again when the machine is less busy"
    )


@dataclass
class _Worker:
    number: int
    """Of all that were started."""
    actor: Any
    ready: Any
    began: float
    folder: Path
    order: Order | None = None
    running: Any = None
    """What its run will answer."""
    looking: Any = None
    """What its look will answer."""
    checkpoints: int = 0
    """Of the present run, which the first process keeps."""


class RayPlace:
    """Workers of this machine."""

    def __init__(
        self, ray: Any, workers: int, threads: int, begin: Preparation, checkpoint_seconds: float, stop: Event
    ) -> None:
        self.at_once = workers
        self._ray = ray
        self._threads = threads
        self._scratch = begin.workdir / "workers"
        # Ray would hand arrays over as views of memory that nobody may write
        self._begin = ray.put(pickle.dumps(begin))
        self._checkpoint_seconds = checkpoint_seconds
        self._stop = stop
        self._started = 0
        gpu = {"num_gpus": 1} if torch.cuda.is_available() else {}
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, concurrency_groups={BESIDE: 1}, **gpu)(
            TrialWorker
        )
        self._workers = [self._new() for _ in range(workers)]

    def run(self, orders: Sequence[Order], heard: Heard) -> Iterator[tuple[Order, TrialRun | Failed]]:
        waiting, losses = deque(orders), Counter[int]()
        leave_by: float | None = None
        while waiting or any(worker.order is not None for worker in self._workers):
            if self._stop.is_set() and leave_by is None:
                leave_by = time.monotonic() + LEAVE_SECONDS
                waiting.clear()
                for worker in self._workers:
                    worker.actor.leave.options(concurrency_group=BESIDE).remote()
            if leave_by is not None and time.monotonic() > leave_by:
                break
            for worker in self._workers:
                if worker.order is None and waiting:
                    self._give(worker, waiting.popleft())
            for worker in self._ended():
                order = worker.order
                assert order is not None  # noqa: S101 - it ended something
                reply = self._reply(worker)
                if reply is None:
                    losses[order.number] += 1
                    self._replace(worker, order, losses[order.number])
                    if not self._stop.is_set():
                        waiting.appendleft(order)
                    continue
                came = self._judge(worker, order, reply, heard)
                if came is not None:
                    yield order, came
            self._hear(heard)
        raise_if(self._stop)

    def _new(self) -> _Worker:
        number, self._started = self._started, self._started + 1
        folder = self._scratch / str(number)
        actor = self._actor.remote(list(sys.path), self._threads)
        ready = actor.ready.remote()
        actor.prepare.remote(self._begin, folder, self._checkpoint_seconds)
        return _Worker(number, actor, ready, time.monotonic(), folder)

    def _give(self, worker: _Worker, order: Order) -> None:
        worker.order, worker.looking, worker.checkpoints = order, None, 0
        worker.running = worker.actor.run.remote(order)

    def _ended(self) -> list[_Worker]:
        """Workers whose run has an answer, or never will; waits for the first of them, but not long."""
        busy = [worker for worker in self._workers if worker.order is not None]
        done, _ = self._ray.wait([worker.running for worker in busy], num_returns=1, timeout=LOOK_SECONDS)
        for worker in busy:
            late = time.monotonic() - worker.began > START_SECONDS
            if late and not self._ray.wait([worker.ready], timeout=0)[0]:
                raise Crashed(
                    f"Ray started no worker within {START_SECONDS:.0f} s; the same command goes on with the run",
                    reason="ProcessLost",
                )
        return [worker for worker in busy if worker.running in done]

    def _reply(self, worker: _Worker) -> Reply | None:
        """What came of its order; None if the worker is lost."""
        try:
            reply: Reply = self._ray.get(worker.running)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            log.warning(
                "a worker is lost, and another one takes its place",
                extra={"worker": worker.number, "trial": worker.order and worker.order.number, "error": str(error)},
            )
            return None
        return reply

    def _judge(self, worker: _Worker, order: Order, reply: Reply, heard: Heard) -> TrialRun | Failed | None:
        """The answer to an order; None if the worker left the trial because it was asked to.

        Raises TrainerError if the run cannot go on.
        """
        ending, came = reply.ending, reply.came
        left = ending is not None and ending.exit_code == ExitCode.STOPPED
        if reply.seen.checkpoints > worker.checkpoints and (left or (isinstance(came, TrialRun) and came.paused)):
            heard.keep(order.number)
        heard.step(order.number, reply.seen.share, reply.seen.epoch, reply.seen.seconds)
        worker.order = None
        if ending is not None and not left:
            raise _as_error(ending)
        return came

    def _replace(self, worker: _Worker, order: Order, losses: int) -> None:
        """Start another one in place of one that is lost. Raises Crashed if that happened too often to its trial."""
        worker.order = None
        shutil.rmtree(worker.folder, ignore_errors=True)
        if losses >= MOST_LOSSES:
            raise Crashed(
                f"{losses} workers were lost with trial {order.number}; most likely the machine's memory did not"
                " suffice: lower --workers or settings.batchSize. The same command goes on with the run",
                reason="ProcessLost",
            )
        self._stop.wait(random.uniform(0, min(LONGEST_PAUSE, 2.0**losses)))
        if not self._stop.is_set():
            self._workers[self._workers.index(worker)] = self._new()

    def _hear(self, heard: Heard) -> None:
        """Pass on how far the workers are, and keep the checkpoints that they wrote."""
        for worker in self._workers:
            if worker.order is None:
                continue
            if worker.looking is None:
                worker.looking = worker.actor.look.options(concurrency_group=BESIDE).remote()
                continue
            if not self._ray.wait([worker.looking], timeout=0)[0]:
                continue
            looking, worker.looking = worker.looking, None
            try:
                seen: Seen = self._ray.get(looking)
            except self._ray.exceptions.RayError:
                continue  # the worker is lost: so says its run
            if seen.trial != worker.order.number:
                continue
            heard.step(seen.trial, seen.share, seen.epoch, seen.seconds)
            if seen.checkpoints > worker.checkpoints:
                worker.checkpoints = seen.checkpoints
                heard.keep(seen.trial)


def _as_error(ending: Ending) -> TrainerError:
    if ending.details:
        log.error("a worker ended", extra={"reason": ending.reason, "details": ending.details})
    return of_code(ending.exit_code)(ending.message, reason=known_reason(ending.reason))
