"""Which hyperparameters there are and which values they may take: what a manifest's schema cannot type. No torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bluetune_api.method import QUniform, SearchDimension, SearchSpace
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.plugin.loading import alternatives

EXAMPLE_ORDERS = range(1, 12)
"""1 medium_all … 11 all_examples."""


@dataclass(frozen=True)
class Kind:
    """What one parameter's values must be."""

    expects: str
    """For people."""
    accepts: Callable[[Any], bool]
    """Whether a value of a choice is one."""
    integer: bool = False
    """Whether `quniform` must step over whole numbers; `uniform` cannot give them at all."""
    continuous: bool = True
    """Whether ranges make sense."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _orders(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_whole(v) and v in EXAMPLE_ORDERS for v in value)


RATE = Kind("a number above 0 and at most 1", lambda v: _number(v) and 0 < v <= 1)
SHARE = Kind("a number from 0 to 1", lambda v: _number(v) and 0 <= v <= 1)
DIFFERENCE = Kind("a number from 0 to 1000", lambda v: _number(v) and 0 <= v <= 1000)

PARAMETERS: dict[str, Kind] = {
    "num_fixed_layers": Kind("a whole number from 0 to 1000", lambda v: _whole(v) and 0 <= v <= 1000, integer=True),
    "query_lr": RATE,
    "items_lr": RATE,
    "query_weight_decay": SHARE,
    "items_weight_decay": SHARE,
    "margin": DIFFERENCE,
    "not_irrelevant_only": Kind("true or false", lambda v: isinstance(v, bool), continuous=False),
    "negative_downsampling": SHARE,
    "unclicked_weight": SHARE,
    "min_abs_difference_threshold": DIFFERENCE,
    "max_abs_difference_threshold": DIFFERENCE,
    "examples_order": Kind("a list of numbers from 1 to 11", _orders, continuous=False),
    "phrases_per_session": Kind("a number from 0 to 100", lambda v: _number(v) and 0 <= v <= 100),
    "interpolation": Kind("a number above 0 and at most 1", lambda v: _number(v) and 0 < v <= 1),
    "temperature": Kind("a number above 0 and at most 10", lambda v: _number(v) and 0 < v <= 10),
}


def parse_value(name: str, value: object) -> Any:
    """A parameter's value with its right type. Raises PlanInvalid naming parameter, value and what it should be."""
    kind = _kind(name)
    if isinstance(value, tuple):
        value = list(value)
    if kind.integer and isinstance(value, float) and value.is_integer():
        value = int(value)  # what quniform draws
    if not kind.accepts(value):
        raise PlanInvalid(f"initialParams.{name}: {value!r} must be {kind.expects}")
    if isinstance(value, list):
        return tuple(value)
    return float(value) if isinstance(value, int) and kind.continuous and not kind.integer else value


def check_search_space(space: SearchSpace) -> None:
    """Judge each parameter of a search space by itself. Raises PlanInvalid naming the first that cannot be used."""
    for name, dimension in space.items():
        problem = _problem(dimension, _kind(name))
        if problem:
            raise PlanInvalid(f"initialParams.{name}.{problem}")


def multiples(dimension: QUniform) -> tuple[float, float]:
    """The smallest and the largest multiple of q between low and high; the first is larger if there is none."""
    slack = 1e-9  # 0.3 is a multiple of 0.1, whatever binary fractions make of it
    q = dimension.q
    return math.ceil(dimension.low / q - slack) * q, math.floor(dimension.high / q + slack) * q


def _kind(name: str) -> Kind:
    kind = PARAMETERS.get(name)
    if kind is None:
        raise PlanInvalid(f"initialParams.{name}: there is no such parameter; {alternatives(name, PARAMETERS)}")
    return kind


def _problem(dimension: SearchDimension, kind: Kind) -> str | None:
    if dimension.choice is not None:
        wrong = [value for value in dimension.choice if not kind.accepts(value)]
        return f"choice: {wrong[0]!r} must be {kind.expects}" if wrong else None
    used = "uniform" if dimension.uniform else "logUniform" if dimension.log_uniform else "quniform"
    bounds = dimension.uniform or dimension.log_uniform or dimension.quniform
    if bounds is None:
        return "choice: set exactly one of choice, uniform, logUniform and quniform"
    if not kind.continuous:
        return f"{used}: takes {kind.expects}; use choice"
    if kind.integer and dimension.quniform is None:
        return f"{used}: takes {kind.expects}; use choice, or quniform with a whole q"
    if dimension.quniform is not None:
        low, high = multiples(dimension.quniform)
        if low > high:
            return f"quniform: no multiple of {dimension.quniform.q:g} lies between {bounds.low:g} and {bounds.high:g}"
    values: list[float] = [bounds.low, bounds.high]
    if kind.integer and dimension.quniform is not None:
        if any(not float(value).is_integer() for value in (*values, dimension.quniform.q)):
            return "quniform: low, high and q must be whole numbers"
        values = [int(value) for value in values]
    wrong = [value for value in values if not kind.accepts(value)]
    return f"{used}: {wrong[0]:g} must be {kind.expects}" if wrong else None
