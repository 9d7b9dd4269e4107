"""What a loss sees of a batch of sessions, and the pairs that can be made of it. Pure tensor code.

S sessions, R results (padded), C clicks, U different items in the batch, P pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import torch
from torch import Tensor


class ExamplesType(IntEnum):
    """Which examples a phase of the training feeds.

    Hard, medium and soft speak of |d|, the difference of a pair's two ranks: at or above
    `max_abs_difference_threshold`, between the two thresholds, at or below `min_abs_difference_threshold`; where these
    are not set, 1 and 0. `…_all`
    picks pairs; `…_positives` and `…_negatives` pick results by their mean |d| and keep all their pairs.
    """

    medium_all = 1
    hard_all = 2
    soft_all = 3
    medium_positives = 4
    hard_positives = 5
    soft_positives = 6
    medium_negatives = 7
    hard_negatives = 8
    soft_negatives = 9
    negative_only = 10
    """The pairs of `all_examples`, but only the unclicked results move."""
    all_examples = 11
    """Medium pairs: without thresholds, all of them."""

    medium_positive = 4
    hard_positive = 5
    soft_positive = 6
    medium_negative = 7
    hard_negative = 8
    soft_negative = 9


@dataclass(frozen=True)
class Pairs:
    """Clicked against unclicked results, flat: each field is [P]."""

    positive_ranks: Tensor
    negative_ranks: Tensor
    positive_confidences: Tensor
    negative_confidences: Tensor
    weights: Tensor
    """What the pair's click counts, 1 without a correction of position bias."""
    target: float
    """+1 when ranks are similarities, -1 when they are distances."""


