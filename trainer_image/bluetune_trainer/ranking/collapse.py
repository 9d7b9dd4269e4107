"""Whether a model still tells items apart. One that does not has learned nothing, whatever its loss says."""

import torch
from torch import Tensor
from torch.nn import functional

MAX_ALIKE = 0.999
"""Mean cosine of two items above which they are one direction."""
NEARLY_ALL = 0.95
"""Share of the sessions that must be tied throughout."""


def mean_cosine(vectors: Tensor) -> float:
    """Mean cosine of two different ones of n vectors ([n, dimension], or [n, parts, dimension]); 0 for fewer than two.

    Over all pairs: the squared length of the sum of n unit vectors is n plus the sum of their cosines.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    flat = flat[(flat != 0).any(1)]  # a part that an item does not have is zero
    if len(flat) < 2:
        return 0.0
    total = functional.normalize(flat.double(), dim=-1).sum(0)
    return float((total @ total - len(flat)) / (len(flat) * (len(flat) - 1)))


def all_tied(ranks: Tensor, valid: Tensor) -> float:
    """Share of the sessions with two results or more ([S, R]) whose ranks are all the same; 0 without such sessions."""
    several = valid.sum(1) > 1
    if not several.any():
        return 0.0
    low = ranks.masked_fill(~valid, torch.inf).amin(1)
    high = ranks.masked_fill(~valid, -torch.inf).amax(1)
    return float((low == high)[several].double().mean())


def collapsed(cosine: float, cosine_before: float, tied: float) -> str | None:
    """What says that a model has collapsed; None if nothing does.

    Args:
        cosine: `mean_cosine` of the items.
        cosine_before: the start version's. A trial is not to blame for items that were as alike before it.
        tied: `all_tied` of the sessions.
    """
    if cosine_before <= MAX_ALIKE < cosine and 1 - cosine < (1 - cosine_before) / 2:
        return f"the mean cosine of two items is {cosine:.5f}"
    if tied >= NEARLY_ALL:
        return f"all results rank alike in {tied:.0%} of the sessions"
    return None
