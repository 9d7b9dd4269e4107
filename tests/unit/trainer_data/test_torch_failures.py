"""What users read of an exception of torch: memory that did not suffice, a device that failed, or neither."""

import pytest
import torch

from bluetune_trainer.errors import as_trainer_error

ECC = (
    "CUDA error: uncorrectable ECC error encountered\nSearch for `cudaErrorECCUncorrectable' in https://docs.nvidia.com"
    "\nCUDA kernel errors might be asynchronously reported at some other API call\nCompile with `TORCH_USE_CUDA_DSA`"
)
NCCL = (
    "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error, NCCL version 2.28\n"
    "Last error:\nError while creating shared memory segment /dev/shm/nccl-gkZKQp (size 9637888)"
)


class AcceleratorError(RuntimeError):
    """By the name of torch's."""


@pytest.mark.parametrize(
    ("error", "reason", "part"),
    [
        (AcceleratorError(ECC), "DeviceLost", "uncorrectable ECC"),
        (RuntimeError(NCCL), "DeviceLost", "shared memory segment /dev/shm"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
            "DeviceLost",
            "CUBLAS",
        ),
        (AcceleratorError("CUDA error: the launch timed out and was terminated"), "DeviceLost", "timed out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "OutOfMemory", "settings.batchSize"),
        (AcceleratorError("CUDA error: out of memory"), "OutOfMemory", "GPU's memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"), "OutOfMemory", "GPU's memory"),
        (MemoryError(), "OutOfMemory", "give its pod more"),
        (AcceleratorError("CUDA error: device-side assert triggered"), "TrainerCrashed", "device-side assert"),
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), "TrainerCrashed", "illegal"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "TrainerCrashed", "mat1"),
    ],
)
def test_a_failure_of_torch_has_its_reason(error: Exception, reason: str, part: str) -> None:
    ending = as_trainer_error(error)
    assert (ending.reason, ending.exit_code) == (reason, 1)
    assert part in ending.message
    assert "asynchronously" not in ending.message


def test_memory_that_the_processors_allocator_does_not_get_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    ending = as_trainer_error(caught.value)
    assert ending.reason == "OutOfMemory"
    assert "give its pod more" in ending.message
