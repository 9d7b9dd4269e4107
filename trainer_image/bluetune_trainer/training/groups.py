"""Which learning rate and weight decay each parameter gets."""

from typing import Any

from torch import nn

from bluetune_trainer.training.model import Model
from bluetune_trainer.training.params import TrialParams


def parameter_groups(trained: nn.Module, model: Model, params: TrialParams) -> list[dict[str, Any]]:
    """The groups of one optimizer over all parameters of `trained` that take a gradient.

    `query` holds what belongs to the query tower alone and follows `query_lr` and `query_weight_decay`. `items` holds
    all else and follows `items_lr` and `items_weight_decay`: the item tower, weights that both towers share, and
    parameters of a loss. A group without parameters is left out.
    """
    items_only = {id(p) for p in model.tower("item").parameters()}
    query = {id(p) for p in model.tower("query").parameters()} - items_only
    every = [p for p in trained.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "name": "items",
            "params": [p for p in every if id(p) not in query],
            "lr": params.items_lr,
            "weight_decay": params.items_weight_decay,
        },
        {
            "name": "query",
            "params": [p for p in every if id(p) in query],
            "lr": params.query_lr,
            "weight_decay": params.query_weight_decay,
        },
    ]
    return [group for group in groups if group["params"]]
