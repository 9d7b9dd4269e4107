"""Rankers: how near a query is to an item, as a similarity or as a distance."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Ranker = Callable[[Tensor, Tensor], Tensor]
"""[n, dimension] queries and [m, dimension] items → [n, m] ranks."""


def COSINE_SIMILARITY(queries: Tensor, items: Tensor) -> Tensor:  # noqa: N802 - the name that users know
    """[n, dimension], [m, dimension] → [n, m] cosines, -1 to 1."""
    return functional.normalize(queries, dim=-1) @ functional.normalize(items, dim=-1).T


def COSINE_DISTANCE(queries: Tensor, items: Tensor) -> Tensor:  # noqa: N802
    """[n, dimension], [m, dimension] → [n, m] 1 - cosine, 0 to 2. A distance: less is nearer."""
    return 1 - COSINE_SIMILARITY(queries, items)


def DOT_PRODUCT(queries: Tensor, items: Tensor) -> Tensor:  # noqa: N802
    """[n, dimension], [m, dimension] → [n, m] inner products: longer vectors are nearer to everything they point to."""
    return queries @ items.T


def EUCLIDEAN_DISTANCE(queries: Tensor, items: Tensor) -> Tensor:  # noqa: N802
    """[n, dimension], [m, dimension] → [n, m] lengths of the differences. A distance: less is nearer."""
    # The matrix-product form loses half the digits where two vectors almost coincide.
    return torch.cdist(queries, items, compute_mode="donot_use_mm_for_euclid_dist")


def scaled(ranker: Ranker, by: float) -> Ranker:
    """A ranker whose ranks are multiplied."""
    return ranker if by == 1 else lambda queries, items: ranker(queries, items) * by
