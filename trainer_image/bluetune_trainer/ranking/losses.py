"""Losses over ranked sessions. Pure tensor code: no model, no optimizer."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures


class RankingLossInterface(nn.Module, ABC):
    """A loss over a batch of ranked sessions."""

    def set_margin(self, margin: float) -> None:
        """Take over the trial's `margin`."""

    def set_temperature(self, temperature: float) -> None:
        """Take over the trial's `temperature`."""

    @abstractmethod
    def forward(self, features: RankingFeatures) -> Tensor:
        """A scalar with gradient. Zero, with gradient zero, when the batch holds no example."""


class ListwiseSoftmaxLoss(RankingLossInterface):
    """Cross entropy of each click against the unclicked results of its session and the other items of the batch.

    For a click p of a session: -log(exp(t·r_p/T) / (exp(t·r_p/T) + Σ_n exp(t·r_n/T))), over the session's pairs and the
    in-batch negatives; other clicks of the session are not in the sum. Weighted by the click's confidence within a
    session (each unclicked result's confidence weighs its term of the sum), then the mean over sessions with a click.
    """

    def __init__(self, temperature: float = 0.05, in_batch_negatives: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.in_batch_negatives = in_batch_negatives

    def set_temperature(self, temperature: float) -> None:
        self.temperature = temperature

    def forward(self, features: RankingFeatures) -> Tensor:
        logits = features.ranks * (features.target / self.temperature)
        positive = logits.detach() if features.examples == ExamplesType.negative_only else logits
        # log(confidence) as an additive term weighs exp(logit) by the confidence, and drops it at confidence 0.
        weighted = logits + features.confidences.log()
        shown = torch.where(features.pair_mask(), weighted.unsqueeze(1), -torch.inf)
        parts = [positive.unsqueeze(2), shown]
        if self.in_batch_negatives and features.batch_ranks is not None and features.batch_allowed is not None:
            others = features.batch_ranks * (features.target / self.temperature)
            others = others.masked_fill(~features.batch_allowed, -torch.inf)
            parts.append(torch.logsumexp(_with_floor(others), 1)[:, None, None].expand(-1, logits.shape[1], 1))
        each = torch.logsumexp(torch.cat(parts, 2), 2) - positive
        weight = features.positives * features.confidences
        total = weight.sum(1)
        per_session = torch.where(features.positives, each, 0.0).mul(weight).sum(1) / total.clamp(min=1e-12)
        counted = total > 0
        return per_session[counted].sum() / counted.sum().clamp(min=1)


def _with_floor(logits: Tensor) -> Tensor:
    """A row that is -inf throughout has no gradient but NaN; one far-away term makes it harmless."""
    return torch.cat([logits, logits.new_full((len(logits), 1), -1e4)], 1)


class ProbMarginRankingLoss(RankingLossInterface):
    """Mean over pairs of sigmoid(a)·c with a = -t·(r_p - r_n) + margin and c the smaller of the two confidences."""

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def set_margin(self, margin: float) -> None:
        self.margin = margin

    def probability(self, adjusted: Tensor) -> Tensor:
        """[P] a → [P] how wrong the pair's order is, in (0, 1)."""
        return torch.sigmoid(adjusted)

    def forward(self, features: RankingFeatures) -> Tensor:
        pairs = features.pairs()
        if not len(pairs.positive_ranks):
            return features.ranks.sum() * 0.0
        adjusted = -pairs.target * (pairs.positive_ranks - pairs.negative_ranks) + self.margin
        confidence = torch.minimum(pairs.positive_confidences, pairs.negative_confidences)
        return (self.probability(adjusted) * confidence).mean()


class CosineProbMarginRankingLoss(ProbMarginRankingLoss):
    """The same with sigmoid(scale·a - shift): steep where cosines differ by about the margin.

    With the defaults the gradient of a pair stays above 1e-3 for |r_p - r_n| ≤ 0.5 at margins from 0.01 to 0.5.
    """

    def __init__(self, margin: float = 0.2, scale: float = 12.0, shift: float = 3.0) -> None:
        super().__init__(margin)
        self.scale = scale
        self.shift = shift

    def probability(self, adjusted: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * adjusted - self.shift)
