"""Where results stand in a ranking, and what that is worth on average over all orders of tied results.

Equal ranks have no order. Scored in the order in which they are stored, which is mostly the order in which a search
showed them, a model that ranks everything alike would be given the quality of that search. So each measure here is its
mean over all orders of the tied results. Source of all three: F. McSherry, M. Najork, Computing Information Retrieval
Performance Measures Efficiently in the Presence of Tied Scores, ECIR 2008.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bluetune_trainer.errors import PluginFailed


class RanksNotFinite(PluginFailed):
    """Ranks that are NaN or infinite have no order."""


@dataclass(frozen=True)
class Standing:
    """Where R results of each of S queries stand, whatever order they are stored in."""

    above: Tensor
    """[S, R] how many results of the query have a better rank."""
    tied: Tensor
    """[S, R] how many have the same rank, itself among them."""

    def expected(self, worth: Tensor) -> Tensor:
        """[S, R] mean of `worth` ([k], by place from the first on, 0 from place k on) over the result's places."""
        total = torch.cat([worth.new_zeros(1), worth.cumsum(0)])
        first, last = (at.clamp(max=len(worth)) for at in (self.above, self.above + self.tied))
        return (total[last] - total[first]) / self.tied.clamp(min=1)


def stand(ranks: Tensor, valid: Tensor, *, is_similarity: bool) -> Standing:
    """Of S queries with R results each; what is not valid stands behind all that is, tied with nothing.

    Takes O(R log R) a query. Raises RanksNotFinite for a valid rank that is NaN or infinite.
    """
    check_ranks(ranks, valid)
    width = ranks.shape[1]
    if not ranks.numel():
        return Standing(torch.zeros_like(valid, dtype=torch.int64), torch.zeros_like(valid, dtype=torch.int64))
    keys = (-ranks if is_similarity else ranks).masked_fill(~valid, torch.inf)
    keys, order = torch.sort(keys, dim=1)
    place = torch.arange(width, device=ranks.device).expand_as(order)
    changes = keys[:, 1:] != keys[:, :-1]
    edge = torch.ones_like(valid[:, :1])
    first = torch.where(torch.cat([edge, changes], 1), place, 0).cummax(1).values
    last = torch.where(torch.cat([changes, edge], 1), place, width).flip(1).cummin(1).values.flip(1)
    above = torch.empty_like(order).scatter_(1, order, first)
    tied = torch.empty_like(order).scatter_(1, order, last - first + 1)
    return Standing(above, torch.where(valid, tied, 1))


def check_ranks(ranks: Tensor, valid: Tensor) -> None:
    """Raises RanksNotFinite for a valid rank that is NaN or infinite."""
    wrong = valid & ~torch.isfinite(ranks)
    if wrong.any():
        raise RanksNotFinite(
            f"{int(wrong.sum())} of {int(valid.sum())} ranks are no finite numbers (the first is"
            f" {float(ranks[wrong][0])}), so nothing can be ordered by them"
        )


def discounts(k: int) -> Tensor:
    """[k] 1 / log2(place + 1) for places from 1 on, what DCG multiplies gains with."""
    return 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))


def first_of(among: Tensor, tied: Tensor, k: int) -> Tensor:
    """[n, k] chance that the first of `among` ([n], 1 or more) things stands at place 1 to k of `tied` ([n]) in all."""
    chance, rest = among.double() / tied.double(), []
    for place in range(k):
        rest.append(chance)
        left = (tied - place - 1).double()
        following = chance * (left - among + 1) / left.clamp(min=1)
        chance = torch.where(left >= among, following, 0.0)
    return torch.stack(rest, 1)
