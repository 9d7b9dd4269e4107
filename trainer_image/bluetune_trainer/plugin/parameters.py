"""Which hyperparameters there are and which values they may take: what the schema of a manifest cannot type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bluetune_api.method import SearchDimension, SearchSpace

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
DECAY = Kind("a number from 0 to 1", lambda v: _number(v) and 0 <= v <= 1)
DISTANCE = Kind("a number from 0 to 2", lambda v: _number(v) and 0 <= v <= 2)
SHARE = Kind("a number from 0 to 1", lambda v: _number(v) and 0 <= v <= 1)

PARAMETERS: dict[str, Kind] = {
    "num_fixed_layers": Kind("a whole number from 0 to 1000", lambda v: _whole(v) and 0 <= v <= 1000, integer=True),
    "query_lr": RATE,
    "items_lr": RATE,
    "query_weight_decay": DECAY,
    "items_weight_decay": DECAY,
    "margin": DISTANCE,
    "not_irrelevant_only": Kind("true or false", lambda v: isinstance(v, bool), continuous=False),
    "negative_downsampling": SHARE,
    "min_abs_difference_threshold": DISTANCE,
    "max_abs_difference_threshold": DISTANCE,
    "examples_order": Kind("a list of numbers from 1 to 11", _orders, continuous=False),
    "temperature": Kind("a number above 0 and at most 10", lambda v: _number(v) and 0 < v <= 10),
}


def check_search_space(space: SearchSpace) -> None:
    """Judge a search space.

    Raises:
        PlanInvalid: naming the parameter, the value and what it should be.
    """
    for name, dimension in space.items():
        kind = PARAMETERS.get(name)
        if kind is None:
            raise PlanInvalid(f"initialParams.{name}: there is no such parameter; {alternatives(name, PARAMETERS)}")
        problem = _problem(dimension, kind)
        if problem:
            raise PlanInvalid(f"initialParams.{name}.{problem}")


def _problem(dimension: SearchDimension, kind: Kind) -> str | None:
    if dimension.choice is not None:
        wrong = [value for value in dimension.choice if not kind.accepts(value)]
        return f"choice: {wrong[0]!r} must be {kind.expects}" if wrong else None
    used = "uniform" if dimension.uniform else "logUniform" if dimension.log_uniform else "quniform"
    bounds = dimension.uniform or dimension.log_uniform or dimension.quniform
    assert bounds is not None  # noqa: S101 - the API's rule: exactly one is set
    if not kind.continuous:
        return f"{used}: takes {kind.expects}; use choice"
    if kind.integer and dimension.quniform is None:
        return f"{used}: takes {kind.expects}; use choice, or quniform with a whole q"
    values = [bounds.low, bounds.high]
    if kind.integer and dimension.quniform is not None:
        values.append(dimension.quniform.q)
        if any(not float(value).is_integer() for value in values):
            return f"quniform: low, high and q must be whole numbers, they are {', '.join(f'{v:g}' for v in values)}"
        values = [int(value) for value in values[:2]]
    wrong = [value for value in values if not kind.accepts(value)]
    return f"{used}: {wrong[0]:g} must be {kind.expects}" if wrong else None
