"""Metrics over ranked sessions. Pure tensor code.

S sessions, R results (padded). All metrics but the irrelevant shift speak of sessions with at least one click.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking.accumulators import MetricValue

CUTOFF = 10
VAL_LOSS = "val_loss"
"""Name of the loss on the validation sessions, which is no calculator's."""


@dataclass(frozen=True)
class RankedSessions:
    """Sessions as a model ranks them, and as the start version did."""

    ranks: Tensor
    """[S, R] float."""
    previous_ranks: Tensor
    """[S, R] the start version's."""
    clicked: Tensor
    """[S, R] bool."""
    valid: Tensor
    """[S, R] bool, false on padding."""
    is_similarity: bool = True
    loss: float | None = None
    """Of the trial on these sessions; None where it was not computed."""

    @property
    def relevant(self) -> Tensor:
        """[S] bool: sessions with a click."""
        return (self.clicked & self.valid).any(1)


class MetricCalculator(ABC):
    """Computes one or more metrics of ranked sessions."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @abstractmethod
    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        """The values, by name. Called without gradient."""


class DistanceShift(MetricCalculator):
    """`not_irrelevant_dist_shift` and `irrelevant_dist_shift`: how far results moved, against the start version.

    Pushing everything nearer raises the first as well, so read it beside ndcg@10.
    """

    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        return [
            MetricValue("not_irrelevant_dist_shift", not_irrelevant_dist_shift(sessions)),
            MetricValue("irrelevant_dist_shift", irrelevant_dist_shift(sessions)),
        ]


class LossMetric(MetricCalculator):
    """`loss`: the trial's loss on the sessions; nothing where it was not computed."""

    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        return [] if sessions.loss is None else [MetricValue("loss", sessions.loss)]


class FunctionMetric(MetricCalculator):
    """A function of ranked sessions as a metric of a name."""

    def __init__(self, name: str, calculate: Callable[[RankedSessions], float]) -> None:
        self.name = name
        self.calculate = calculate

    @property
    def label(self) -> str:
        return self.name

    def __call__(self, sessions: RankedSessions) -> list[MetricValue]:
        value = self.calculate(sessions)
        try:
            return [MetricValue(self.name, float(value))]
        except (TypeError, ValueError):
            raise PluginFailed(
                f"settings.metrics: {self.name!r} returned a {type(value).__name__}, but must return a number"
            ) from None


def sorted_gains(ranks: Tensor, gains: Tensor, valid: Tensor, is_similarity: bool = True) -> Tensor:
    """[S, R] gains in the order of the ranks, best first, padding last; equal ranks keep their order."""
    keys = (ranks if is_similarity else -ranks).masked_fill(~valid, -torch.inf)
    order = torch.sort(keys, dim=1, descending=True, stable=True).indices
    return gains.masked_fill(~valid, 0).gather(1, order)


def ndcg(gains: Tensor, ideal: Tensor, k: int = CUTOFF) -> Tensor:
    """[S] NDCG@k of gains in ranked order ([S, R]) against all gains ([S, any], any order); 0 without gain."""
    best = torch.sort(ideal, dim=1, descending=True).values[:, :k]
    found = gains[:, :k]
    return _dcg(found) / _dcg(best).clamp(min=1e-12)


def _dcg(gains: Tensor) -> Tensor:
    discount = torch.log2(torch.arange(2, gains.shape[1] + 2, dtype=torch.float64, device=gains.device))
    return (gains.double() / discount).sum(1)


def reciprocal_rank(gains: Tensor, k: int = CUTOFF) -> Tensor:
    """[S] 1 / position of the first gain among the first k; 0 if there is none."""
    hits = gains[:, :k] > 0
    first = hits.int().argmax(1).double() + 1
    return torch.where(hits.any(1), 1 / first, 0.0)


def recall(gains: Tensor, total: Tensor, k: int = CUTOFF) -> Tensor:
    """[S] share of the `total` ([S]) relevant items that are among the first k."""
    return (gains[:, :k] > 0).sum(1).double() / total.double().clamp(min=1)


def per_session(sessions: RankedSessions) -> dict[str, Tensor]:
    """ndcg@10, mrr@10 and recall@10 of each session with a click: [number of such sessions] each."""
    keep = sessions.relevant
    clicked = (sessions.clicked & sessions.valid)[keep].float()
    gains = sorted_gains(sessions.ranks[keep], clicked, sessions.valid[keep], sessions.is_similarity)
    return {
        "ndcg@10": ndcg(gains, clicked),
        "mrr@10": reciprocal_rank(gains),
        "recall@10": recall(gains, clicked.sum(1)),
    }


def not_irrelevant_dist_shift(sessions: RankedSessions) -> float:
    """Mean over sessions with clicks of the mean over clicks of t·(new - old rank): how much nearer the clicks came."""
    shift = _target(sessions) * (sessions.ranks - sessions.previous_ranks)
    return _mean_of_means(shift, sessions.clicked & sessions.valid, sessions.relevant)


def irrelevant_dist_shift(sessions: RankedSessions) -> float:
    """Mean over sessions without a click of the mean over results of t·(old - new rank): how far they moved off."""
    shift = _target(sessions) * (sessions.previous_ranks - sessions.ranks)
    return _mean_of_means(shift, sessions.valid, ~sessions.relevant)


def _target(sessions: RankedSessions) -> float:
    return 1.0 if sessions.is_similarity else -1.0


def _mean_of_means(values: Tensor, mask: Tensor, keep: Tensor) -> float:
    values, mask = values[keep].double(), mask[keep]
    if not len(values):
        return 0.0
    return float(((values * mask).sum(1) / mask.sum(1).clamp(min=1)).mean())


def summarize(sessions: RankedSessions, extra: Sequence[MetricCalculator] = ()) -> dict[str, float]:
    """All built-in metrics, and those of the extra calculators, by name."""
    result = {name: float(values.mean()) if len(values) else 0.0 for name, values in per_session(sessions).items()}
    result.update(calculated(DistanceShift(), sessions))
    own: dict[str, str] = {}
    for calculate in extra:
        if _reported_anyway(calculate):
            continue
        found, by = calculated(calculate, sessions), calculate.label
        for name in found:
            if name in result or name == VAL_LOSS or name in own:
                other = own.get(name, "a built-in metric")
                raise PluginFailed(f"{by}: the metric {name!r} is already {other}'s; name it otherwise")
        own |= dict.fromkeys(found, by)
        result |= found
    return result


def _reported_anyway(calculate: MetricCalculator) -> bool:
    built_in = (not_irrelevant_dist_shift, irrelevant_dist_shift)
    return isinstance(calculate, DistanceShift) or getattr(calculate, "calculate", None) in built_in


def calculated(calculate: MetricCalculator, sessions: RankedSessions) -> dict[str, float]:
    """What a calculator computes, by name. Raises PluginFailed if it returns anything but metric values."""
    values: object = calculate(sessions)
    if not isinstance(values, list) or not all(isinstance(value, MetricValue) for value in values):
        raise PluginFailed(f"{calculate.label} must return a list of MetricValue, it returned {values!r:.200}")
    return {value.name: float(value.value) for value in values}
