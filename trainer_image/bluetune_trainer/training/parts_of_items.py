"""Items longer than the model's window: split into parts, whose ranks become the item's.

The vectors of n items with at most K parts are [n, K, dimension]; a part that an item does not have is a row of zeros,
which no tower gives. Whatever only gathers and truncates vectors works on both shapes; a `ByParts` ranker ends it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bluetune_trainer.ranking.rankers import Ranker

MAX_PARTS = 16
"""Parts of an item that are looked at; the rest of a longer one is left out."""
SHARPNESS = 0.1
"""Temperature of soft maximum and minimum, in units of a rank: parts that differ by less share the weight."""

Aggregate = Literal["Mean", "SoftMax", "SoftMin"]
SplitItem = Callable[[str, Callable[[str], bool]], list[str]]
"""(text of an item, whether a text fits the window) → its parts, in order."""


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The longest runs of characters that fit, one after the other, each ending before a word where it can."""
    parts: list[str] = []
    rest = text.strip()
    while rest and len(parts) < MAX_PARTS:
        end = _longest(rest, fits)
        if end < len(rest):
            word = max(rest.rfind(mark, 0, end + 1) for mark in " \n\t")
            end = word if word > 0 else end
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return parts or [text]


def _longest(text: str, fits: Callable[[str], bool]) -> int:
    """How many of its first characters fit; at least one. Looks at little more than those."""
    low, high = 1, min(256, len(text))
    while fits(text[:high]):
        if high == len(text):
            return high
        low, high = high, min(2 * high, len(text))
    while high - low > 1:  # low fits, or is 1; high does not
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle)
    return low


def by_item(vectors: Tensor, counts: list[int]) -> Tensor:
    """[sum of counts, dimension] of parts, item after item → [items, most parts, dimension], zero where none is."""
    return pad_sequence(list(torch.split(vectors, counts)), batch_first=True)


def widened(vectors: Tensor, most: int) -> Tensor:
    """[n, dimension] or [n, K, dimension] → [n, most, dimension] for most ≥ K: the same parts, and zeros."""
    if vectors.dim() == 2:
        vectors = vectors.unsqueeze(1)
    return torch.nn.functional.pad(vectors, (0, 0, 0, most - vectors.shape[1]))


class ByParts:
    """A ranker of items in parts: ranks the parts, and makes one rank of each item's.

    Mean is their mean. SoftMax is Σ w·r with w = softmax(r / 0.1) over the item's parts, and SoftMin the same with
    softmax(-r / 0.1): both lie between the least and the greatest rank, and all parts get a gradient.
    """

    def __init__(self, ranker: Ranker, aggregate: Aggregate) -> None:
        self.ranker = ranker
        self.aggregate = aggregate

    def __call__(self, queries: Tensor, items: Tensor) -> Tensor:
        """[n, d] or [n, K, d] queries (their first part counts), [m, d] or [m, K, d] items → [n, m]."""
        if queries.dim() == 3:
            queries = queries[:, 0]
        if items.dim() == 2:
            return self.ranker(queries, items)
        count, most, dimension = items.shape
        flat = items.reshape(count * most, dimension)
        present = (flat != 0).any(1)
        ranked = self.ranker(queries, flat[present])
        ranks = ranked.new_zeros(len(queries), count * most)
        ranks = ranks.index_copy(1, present.nonzero().squeeze(1), ranked).view(-1, count, most)
        there = present.view(1, count, most)
        if self.aggregate == "Mean":
            return ranks.sum(2) / there.sum(2)
        sign = 1.0 if self.aggregate == "SoftMax" else -1.0
        weights = torch.softmax((sign * ranks / SHARPNESS).masked_fill(~there, -torch.inf), 2)
        return (weights * ranks).sum(2)
