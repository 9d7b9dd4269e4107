"""Several processes, a device each, that compute the steps of one trial together.

What is divided is the encoding: each rank encodes its share of a batch's different texts, all ranks gather all vectors,
and each computes the whole batch's loss, which costs little. So in-batch negatives come from the whole batch, a text is
encoded once, and the loss is that of one process, whatever the loss is. A rank's gradient is that of the whole loss
through its own texts; their sum over ranks is the gradient of the batch. DDP takes the mean, hence a factor.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from numpy.typing import NDArray
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch._C._distributed_c10d import Store, TCPStore

from bluetune_trainer.errors import PlanInvalid

PATIENCE = timedelta(hours=1)
"""How long a rank waits for another one that is busy with something else."""


def world() -> int:
    """Processes that work together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def device() -> torch.device:
    """Of this process."""
    return torch.device("cuda", rank()) if torch.cuda.is_available() else torch.device("cpu")


def check_devices(devices: int) -> None:
    """Raise PlanInvalid where a GPU machine has fewer GPUs; on processors any number of processes can run."""
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise PlanInvalid(
            f"settings.devices is {devices}, but the pod sees {torch.cuda.device_count()} GPUs; lower it, or ask for"
            " more in podTemplate.resources"
        )


def own(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those that this rank encodes."""
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
    """What rank 0 calls this with, on all ranks."""
    if world() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


class _Environment(ClusterEnvironment):
    """Tells Lightning that the processes are there already."""

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return world()

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return rank()

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return rank()

    def node_rank(self) -> int:
        return 0


def trainer_options() -> dict[str, Any]:
    """How Lightning's Trainer is told about the ranks."""
    if world() == 1:
        return {"devices": 1}
    strategy = DDPStrategy(
        cluster_environment=_Environment(),
        find_unused_parameters=True,  # a rank may have no query, and then nothing for a query tower
        broadcast_buffers=False,
    )
    return {"devices": world(), "strategy": strategy, "use_distributed_sampler": False}


@contextmanager
def together(devices: int, companion: Callable[[Any], None], argument: Any) -> Iterator[None]:
    """Be rank 0 of `devices` processes, in the others of which `companion(argument)` runs.

    `companion` must be importable and `argument` can be pickled. The others end when this one leaves.
    """
    if devices == 1:
        yield
        return
    check_devices(devices)
    threads = torch.get_num_threads()
    store = TCPStore("127.0.0.1", 0, devices, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_run, args=(number, devices, store.port, companion, argument), daemon=True)
        for number in range(1, devices)
    ]
    try:
        for other in others:
            other.start()
        _join(store, 0, devices, threads)
        yield
    finally:
        for other in others:
            other.kill()
            other.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        torch.set_num_threads(threads)


def _run(number: int, devices: int, port: int, companion: Callable[[Any], None], argument: Any) -> None:
    store = TCPStore("127.0.0.1", port, devices, is_master=False, timeout=PATIENCE)
    _join(store, number, devices, torch.get_num_threads())
    companion(argument)


def _join(store: Store, number: int, devices: int, threads: int) -> None:
    torch.set_num_threads(max(threads // devices, 1))
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, store=store, rank=number, world_size=devices, timeout=PATIENCE)
