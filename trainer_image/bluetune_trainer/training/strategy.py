"""How Lightning is told of the ranks, whose processes are there already."""

from typing import Any, TypeVar

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from bluetune_trainer.training.ranks import rank, told, world

T = TypeVar("T")


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


class _Ddp(DDPStrategy):
    """Lightning's own way to tell something would pickle it."""

    def broadcast(self, obj: T, src: int = 0) -> T:
        """Of rank 0; a path or a truth value, whatever Lightning wants to be the same on all ranks."""
        if src:
            raise ValueError(f"only rank 0 tells the others, not {src}")
        answer: T = told(obj)
        return answer


def trainer_options() -> dict[str, Any]:
    """How Lightning's Trainer is told about the ranks."""
    if world() == 1:
        return {"devices": 1}
    strategy = _Ddp(
        cluster_environment=_Environment(),
        find_unused_parameters=True,  # a rank may have no query, and then nothing for a query tower
        broadcast_buffers=False,
    )
    return {"devices": world(), "strategy": strategy, "use_distributed_sampler": False}
