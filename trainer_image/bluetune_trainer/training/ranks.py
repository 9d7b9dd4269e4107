"""Several processes, a device each, that compute the steps of one trial together.

What is divided is the encoding: each rank encodes its share of a batch's different texts, all ranks gather all vectors,
and each computes the whole batch's loss, which costs little. So in-batch negatives come from the whole batch, a text is
encoded once, and the loss is that of one process, whatever the loss is. A rank's gradient is that of the whole loss
through its own texts; their sum over ranks is the gradient of the batch. DDP takes the mean, hence a factor.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from bluetune_trainer.errors import PluginFailed

_alone = False


@contextmanager
def alone() -> Iterator[None]:
    """What rank 0 does here, rank 0 does by itself: the others wait for what rank 0 tells them next."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def world() -> int:
    """Processes that work together."""
    return distributed.get_world_size() if distributed.is_initialized() and not _alone else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() and not _alone else 0


def device() -> torch.device:
    """Device of this process."""
    return torch.device("cuda", rank()) if torch.cuda.is_available() else torch.device("cpu")


def own(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers that this rank encodes."""
    return np.asarray(numbers[numbers % world() == rank()])


def shared(numbers: NDArray[np.int64], encode: Callable[[NDArray[np.int64]], Tensor]) -> Tensor:
    """[n] numbers → [n, dimension] vectors, each encoded by one rank: always the same, whose caches then hold it."""
    ranks = world()
    if ranks == 1:
        return encode(numbers)
    owners = numbers % ranks
    mine = own(numbers)
    # A rank without a text takes part in the backward pass all the same.
    vectors = encode(mine) if len(mine) else encode(numbers[:1])[:0]
    gathered: Tensor = _Gather.apply(vectors, np.bincount(owners, minlength=ranks).tolist())
    back = np.empty(len(numbers), np.int64)
    back[np.argsort(owners, kind="stable")] = np.arange(len(numbers))
    return gathered[torch.from_numpy(back).to(gathered.device)]


class _Gather(torch.autograd.Function):
    """Rows of all ranks, one rank after the other."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, counts: list[int]) -> Tensor:
        ctx.begin, ctx.count = sum(counts[: rank()]), len(own)
        padded = own.new_zeros(max(counts), own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.begin : ctx.begin + ctx.count] * world(), None


def told(value: Any) -> Any:
    """What rank 0 calls this with, on all ranks; something that JSON has words for, as nothing is pickled."""
    if world() == 1:
        return value
    text = json.dumps(value).encode() if rank() == 0 else b""
    size = torch.tensor([len(text)])
    distributed.broadcast(size, src=0)
    told = (
        torch.frombuffer(bytearray(text), dtype=torch.uint8)
        if rank() == 0
        else torch.empty(int(size), dtype=torch.uint8)
    )
    distributed.broadcast(told, src=0)
    return json.loads(told.numpy().tobytes())


def agree(fingerprint: int, what: str) -> None:
    """Raise PluginFailed unless all ranks call this with the same number: they would train on different things."""
    if told(fingerprint) != fingerprint:
        raise PluginFailed(
            f"with settings.devices above 1 every process prepares {what}, and they came out different: a plugin must"
            " make the same of the same input in every process (no random numbers without a seed, no order of a set)"
        )
