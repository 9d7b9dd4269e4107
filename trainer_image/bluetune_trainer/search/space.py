"""The search space for hyperopt, read strictly. No torch here: the check Job uses it, too."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bluetune_api.method import PAIRWISE_LOSSES, LogUniform, QUniform, SearchDimension, Uniform
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.parameters import check_search_space, multiples
from bluetune_trainer.training.params import parse_params
from bluetune_trainer.training.preset import Preset

Point = dict[str, float]
"""What hyperopt draws: the index of a choice, or the value itself."""

PHRASES, UNCLICKED = "phrases_per_session", "unclicked_weight"
UNWEIGHED = (*PAIRWISE_LOSSES, "InfoNCELoss", "MultipleNegativesRankingLoss")
"""Built-in losses in which every unclicked result of a session counts alike."""
_ONE = SearchDimension(choice=[1])


@dataclass(frozen=True)
class Space:
    """A search space, and how its points and a trial's parameters come of each other."""

    dimensions: Mapping[str, SearchDimension]
    first: Mapping[str, Any] | None = None
    """Parameters of trial 0, if it is not to be drawn."""

    def expression(self) -> dict[str, Any]:
        """For hyperopt. Choices are drawn by index: hyperopt would turn a list into a tuple."""
        return {name: _draw(name, dimension) for name, dimension in self.dimensions.items()}

    def params(self, point: Mapping[str, float]) -> dict[str, Any]:
        """A drawn point as parameters, in plain JSON types."""
        values: dict[str, Any] = {}
        for name, dimension in self.dimensions.items():
            drawn = point[name]
            value = float(drawn) if dimension.choice is None else dimension.choice[int(drawn)]
            if dimension.quniform is not None:
                low, high = multiples(dimension.quniform)
                value = min(max(value, low), high)
            values[name] = int(value) if name == "num_fixed_layers" else value
        return values

    def point(self, params: Mapping[str, Any], indices: Mapping[str, list[int]] | None = None) -> Point | None:
        """The other way; None when the parameters do not lie in this space (it changed since they were stored)."""
        point: Point = {}
        for name, dimension in self.dimensions.items():
            if name not in params:
                return None
            if dimension.choice is None:
                point[name] = float(params[name])
                continue
            stored = (indices or {}).get(name)
            if stored and stored[0] < len(dimension.choice) and dimension.choice[stored[0]] == params[name]:
                point[name] = stored[0]
            elif params[name] in dimension.choice:
                point[name] = dimension.choice.index(params[name])
            else:
                return None
        return point

    def misfit(self, params: Mapping[str, Any]) -> str | None:
        """Why parameters do not lie in this space, or None if they do."""
        names = set(self.dimensions)
        if set(params) != names:
            return f"they name {_listed(set(params))}, the space {_listed(names)}"
        for name, dimension in self.dimensions.items():
            if not _holds(dimension, params[name]):
                return f"{name}: {params[name]!r} is not in the space"
        return None

    def indices(self, point: Mapping[str, float]) -> dict[str, list[int]]:
        """Indices of the choices, for the trial's record."""
        return {name: [int(point[name])] for name, d in self.dimensions.items() if d.choice is not None}


def check_space(dimensions: Mapping[str, SearchDimension] | None, loss: str | None = None) -> None:
    """Judge what a method, its task and its plugin name. Raises PlanInvalid naming the first that cannot be used.

    Args:
        dimensions: the parameters that are named.
        loss: as `settings.loss` names it.
    """
    if dimensions is None:
        return
    check_search_space(dict(dimensions))
    _check_thresholds(dimensions)
    if loss in PAIRWISE_LOSSES and any(_ends(dimensions[PHRASES]) if PHRASES in dimensions else ()):
        raise PlanInvalid(
            f"initialParams.{PHRASES}: settings.loss {loss} has no in-batch negatives, which alone learn from phrases;"
            " leave it out, or choose another loss"
        )
    if loss in UNWEIGHED and any(value != 1 for value in _ends(dimensions.get(UNCLICKED, _ONE))):
        raise PlanInvalid(
            f"initialParams.{UNCLICKED}: settings.loss {loss} does not weigh unclicked results; leave it out, or choose"
            " ListwiseSoftmaxLoss"
        )


def complete_space(dimensions: Mapping[str, SearchDimension] | None, preset: Preset) -> Space:
    """The preset with the dimensions that are named in place of its own.

    Trial 0 has the preset's value of every parameter. It is drawn where a named dimension does not hold that value,
    or where the preset has none.
    """
    named = dimensions or {}
    every = {**preset.dimensions(), **named}
    point = dict(preset.point)
    for name, dimension in named.items():
        if dimension.choice is not None and len(dimension.choice) == 1:
            point[name] = dimension.choice[0]
    begins = set(point) == set(every) and all(_holds(every[name], point[name]) for name in every)
    return Space(every, point if begins else None)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _holds(dimension: SearchDimension, value: Any) -> bool:
    if dimension.choice is not None:
        return value in dimension.choice
    low, high = _ends(dimension)
    slack = 1e-9 * max(abs(low), abs(high))
    return isinstance(value, int | float) and low - slack <= value <= high + slack


def _check_thresholds(dimensions: Mapping[str, SearchDimension]) -> None:
    """No drawn minimum may reach a drawn maximum."""
    low, high = dimensions.get("min_abs_difference_threshold"), dimensions.get("max_abs_difference_threshold")
    values: dict[str, object] = {}
    if low is not None:
        values["min_abs_difference_threshold"] = max(_ends(low))
    if high is not None:
        values["max_abs_difference_threshold"] = min(_ends(high))
    parse_params(values)


def _ends(dimension: SearchDimension) -> list[float]:
    if dimension.choice is not None:
        return [float(v) for v in dimension.choice]
    bounds: Uniform | LogUniform | QUniform | None = dimension.uniform or dimension.log_uniform or dimension.quniform
    return [] if bounds is None else [bounds.low, bounds.high]


def _draw(name: str, dimension: SearchDimension) -> Any:
    from hyperopt import hp  # takes seconds, and the check only judges the space

    if dimension.choice is not None:
        return hp.choice(name, list(range(len(dimension.choice))))
    if dimension.uniform is not None:
        return hp.uniform(name, dimension.uniform.low, dimension.uniform.high)
    if dimension.log_uniform is not None:
        return hp.loguniform(name, math.log(dimension.log_uniform.low), math.log(dimension.log_uniform.high))
    assert dimension.quniform is not None  # noqa: S101
    # hyperopt rounds what it draws between the bounds to a multiple of q, which may lie beyond them.
    low, high = multiples(dimension.quniform)
    half = dimension.quniform.q / 2
    return hp.quniform(name, low - half, high + half, dimension.quniform.q)
