"""Which learning rate and weight decay each parameter gets."""

from typing import Any

from torch import nn

from bluetune_trainer.training.model import Model
from bluetune_trainer.training.params import TrialParams


def parameter_groups(trained: nn.Module, model: Model, params: TrialParams) -> list[dict[str, Any]]:
    """The groups of one optimizer over all parameters of `trained` that take a gradient.

    `query` holds what belongs to the query tower alone and follows `query_lr` and `query_weight_decay`. `items` holds
    all else and follows `items_lr` and `items_weight_decay`: the item tower, weights that both towers share, and
    parameters of a loss. Biases and the gains of norms, which have one dimension, are in groups of their own and do not
    decay: decay would shrink what sets the scale of a layer, and prevents no overfitting there. A group without
    parameters is left out.
    """
    items_only = {id(p) for p in model.tower("item").parameters()}
    query = {id(p) for p in model.tower("query").parameters()} - items_only
    every = [p for p in trained.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "name": tower if decays else f"{tower} without decay",
            "params": [p for p in every if (id(p) in query) == (tower == "query") and (p.dim() > 1) == decays],
            "lr": rate,
            "weight_decay": decay if decays else 0.0,
        }
        for tower, rate, decay in (
            ("items", params.items_lr, params.items_weight_decay),
            ("query", params.query_lr, params.query_weight_decay),
        )
        for decays in (True, False)
    ]
    return [group for group in groups if group["params"]]
