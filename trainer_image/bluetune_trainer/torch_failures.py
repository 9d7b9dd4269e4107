"""What an exception of torch means for a user. torch is not imported: its exceptions are known by name and words."""

from typing import NamedTuple

from bluetune_api.reasons import Reason

_OUT_OF_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_OUT_OF_HOST_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
_OF_A_DEVICE = ("CUDA error:", "CUDA driver error:", "NCCL error", "CUBLAS_STATUS_", "CUDNN_STATUS_", "cuDNN error:")
_OF_A_PROGRAM = (
    "device-side assert",
    "illegal memory access",
    "invalid argument",
    "invalid configuration argument",
    "misaligned address",
    "no kernel image",
)
"""Errors of a device that a wrong program causes, and another device would not mend."""
MAX_CHARACTERS = 300


class Failure(NamedTuple):
    """A reason, and a message for users."""

    reason: Reason
    message: str


def torch_failure(error: BaseException) -> Failure | None:
    """Why torch raised: memory that did not suffice, or a device that failed; None for anything else."""
    name, text = type(error).__name__, str(error)
    if any(words in text for words in _OUT_OF_HOST_MEMORY):
        return Failure(
            "OutOfMemory",
            f"the trainer ran out of memory ({_short(text)}); give its pod more, or lower settings.batchSize",
        )
    if name == "OutOfMemoryError" or any(words in text for words in _OUT_OF_MEMORY):
        return Failure("OutOfMemory", f"the GPU's memory did not suffice ({_short(text)}); lower settings.batchSize")
    if any(words in text for words in _OF_A_PROGRAM):
        return None
    if name == "AcceleratorError" or any(words in text for words in _OF_A_DEVICE):
        return Failure(
            "DeviceLost",
            f"a GPU, or the way between GPUs, failed ({_short(text)}); the next attempt goes on from the last"
            " checkpoint. If it comes again, look for Xid in the node's kernel log",
        )
    return None


def _short(text: str) -> str:
    """In one line, without torch's advice to programmers."""
    words = " ".join(text.split("CUDA kernel errors might be")[0].split())
    return words if len(words) <= MAX_CHARACTERS else words[:MAX_CHARACTERS] + "…"
