"""Losses over ranked sessions. Pure tensor code: no model, no optimizer.

t is +1 for a similarity and -1 for a distance, r a rank, c a confidence, w what a click counts (an inverse propensity,
1 without a correction of position bias).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bluetune_trainer.ranking.features import ExamplesType, Pairs, RankingFeatures


class RankingLossInterface(nn.Module, ABC):
    """A loss over a batch of ranked sessions."""

    in_batch_negatives: bool = True
    """Whether it may learn from what a batch holds beside a session's own results; phrases are fed to such losses."""

    trusts_negatives: bool = False
    """Whether an unclicked result's confidence weighs it among the negatives: a weight of 0 leaves it out."""

    @property
    def has_temperature(self) -> bool:
        """Whether the trial's `temperature` changes anything."""
        return type(self).set_temperature is not RankingLossInterface.set_temperature

    def set_margin(self, margin: float) -> None:
        """Take over the trial's `margin`."""

    def set_temperature(self, temperature: float) -> None:
        """Take over the trial's `temperature`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take a loss that defines `__call__`, as Embedding Studio's do, for one that defines `forward`."""
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls) and "forward" not in vars(cls):
            cls.forward = vars(cls)["__call__"]  # type: ignore[method-assign]

    @abstractmethod
    def forward(self, features: RankingFeatures) -> Tensor:
        """A scalar with gradient. What is not finite where a batch holds no pair (a mean over them) counts as zero."""


