"""What a run computes on, and that it does not go on without the GPUs that were asked for."""

from pathlib import Path

import pytest
import torch

from bluetune_trainer.errors import GpuNotVisible
from bluetune_trainer.training.machine import Machine, driver, find_machine, memory

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@without_gpu
@pytest.mark.parametrize(("asked", "words"), [(1, "asks for 1 GPU ("), (4, "asks for 4 GPUs (")])
def test_a_gpu_that_was_asked_for_and_is_not_there_ends_the_run(asked: int, words: str) -> None:
    with pytest.raises(GpuNotVisible) as caught:
        find_machine(asked)
    said = caught.value.message
    assert caught.value.exit_code == 14
    assert words in said
    assert "NVIDIA driver" in said  # torch's own words
    assert "runtimeClassName" in said


@without_gpu
def test_a_machine_without_gpus_is_said_to_be_one() -> None:
    machine = find_machine()
    assert machine.device == "cpu"
    assert machine.in_words().startswith("CPU, ")
    assert machine.memory_bytes > 0


def test_a_gpu_is_named_with_its_memory() -> None:
    assert Machine("cuda", "NVIDIA H200", 2, 139 << 30).in_words() == "2 x NVIDIA H200, 139 GiB each"


def test_the_driver_is_named(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version:  x\n")
    assert driver(file) == "the driver is NVIDIA UNIX x86_64 Kernel Module 535.183.01 Sun May 12"
    assert driver(tmp_path / "none") == "no NVIDIA driver is loaded here"


def test_memory_is_the_containers_limit_or_the_machines(tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    file.write_text("1048576\n")
    assert memory(file) == 1048576
    file.write_text("max\n")
    assert memory(file) == memory(tmp_path / "none") > 1048576
