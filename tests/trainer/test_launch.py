"""Processes that work together end together: whichever is lost, however, the first one says why."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from bluetune_trainer.errors import Crashed, DataInvalid, PluginFailed, TrainerError
from bluetune_trainer.training import launch
from bluetune_trainer.training.launch import cause, together
from bluetune_trainer.training.ranks import agree, rank, told, world
from trainer.launch_companions import (
    NotForOthers,
    answer,
    be_first,
    disagree,
    kill_itself,
    listening,
    raise_at_rank_1,
)

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("code", "words", "kind", "reason", "text"),
    [
        (12, '{"reason": "PluginFailed", "message": "x raised"}', PluginFailed, "PluginFailed", "x raised"),
        (1, '{"reason": "OutOfMemory", "message": "lower it"}', Crashed, "OutOfMemory", "lower it"),
        (-9, "", Crashed, "ProcessLost", "process 2 of 4 (settings.devices) was killed; most likely the pod's memory"),
        (-9, "ready", Crashed, "ProcessLost", "was killed"),
        (-11, "", Crashed, "ProcessLost", "process 2 of 4 (settings.devices) was ended by SIGSEGV"),
        (1, "no JSON", Crashed, "ProcessLost", "process 2 of 4 (settings.devices) ended with exit code 1"),
    ],
)
def test_a_lost_process_is_told_by_its_last_words_or_else_by_its_exit_code(
    code: int, words: str, kind: type[TrainerError], reason: str, text: str
) -> None:
    error = cause(1, 4, code, words.encode())
    assert (type(error), error.reason) == (kind, reason)
    assert text in error.message


@pytest.mark.parametrize(
    ("companion", "argument", "devices", "kind", "reason", "text"),
    [
        (raise_at_rank_1, DataInvalid("three lines are broken"), 3, DataInvalid, "DataInvalid", "three lines"),
        (raise_at_rank_1, MemoryError(), 2, Crashed, "OutOfMemory", "ran out of memory"),
        (kill_itself, signal.SIGKILL, 2, Crashed, "ProcessLost", "process 2 of 2 (settings.devices) was killed"),
        (kill_itself, NotForOthers(), 2, Crashed, "ProcessLost", "ended with exit code 1"),
    ],
)
def test_the_first_process_ends_with_the_reason_of_the_one_that_was_lost(
    companion: Callable[[Any], None], argument: Any, devices: int, kind: type[TrainerError], reason: str, text: str
) -> None:
    with pytest.raises(TrainerError) as raised, together(devices, companion, argument):
        distributed.broadcast(torch.zeros(1), src=1)  # never comes
    assert (type(raised.value), raised.value.reason) == (kind, reason)
    assert text in raised.value.message
    assert not distributed.is_initialized()
    assert not multiprocessing.active_children()


def test_a_first_process_that_cannot_leave_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.1)
    ended: list[TrainerError] = []

    def work() -> None:
        with together(2, kill_itself, signal.SIGKILL, ended.append):
            while not ended:  # as a thread that waits for a GPU
                time.sleep(0.05)
            launch.confirm()

    with pytest.raises(Crashed, match="was killed"):
        work()
    assert [error.reason for error in ended] == ["ProcessLost"]


def test_processes_tell_each_other_plain_data_over_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def pickles(*_: object, **__: object) -> None:
        raise AssertionError("an object was pickled")

    monkeypatch.setattr("torch.distributed.distributed_c10d._object_to_tensor", pickles)
    threads = torch.get_num_threads()
    with together(2, answer, None):
        assert (world(), rank()) == (2, 0)
        assert set(listening()) == {"127.0.0.1"}
        order = {"rate": 0.1, "most": float("inf"), "name": "ä", "nothing": None, "list": [1, True]}
        assert told(order) == order
        seen = torch.zeros(200, dtype=torch.uint8)
        distributed.broadcast(seen, src=1)
        assert seen.numpy().tobytes().decode().strip() == f"{order}|['127.0.0.1']"
    assert (world(), torch.get_num_threads()) == (1, threads)
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_processes_that_prepare_different_things_end_before_they_train() -> None:
    def work() -> None:
        with together(2, disagree, None):
            agree(7, "the inputs")
            agree(9, "the inputs")
            distributed.broadcast(torch.zeros(1), src=1)

    with pytest.raises(PluginFailed, match="every process prepares the inputs, and they came out different"):
        work()


@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_others_end_with_a_first_process_that_was_killed() -> None:
    context = multiprocessing.get_context("spawn")
    pids, theirs = context.Pipe(duplex=False)
    first = context.Process(target=be_first, args=(theirs,))
    first.start()
    assert pids.poll(240)
    other = int(pids.recv_bytes())
    assert Path(f"/proc/{other}").exists()
    first.kill()
    first.join()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{other}").exists() and "State:\tZ" not in Path(f"/proc/{other}/status").read_text():
        assert time.monotonic() < deadline, "the other process lives on"
        time.sleep(0.1)
