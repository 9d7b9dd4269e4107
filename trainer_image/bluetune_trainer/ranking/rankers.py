"""Rankers: how near a query is to an item."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Ranker = Callable[[Tensor, Tensor], Tensor]
"""[n, dimension] queries and [m, dimension] items → [n, m] ranks."""


def COSINE_SIMILARITY(queries: Tensor, items: Tensor) -> Tensor:  # noqa: N802 - the name that users know
    """[n, dimension], [m, dimension] → [n, m] cosines."""
    return functional.normalize(queries, dim=-1) @ functional.normalize(items, dim=-1).T
