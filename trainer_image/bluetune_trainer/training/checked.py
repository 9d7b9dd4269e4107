"""A plugin's functions of tensors, whose results are judged: a wrong shape would be ranked or weighed as it happens."""

from torch import Tensor, isfinite

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking.confidences import ConfidenceCalculator
from bluetune_trainer.ranking.rankers import Ranker


def checked_ranker(rank: Ranker) -> Ranker:
    """The ranker; raises PluginFailed for what are not ranks of each query and each item."""

    def checked(queries: Tensor, items: Tensor) -> Tensor:
        ranks = rank(queries, items)
        _check_shape("ranker", ranks, (len(queries), len(items)), "queries, items")
        return ranks

    return checked


def checked_confidences(calculate: ConfidenceCalculator) -> ConfidenceCalculator:
    """The calculator; raises PluginFailed for what are not finite confidences of each result, from 0 on."""

    def checked(ranks: Tensor, clicked: Tensor, valid: Tensor) -> Tensor:
        confidences = calculate(ranks, clicked, valid)
        _check_shape("confidence_calculator", confidences, tuple(ranks.shape), "sessions, results")
        of_results = confidences[valid]
        if not (isfinite(of_results) & (of_results >= 0)).all():
            raise PluginFailed("confidence_calculator must return finite numbers from 0 on for all results")
        return confidences

    return checked


def _check_shape(name: str, made: object, expected: tuple[int, ...], axes: str) -> None:
    if isinstance(made, Tensor) and made.shape == expected:
        return
    found = f"one of {list(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
    raise PluginFailed(f"{name} must return a tensor of [{axes}], here {list(expected)}; it returned {found}")
