"""How many tokens of a batch a GPU has memory for."""

import sys

import torch

from bluetune_trainer.training.model import Model

BYTES_PER_UNIT = 68
"""Kept of a token in a layer for its gradient, per unit of width.

34 with half-precision activations and attention that does not keep its matrix (Korthikanti et al. 2022, arXiv
2205.05198, section 4.1); twice that, as part of them is float32 under autocast.
"""
BYTES_PER_PARAMETER = 12
"""Gradient and the two moments of AdamW, in float32."""
SHARE = 0.8
"""Share of the free memory to use; the rest is for casts of weights, the loss and fragmentation."""
FEWEST = 1024


def tokens_that_fit(model: Model) -> int:
    """Padded tokens whose activations fit the GPU that holds the model; without a GPU, no limit."""
    if model.device.type != "cuda":
        return sys.maxsize
    # torch keeps memory that no tensor holds any more; the driver counts it as taken.
    free = torch.cuda.mem_get_info(model.device)[0] + (
        torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    )
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    configs = [getattr(tower.transformer(), "config", None) for tower in model.towers()]
    widths = [getattr(config, "hidden_size", None) or model.dimension for config in configs]
    layers = [getattr(config, "num_hidden_layers", None) or 12 for config in configs]
    return token_budget(free, layers=max(layers), width=max(widths), trained=trained)


def token_budget(free: int, *, layers: int, width: int, trained: int) -> int:
    """Tokens whose activations fit `free` bytes beside what the optimizer needs for `trained` parameters."""
    left = free * SHARE - trained * BYTES_PER_PARAMETER
    return max(int(left // (layers * width * BYTES_PER_UNIT)), FEWEST)