class ListwiseSoftmaxLoss(RankingLossInterface):
    """Cross entropy of each click against the unclicked results of its session and the other items of the batch.

    For a click p of a session: -log(exp(t·r_p/T) / (exp(t·r_p/T) + Σ_n exp(t·r_n/T))), over the session's pairs and the
    in-batch negatives; other clicks of the session are not in the sum. Each unclicked result's confidence weighs its
    term of the sum. Σ_p c_p·w_p·loss_p / Σ_p c_p within a session, then the mean over sessions with a click.
    """

    trusts_negatives = True

    def __init__(self, temperature: float = 0.05, in_batch_negatives: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.in_batch_negatives = in_batch_negatives

    def set_temperature(self, temperature: float) -> None:
        self.temperature = temperature

    def forward(self, features: RankingFeatures) -> Tensor:
        each = _cross_entropy(
            features, self.temperature, in_batch=self.in_batch_negatives, session=True, trust_negatives=True
        )
        confidence = features.positives * features.confidences
        total = confidence.sum(1)
        per_session = (each * confidence * features.click_weights).sum(1) / total.clamp(min=1e-12)
        counted = total > 0
        return per_session[counted].sum() / counted.sum().clamp(min=1)


class InfoNCELoss(RankingLossInterface):
    """InfoNCE, also known as multiple negatives ranking: each click against all that may stand as its negative.

    For a click p: -log(exp(t·r_p/T) / (exp(t·r_p/T) + Σ_n exp(t·r_n/T))), over the items of the batch but those that
    were shown in the session or clicked for its query anywhere (false negatives), and over the session's own pairs as
    hard negatives. Σ c_p·w_p·loss_p / Σ c_p over all clicks of the batch: a session with three clicks counts three
    times, where the listwise loss counts sessions.

    Sources: van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding; Henderson et al.
    2017, Efficient Natural Language Response Suggestion for Smart Reply. sentence-transformers' `scale` is 1/T.
    """

    def __init__(self, temperature: float = 0.05, session_negatives: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.session_negatives = session_negatives

    def set_temperature(self, temperature: float) -> None:
        self.temperature = temperature

    def forward(self, features: RankingFeatures) -> Tensor:
        each = _cross_entropy(
            features, self.temperature, in_batch=True, session=self.session_negatives, trust_negatives=False
        )
        confidence = features.positives * features.confidences
        return (each * confidence * features.click_weights).sum() / confidence.sum().clamp(min=1e-12)


MultipleNegativesRankingLoss = InfoNCELoss
"""The name under which sentence-transformers has it."""


def _cross_entropy(
    features: RankingFeatures, temperature: float, *, in_batch: bool, session: bool, trust_negatives: bool
) -> Tensor:
    """[S, R] -log softmax of each click among its negatives; 0 where there is no click.

    `session` puts the unclicked results of the session among the negatives (each weighed by its confidence, if
    `trust_negatives`), `in_batch` the items that the batch allows.
    """
    sessions, clicks, fed = features.fed()
    logits = features.ranks * (features.direction / temperature)
    positive = logits[sessions, clicks]
    if features.examples == ExamplesType.negative_only:
        positive = positive.detach()
    parts = [positive.unsqueeze(1)]
    if session:
        # log(confidence) as an additive term weighs exp(logit) by the confidence, and drops it at confidence 0.
        weighted = logits + features.confidences.log() if trust_negatives else logits
        parts.append(weighted[sessions].masked_fill(~fed, -torch.inf))
    if in_batch and features.batch_ranks is not None and features.batch_allowed is not None:
        others = features.batch_ranks * (features.direction / temperature)
        others = others.masked_fill(~features.batch_allowed, -torch.inf)
        parts.append(torch.logsumexp(_with_floor(others), 1)[sessions, None])
    each = torch.logsumexp(torch.cat(parts, 1), 1) - positive
    return torch.zeros_like(logits).index_put((sessions, clicks), each)


def _with_floor(logits: Tensor) -> Tensor:
    """A row that is -inf throughout has no gradient but NaN; one far-away term makes it harmless."""
    return torch.cat([logits, logits.new_full((len(logits), 1), -1e4)], 1)


class ProbMarginRankingLoss(RankingLossInterface):
    """Mean over pairs of sigmoid(a)·c·w with a = -t·(r_p - r_n) + margin and c the smaller of the two confidences.

    Args:
        base_margin: replaced by the trial's `margin`.
        do_fine_small_difference: add the soft mean of the differences that are smaller than the margin,
            Σ(v·|d|) / Σv with v = sigmoid(steepness·(margin - |d|)): it keeps pairs that are all but tied from
            drifting apart either way.
        steepness: of that term, how sharply it ends at the margin; None for 100 / margin.
    """

    in_batch_negatives = False

    def __init__(
        self, base_margin: float = 1.0, do_fine_small_difference: bool = False, steepness: float | None = None
    ) -> None:
        super().__init__()
        self.base_margin = base_margin
        self.do_fine_small_difference = do_fine_small_difference
        self.steepness = steepness

    def set_margin(self, margin: float) -> None:
        self.base_margin = margin

    def probability(self, adjusted: Tensor) -> Tensor:
        """[P] a → [P] how wrong the pair's order is, in (0, 1)."""
        return torch.sigmoid(adjusted)

    def forward(self, features: RankingFeatures) -> Tensor:
        pairs = features.pairs()
        if not len(pairs.positive_ranks):
            return features.ranks.sum() * 0.0
        adjusted = -pairs.target * (pairs.positive_ranks - pairs.negative_ranks) + self.base_margin
        confidence = torch.minimum(pairs.positive_confidences, pairs.negative_confidences)
        loss = (self.probability(adjusted) * confidence * pairs.weights).mean()
        return loss + self._small_differences(pairs) if self.do_fine_small_difference else loss

    def _small_differences(self, pairs: Pairs) -> Tensor:
        difference = (pairs.positive_ranks - pairs.negative_ranks).abs()
        steepness = self.steepness if self.steepness is not None else 100 / max(self.base_margin, 1e-6)
        small = torch.sigmoid(steepness * (self.base_margin - difference))
        return (small * difference).sum() / (small.sum() + 1e-10)


class CosineProbMarginRankingLoss(ProbMarginRankingLoss):
    """The same with sigmoid(scale·a - shift): steep where cosines differ by about the margin.

    With the defaults the gradient of a pair stays above 1e-3 for |r_p - r_n| ≤ 0.5 at margins from 0.01 to 0.5.
    """

    def __init__(
        self,
        base_margin: float = 0.2,
        do_fine_small_difference: bool = False,
        steepness: float | None = None,
        *,
        scale: float = 12.0,
        shift: float = 3.0,
    ) -> None:
        super().__init__(base_margin, do_fine_small_difference, steepness)
        self.scale = scale
        self.shift = shift

    def probability(self, adjusted: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * adjusted - self.shift)


class MatryoshkaLoss(RankingLossInterface):
    """A loss at the vectors' full length and at shorter ones, so that truncated vectors rank well, too.

    Each shorter vector is the first so many numbers, brought back to unit length, and ranked by the run's ranker. The
    value is the weighted mean over the lengths; the full length has weight 1.

    Source: Kusupati et al. 2022, Matryoshka Representation Learning.

    Args:
        loss: any other loss.
        dims: the shorter lengths, at least one.
        weights: of the shorter lengths, one for each, 0 or more; None for 1 each.
    """

    def __init__(self, loss: RankingLossInterface, dims: Sequence[int], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if not dims or any(d < 1 or int(d) != d for d in dims):
            raise ValueError(f"dims: whole numbers from 1 on are expected, these are {list(dims)}")
        weights = [1.0] * len(dims) if weights is None else list(weights)
        if len(weights) != len(dims) or any(w < 0 for w in weights):
            raise ValueError(f"weights: {len(dims)} numbers from 0 on are expected, these are {weights}")
        self.loss = loss
        self.in_batch_negatives = loss.in_batch_negatives
        self.trusts_negatives = loss.trusts_negatives
        self.dims = tuple(dims)
        self.weights = tuple(weights)

    def set_margin(self, margin: float) -> None:
        self.loss.set_margin(margin)

    def set_temperature(self, temperature: float) -> None:
        self.loss.set_temperature(temperature)

    def forward(self, features: RankingFeatures) -> Tensor:
        total: Tensor = self.loss(features)
        for dimension, weight in zip(self.dims, self.weights, strict=True):
            total = total + weight * self.loss(features.at_dimension(dimension))
        return total / (1 + sum(self.weights))
