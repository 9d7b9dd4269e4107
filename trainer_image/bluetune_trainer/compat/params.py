"""`FineTuningParams`: the eleven hyperparameters of one trial, with the document's types and defaults."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bluetune_trainer.ranking.features import ExamplesType


class FineTuningParams(BaseModel):
    """Hyperparameters of one trial. The search draws them from `initial_params`; this class checks a set of them.

    Raises pydantic's ValidationError, which names the field and the value, for what cannot be used.
    """

    model_config = ConfigDict(extra="forbid")

    num_fixed_layers: int = Field(ge=0)
    """Layers that stay as they are, counted from the input."""
    query_lr: float = Field(gt=0)
    """Learning rate of a query encoder of its own; one encoder for both takes `items_lr`."""
    items_lr: float = Field(gt=0)
    """Learning rate of the items' encoder."""
    query_weight_decay: float = Field(ge=0)
    """Weight decay of a query encoder of its own."""
    items_weight_decay: float = Field(ge=0)
    """Weight decay of the items' encoder."""
    margin: float = Field(ge=0)
    """Margin of the ranking loss."""
    not_irrelevant_only: bool
    """Leave sessions without a click out."""
    negative_downsampling: float = Field(ge=0, le=1)
    """Share of the results without a click that is kept; one always stays."""
    min_abs_difference_threshold: float = 0.0
    """Pairs whose ranks differ by no more are left out."""
    max_abs_difference_threshold: float = 1.0
    """Pairs whose ranks differ by as much or more are left out."""
    examples_order: list[ExamplesType] = [ExamplesType.all_examples]
    """Kinds of examples, each fed for an equal part of the training, in this order."""

    @field_validator("examples_order", mode="before")
    @classmethod
    def _orders(cls, value: Any) -> Any:
        """A text of numbers with commas between them, which is how a tracker gives them back, is a list, too."""
        return [int(part) for part in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _some_pair_is_left(self) -> "FineTuningParams":
        if self.min_abs_difference_threshold >= self.max_abs_difference_threshold:
            raise ValueError("min_abs_difference_threshold must be below max_abs_difference_threshold")
        return self


def as_choices(initial_params: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """`initial_params` with every list of choices in plain JSON types.

    Raises:
        ValueError: an entry is no list of choices, or an empty one.
    """
    choices: dict[str, list[Any]] = {}
    for name, values in initial_params.items():
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise ValueError(f"initial_params[{name!r}] must be a list of choices, this is {values!r}")
        choices[name] = [_plain(value) for value in values]
        if not choices[name]:
            raise ValueError(f"initial_params[{name!r}] is empty; give at least one choice")
    return choices


def defaults_of_embedding_studio(loss: object) -> dict[str, list[Any]]:
    """What a trial has where a plugin's parameters do not say: parameters that Embedding Studio does not know at the
    values that leave them out, and the temperature of a loss that has one.
    """
    defaults: dict[str, list[Any]] = {
        "unclicked_weight": [1.0],
        "phrases_per_session": [0.0],
        "interpolation": [1.0],
    }
    temperature = getattr(loss, "temperature", None)
    if isinstance(temperature, int | float):
        defaults["temperature"] = [float(temperature)]
    return defaults


def _plain(value: Any) -> Any:
    if isinstance(value, ExamplesType):
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if hasattr(value, "item") else value
