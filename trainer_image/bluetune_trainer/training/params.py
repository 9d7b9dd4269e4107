"""Hyperparameters of a trial and settings of a run, read strictly: whatever cannot be used is named. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from bluetune_api.method import EarlyStopping, HardNegatives, Lora, Propensity, Settings
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.plugin.loading import DISTANCES
from bluetune_trainer.training.parameters import parse_value


@dataclass(frozen=True)
class TrialParams:
    """What the search varies: the reference document's eleven parameters, and those of ours."""

    num_fixed_layers: int = 0
    """Layers that stay as they are, from the bottom; above 0 the embeddings stay too."""
    query_lr: float = 1e-4
    """Learning rate of a query encoder of its own; where queries and items share weights, `items_lr` rules."""
    items_lr: float = 1e-4
    """Learning rate of the item encoder."""
    query_weight_decay: float = 0.01
    """Weight decay of a query encoder of its own; where weights are shared, `items_weight_decay` rules."""
    items_weight_decay: float = 0.01
    """Weight decay of the item encoder."""
    margin: float = 0.2
    """Of the margin losses."""
    not_irrelevant_only: bool = True
    """Leave out sessions without a click; else their results are negatives for a partner session."""
    negative_downsampling: float = 1.0
    """Share of a session's unclicked results that is used; at least one stays."""
    unclicked_weight: float = 1.0
    """What a result that was shown and not clicked counts among the negatives of its session, where another item of
    the batch counts 1. People do not look at all that is shown, and what a ranker put on top is likely relevant. Only
    losses that trust negatives by their confidence go by it; it is 1 where a batch holds no other negative."""
    min_abs_difference_threshold: float | None = None
    """Pairs whose ranks differ by no more are left out; None: none is."""
    max_abs_difference_threshold: float | None = None
    """Pairs whose ranks differ by as much or more are left out; None: none is."""
    examples_order: tuple[int, ...] = (11,)
    """Kinds of examples (1 to 11), each fed for an equal part of the training, in this order."""
    temperature: float = 0.05
    """Of the listwise loss."""
    phrases_per_session: float = 0.0
    """Phrases of the items' own texts that are fed as queries, for each session of a batch; 0 for clicks alone. Only
    losses with in-batch negatives learn from them."""
    interpolation: float = 1.0
    """Where the weights that are validated and kept lie between the start version's (0) and the trained ones (1)."""


def parse_params(values: Mapping[str, object]) -> TrialParams:
    """A trial's parameters; absent ones get their defaults. Raises PlanInvalid for what cannot be used."""
    params = TrialParams(**{name: parse_value(name, value) for name, value in values.items()})
    low, high = params.min_abs_difference_threshold, params.max_abs_difference_threshold
    if low is not None and high is not None and low >= high:
        raise PlanInvalid(
            f"initialParams: min_abs_difference_threshold ({low:g}) must be below max_abs_difference_threshold"
            f" ({high:g}), or no pair is left"
        )
    return params


@dataclass(frozen=True)
class TrainingSettings:
    """`bluetune_api.method.Settings` with the preset's value wherever it says nothing."""

    loss: str = "ListwiseSoftmaxLoss"
    ranker: str = "COSINE_SIMILARITY"
    is_similarity: bool = True
    confidence_calculator: str = "dummy_confidences"
    matryoshka_dims: tuple[int, ...] = ()
    position_bias: Literal["None", "SkipAbove", "IPS"] = "None"
    propensity: Propensity = field(default_factory=Propensity)
    metrics: tuple[str, ...] = ()
    objective: str = "gain"
    step_size: int | None = None
    """Where neither this nor `gamma` is set, the rate falls linearly."""
    gamma: float | None = None
    num_epochs: int | None = None
    """None: see `steps.plan_steps`."""
    batch_size: int = 32
    accumulate_batches: int = 1
    gradient_clipping: float | None = None
    """Maximum L2 norm of all gradients together; None: as large as they are."""
    warmup: float = 0.1
    grad_cache: bool = False
    devices: int = 1
    lora: Lora | None = None
    hard_negatives: HardNegatives | None = None
    attention: Literal["Auto", "Padded", "Packed"] = "Auto"
    test_each_n_inputs: float = 1_000_000
    """An epoch, unless that is longer. Clicks within sessions judge a trial by a few hundred results: with validations
    inside an epoch, the luckiest of them is kept instead of the one that learned most."""
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    halving: bool = True
    precision: Literal["Auto", "FP32", "BF16"] = "Auto"
    max_tokens: int | None = None
    long_items: Literal["Truncate", "Split"] = "Truncate"
    parts_rank: Literal["Mean", "SoftMax", "SoftMin"] = "Mean"
    query_prompt: str | None = None
    item_prompt: str | None = None
    seed: int = 0


def resolve_settings(settings: Settings) -> TrainingSettings:
    """Fill in the preset."""
    names = {f.name for f in fields(TrainingSettings)}
    given = {name: value for name in names if (value := getattr(settings, name)) is not None}
    if "metrics" in given:
        given["metrics"] = tuple(given["metrics"])
    if "matryoshka_dims" in given:
        given["matryoshka_dims"] = tuple(sorted(set(given["matryoshka_dims"])))
    given.setdefault("is_similarity", given.get("ranker") not in DISTANCES)
    return TrainingSettings(**given)


__all__ = ["TrainingSettings", "TrialParams", "parse_params", "parse_value", "resolve_settings"]
