"""What the other processes do in the test of two that train together: a spawned one imports it by its name."""

import torch

from bluetune_trainer.training.companions import Preparation, follow


def refuse_pickles() -> None:
    def pickles(*_: object, **__: object) -> None:
        raise AssertionError("an object was pickled")

    torch.distributed.distributed_c10d._object_to_tensor = pickles  # type: ignore[assignment]


def follow_all(begins: list[Preparation]) -> None:
    refuse_pickles()
    for begin in begins:
        follow(begin)