@dataclass(frozen=True)
class RankingFeatures:
    """A batch of sessions, ranked."""

    ranks: Tensor
    """[S, R] what the ranker gives for query and result."""
    clicked: Tensor
    """[S, R] bool."""
    valid: Tensor
    """[S, R] bool, false on padding and on results that are left out."""
    confidences: Tensor
    """[S, R] how far a click, or its absence, is to be trusted."""
    is_similarity: bool = True
    """Whether a higher rank means more relevant."""
    batch_ranks: Tensor | None = None
    """[S, U] ranks of all items in the batch, for in-batch negatives."""
    batch_allowed: Tensor | None = None
    """[S, U] bool: may stand as a negative: not shown in this session, and clicked for no session of the same query."""
    min_abs_difference: float | None = None
    """Pairs whose ranks differ by no more are left out; None: none is."""
    max_abs_difference: float | None = None
    """Pairs whose ranks differ by as much or more are left out; None: none is."""
    examples: ExamplesType = ExamplesType.all_examples
    weights: Tensor | None = None
    """[S, R] what each click counts, whatever its confidence: inverse propensities. None: 1."""
    shown_rank: Tensor | None = None
    """[S, R] the place at which each result was shown, -1 where it was not shown in this session. Where it is given,
    a click has pairs only with unclicked results that were shown above it."""
    truncated: "Callable[[int], RankingFeatures] | None" = None
    """The batch ranked by the first so many numbers of each vector, brought back to unit length."""

    @property
    def direction(self) -> float:
        """+1 for a similarity, -1 for a distance."""
        return 1.0 if self.is_similarity else -1.0

    @property
    def target(self) -> Tensor:
        """[P] `direction` of each pair, as margin losses take it."""
        return torch.full_like(self.positive_ranks, self.direction)

    @property
    def positive_ranks(self) -> Tensor:
        """[P] ranks of the pairs' clicked results."""
        return self._pairs.positive_ranks

    @property
    def negative_ranks(self) -> Tensor:
        """[P] ranks of the pairs' unclicked results."""
        return self._pairs.negative_ranks

    @property
    def positive_confidences(self) -> Tensor:
        """[P] confidences of the pairs' clicked results."""
        return self._pairs.positive_confidences

    @property
    def negative_confidences(self) -> Tensor:
        """[P] confidences of the pairs' unclicked results."""
        return self._pairs.negative_confidences

    @property
    def has_pairs(self) -> bool:
        """Whether any pair is fed."""
        return len(self.positive_ranks) > 0

    @cached_property
    def _pairs(self) -> Pairs:
        return self.pairs()

    @property
    def positives(self) -> Tensor:
        """[S, R] bool."""
        return self.clicked & self.valid

    @property
    def negatives(self) -> Tensor:
        """[S, R] bool."""
        return ~self.clicked & self.valid

    def with_phase(self, examples: ExamplesType) -> "RankingFeatures":
        """The same batch with other examples picked from it."""
        return replace(self, examples=examples)

    @property
    def click_weights(self) -> Tensor:
        """[S, R] `weights`, or ones."""
        return torch.ones_like(self.ranks) if self.weights is None else self.weights

    def at_dimension(self, dimension: int) -> "RankingFeatures":
        """The same examples, ranked by truncated vectors. Raises ValueError where there are no vectors to truncate."""
        if self.truncated is None:
            raise ValueError("these ranks come without vectors, so they cannot be computed at another dimension")
        return self.truncated(dimension).with_phase(self.examples)

    def fed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Which pairs are fed: ([C] session of each click, [C] its place there, [C, R] bool: its unclicked results).

        A row for each of the batch's C clicks, and not for each result: a session of thousands of results costs what
        its clicks do.
        """
        session, click = self.positives.nonzero(as_tuple=True)
        crossed = self.negatives[session]
        if self.shown_rank is not None:
            crossed = crossed & (self.shown_rank[session] < self.shown_rank[session, click, None])
        with torch.no_grad():
            difference = (self.ranks[session, click, None] - self.ranks[session]).abs()
            return session, click, crossed & self._picked(difference, crossed, session)

    def _picked(self, difference: Tensor, crossed: Tensor, session: Tensor) -> Tensor:
        kind = self.examples
        if kind in (ExamplesType.negative_only, ExamplesType.all_examples):
            kept = torch.ones_like(difference, dtype=torch.bool)
            if self.min_abs_difference is not None:
                kept &= difference > self.min_abs_difference
            if self.max_abs_difference is not None:
                kept &= difference < self.max_abs_difference
            return kept
        band = ExamplesType((kind - 1) % 3 + 1)
        if kind <= ExamplesType.soft_all:
            return self._in_band(difference, band)
        counted = crossed.to(difference.dtype)
        total = difference * counted
        if kind <= ExamplesType.soft_positives:
            mean = total.sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
            return self._in_band(mean, band).expand_as(crossed)
        none = torch.zeros_like(self.ranks)  # [S, R]: over the clicks of each session
        mean = none.index_add(0, session, total) / none.index_add(0, session, counted).clamp(min=1)
        return self._in_band(mean, band)[session]

    def _in_band(self, difference: Tensor, band: ExamplesType) -> Tensor:
        soft = difference <= (0.0 if self.min_abs_difference is None else self.min_abs_difference)
        hard = difference >= (1.0 if self.max_abs_difference is None else self.max_abs_difference)
        if band == ExamplesType.soft_all:
            return soft
        return hard if band == ExamplesType.hard_all else ~soft & ~hard

    def pair_index(self) -> tuple[Tensor, Tensor, Tensor]:
        """[P] each: session, place of the clicked and place of the unclicked result of all pairs that are fed."""
        sessions, clicks, fed = self.fed()
        row, negative = fed.nonzero(as_tuple=True)
        return sessions[row], clicks[row], negative

    def pairs(self) -> Pairs:
        """All pairs that are fed, session by session."""
        session, positive, negative = self.pair_index()
        positive_ranks = self.ranks[session, positive]
        if self.examples == ExamplesType.negative_only:
            positive_ranks = positive_ranks.detach()
        return Pairs(
            positive_ranks=positive_ranks,
            negative_ranks=self.ranks[session, negative],
            positive_confidences=self.confidences[session, positive],
            negative_confidences=self.confidences[session, negative],
            weights=self.click_weights[session, positive],
            target=self.direction,
        )
