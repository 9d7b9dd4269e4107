"""As many threads as the container may use: torch counts the node's processors, and knows nothing of a CPU limit."""

import math
from pathlib import Path

import torch

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def fit_threads() -> int:
    """Lower torch's threads to the container's CPU limit, if there is one; never raise them. Returns what is set."""
    try:
        limit = cpu_limit(CPU_MAX.read_text())
    except OSError:
        limit = None
    if limit is not None and limit < torch.get_num_threads():
        torch.set_num_threads(limit)
    return torch.get_num_threads()


def cpu_limit(cpu_max: str) -> int | None:
    """Processors that a cgroup's `cpu.max` (`quota period` in microseconds) allows, rounded up; None: no limit."""
    quota, _, period = cpu_max.strip().partition(" ")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(math.ceil(int(quota) / int(period)), 1)
