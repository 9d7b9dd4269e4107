"""Losses, rankers, confidences and metrics by name, or by `package.module:Name`."""

from collections.abc import Mapping
from typing import Any, cast

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.blame import made
from bluetune_trainer.plugin.loading import load_object
from bluetune_trainer.ranking import confidences, losses, metrics, rankers

LOSSES: Mapping[str, type[losses.RankingLossInterface]] = {
    "ListwiseSoftmaxLoss": losses.ListwiseSoftmaxLoss,
    "ProbMarginRankingLoss": losses.ProbMarginRankingLoss,
    "CosineProbMarginRankingLoss": losses.CosineProbMarginRankingLoss,
    "InfoNCELoss": losses.InfoNCELoss,
    "MultipleNegativesRankingLoss": losses.MultipleNegativesRankingLoss,
}
RANKERS: Mapping[str, rankers.Ranker] = {
    "COSINE_SIMILARITY": rankers.COSINE_SIMILARITY,
    "COSINE_DISTANCE": rankers.COSINE_DISTANCE,
    "DOT_PRODUCT": rankers.DOT_PRODUCT,
    "EUCLIDEAN_DISTANCE": rankers.EUCLIDEAN_DISTANCE,
}
CONFIDENCES: Mapping[str, confidences.ConfidenceCalculator] = {
    "dummy_confidences": confidences.dummy_confidences,
    "calculate_confidences": confidences.calculate_confidences,
}

METRICS: Mapping[str, Any] = {
    "not_irrelevant_dist_shift": metrics.not_irrelevant_dist_shift,
    "irrelevant_dist_shift": metrics.irrelevant_dist_shift,
    "DistanceShift": metrics.DistanceShift,
    "LossMetric": metrics.LossMetric,
}


def loss(name: str) -> losses.RankingLossInterface:
    """A new loss of that name. Raises PlanInvalid for an unknown one, PluginFailed for what is no loss."""
    loss = made(_find("settings.loss", name, LOSSES), f"settings.loss {name!r}")
    if not isinstance(loss, losses.RankingLossInterface):
        raise PluginFailed(f"settings.loss {name!r} is a {type(loss).__name__}, but must be a RankingLossInterface")
    return loss


def ranker(name: str) -> rankers.Ranker:
    """The ranker of that name."""
    return cast("rankers.Ranker", _find("settings.ranker", name, RANKERS))


def confidence_calculator(name: str) -> confidences.ConfidenceCalculator:
    """The confidence calculator of that name."""
    return cast("confidences.ConfidenceCalculator", _find("settings.confidenceCalculator", name, CONFIDENCES))


def metric(name: str) -> metrics.MetricCalculator:
    """A calculator of that name: a MetricCalculator, or a function of RankedSessions that gives a number.

    The distance shifts are reported in any case.
    """
    found = _find("settings.metrics", name, METRICS)
    if isinstance(found, type):
        found = made(found, f"settings.metrics {name!r}")
    return found if isinstance(found, metrics.MetricCalculator) else metrics.FunctionMetric(name, found)


def _find(field: str, name: str, known: Mapping[str, Any]) -> Any:
    return known[name] if name in known else load_object(name, field=field, known=known)
