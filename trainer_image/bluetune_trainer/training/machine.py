"""What a run computes on: found once, when it begins, and said."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from bluetune_trainer.errors import GpuNotVisible
from bluetune_trainer.training.threads import fit_threads

MEMORY_MAX = Path("/sys/fs/cgroup/memory.max")
DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Machine:
    """The device of this process, and how many of its kind there are."""

    device: str
    """`cuda` or `cpu`, as torch calls them."""
    name: str
    """Maker's name of the GPU, or "CPU"."""
    count: int
    """GPUs, or threads of the CPU."""
    memory_bytes: int
    """Memory of one GPU or of the container, in bytes."""

    def in_words(self) -> str:
        """For people, such as "1 x NVIDIA H200, 139 GiB each" or "CPU, 2 threads, 8 GiB"."""
        memory = f"{self.memory_bytes / 2**30:.0f} GiB"
        if self.device == "cuda":
            return f"{self.count} x {self.name}, {memory} each"
        return f"{self.name}, {self.count} thread{'s' if self.count > 1 else ''}, {memory}"


def find_machine(asked: int = 0) -> Machine:
    """What torch can use here.

    Args:
        asked: GPUs that the container asked for.

    Raises:
        GpuNotVisible: it asked for some, and torch can use none. On the CPU a run would take far longer, and hold the
            GPUs meanwhile.
    """
    problem = why_no_gpu()
    if problem is None:
        properties = torch.cuda.get_device_properties(0)
        return Machine("cuda", properties.name, torch.cuda.device_count(), properties.total_memory)
    if asked:
        raise GpuNotVisible(
            f"the container asks for {asked} GPU{'s' if asked > 1 else ''} (podTemplate.resources), and torch can use"
            f" none, so the run would go on the CPU: {problem}; {driver()}, and this torch is made for CUDA"
            f" {torch.version.cuda or '(none)'}. Choose nodes with a driver for it, set podTemplate.runtimeClassName to"
            " nvidia if the cluster has that, or use an image whose torch fits the driver"
        )
    return Machine("cpu", "CPU", fit_threads(), memory())


def why_no_gpu() -> str | None:
    """Why torch cannot compute on a GPU, in its own words; None if it can."""
    try:
        (torch.ones(1, device="cuda") + 1).item()  # a GPU that this torch has no code for shows only here
    except (RuntimeError, AssertionError) as error:
        return " ".join(str(error).split("CUDA kernel errors might be")[0].split())
    return None


def driver(version: Path = DRIVER) -> str:
    """The NVIDIA driver that the kernel has loaded, in words."""
    try:
        line = version.read_text().partition("\n")[0]
    except OSError:
        return "no NVIDIA driver is loaded here"
    return f"the driver is {' '.join(line.removeprefix('NVRM version:').split())}"


def memory(memory_max: Path = MEMORY_MAX) -> int:
    """Bytes that this container may use: its limit, or all that the machine has."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = memory_max.read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole
