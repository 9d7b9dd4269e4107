"""Metrics over ranked sessions. Pure tensor code.

S sessions, R results (padded). NDCG, MRR and recall speak of informative sessions, and of equal ranks as `ties` does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking.accumulators import MetricValue
from bluetune_trainer.ranking.ties import Standing, discounts, first_of, stand

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
    """Loss of the trial on these sessions; None where it was not computed."""
    queries: Tensor | None = None
    """[S] int: which query a session asked; None: all different."""

    @property
    def relevant(self) -> Tensor:
        """[S] bool: sessions with a click."""
        return (self.clicked & self.valid).any(1)

    @property
    def informative(self) -> Tensor:
        """[S] bool: sessions with a click and a result without one. Every ranking of the others is perfect."""
        return self.relevant & (~self.clicked & self.valid).any(1)

    @property
    def can_move(self) -> bool:
        """Whether recall@10 of any of them depends on the ranking: one that shows more than ten results."""
        return bool((self.valid.sum(1)[self.informative] > CUTOFF).any())


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


def ndcg(gains: Tensor, standing: Standing, ideal: Tensor, k: int = CUTOFF) -> Tensor:
    """[S] NDCG@k of gains ([S, R]) that stand so, against all gains of the query ([S, any]); 0 without gain.

    Gains are linear, as in trec_eval's ndcg_cut: a grade of 2 is worth twice a grade of 1 (K. Järvelin,
    J. Kekäläinen, TOIS 2002), not 2^2 - 1 times.
    """
    discount = discounts(k).to(gains.device)
    best = torch.sort(ideal, dim=1, descending=True).values[:, :k].double()
    found = (gains.double() * standing.expected(discount)).sum(1)
    return found / (best * discount[: best.shape[1]]).sum(1).clamp(min=1e-12)


def reciprocal_rank(gains: Tensor, standing: Standing, k: int = CUTOFF) -> Tensor:
    """[S] 1 / place of the first result with a gain, if that is among the first k; else 0."""
    hits = gains > 0
    far = torch.iinfo(torch.int64).max
    first = torch.where(hits, standing.above, far).amin(1, keepdim=True)
    together = hits & (standing.above == first)
    among, tied = together.sum(1).clamp(min=1), torch.where(together, standing.tied, 1).amax(1)
    place = torch.where(hits.any(1), first.squeeze(1), k)[:, None] + torch.arange(1, k + 1, device=gains.device)
    return (first_of(among, tied, k) * torch.where(place <= k, 1 / place.double(), 0.0)).sum(1)


def recall(gains: Tensor, standing: Standing, total: Tensor, k: int = CUTOFF) -> Tensor:
    """[S] share of the `total` ([S]) relevant items that are among the first k."""
    inside = standing.expected(torch.ones(k, dtype=torch.float64, device=gains.device))
    return ((gains > 0) * inside).sum(1) / total.double().clamp(min=1)


def per_session(sessions: RankedSessions) -> dict[str, Tensor]:
    """ndcg@10, mrr@10 and recall@10 of each informative session: [number of such sessions] each."""
    keep = sessions.informative
    valid = sessions.valid[keep]
    clicked = (sessions.clicked & sessions.valid)[keep].float()
    standing = stand(sessions.ranks[keep], valid, is_similarity=sessions.is_similarity)
    return {
        "ndcg@10": ndcg(clicked, standing, clicked),
        "mrr@10": reciprocal_rank(clicked, standing),
        "recall@10": recall(clicked, standing, clicked.sum(1)),
    }


def mean_over_queries(sessions: RankedSessions, values: Tensor) -> float:
    """Mean over queries of the mean over the query's sessions; 0 without any. `values` are those of `per_session`.

    A mean over sessions would be that of the few queries which are asked most, and trials would be chosen for them.
    """
    if not len(values):
        return 0.0
    if sessions.queries is None:
        return float(values.mean())
    _, group, counts = torch.unique(sessions.queries[sessions.informative], return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(counts)).index_add_(0, group, values)
    return float((sums / counts).mean())


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
    """All built-in metrics, and those of the extra calculators, by name.

    NDCG, MRR and recall are means over queries. recall@10 is left out where no ranking could change it.
    """
    result = {name: mean_over_queries(sessions, values) for name, values in per_session(sessions).items()}
    if not sessions.can_move:
        del result["recall@10"]
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
