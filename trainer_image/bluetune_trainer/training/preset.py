"""The preset: what a trial is given where nobody says otherwise. It follows the model and the loss. No torch here.

Two rules carry a learning rate from the model that it was measured on to others: Adam's rate goes with one over the
width (Yang et al. 2022, Tensor Programs V) and with one over the root of the depth (Yang et al. 2023, Tensor Programs
VI). MiniLM's 1e-4 so becomes 3.5e-5 for a model of 12 layers of 768, and 1.9e-5 for one of 24 layers of 1,024.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bluetune_api.method import LogUniform, SearchDimension

MEASURED_RATE, MEASURED_LAYERS, MEASURED_WIDTH = 1e-4, 6, 384
"""all-MiniLM-L6-v2, for which the rate was chosen: see benchmarks/README.md."""
HIGHEST_RATE = 1e-3
"""Maximum learning rate: for a much narrower model the rule asks for more than is known to be safe."""
FROZEN_SHARE = 0.5
"""Share of the layers that are frozen, from the bottom: MiniLM's 3 of 6."""
LORA_FACTOR = 10.0
"""Adapters start at zero and are few: they take about ten times the rate of full weights (Schulman et al. 2025, LoRA
Without Regret)."""
SEARCHED = 2.0
"""The search goes from the preset's rate to so many times of it."""
TEMPERATURE = 0.05
UNCLICKED_WEIGHT = 0.0
PHRASES_PER_SESSION = 2.0
INTERPOLATION = 0.5


@dataclass(frozen=True)
class Subject:
    """What the preset follows: the model, and how it is trained."""

    layers: int
    """Transformer layers of a tower; of two towers, the one that has fewer."""
    width: int
    """Width of the layers."""
    freezable: bool = True
    """Whether layers can be frozen one by one. They cannot where layers share their weights."""
    lora: bool = False
    two_towers: bool = False
    """Queries and items have weights of their own, and so a rate each."""
    temperature: bool = True
    """Whether the loss has a temperature."""
    trusts_negatives: bool = True
    """Whether the loss weighs unclicked results by their confidence."""
    phrases: bool = True
    """Whether the loss learns from in-batch negatives, as phrases need."""


@dataclass(frozen=True)
class Preset:
    """A value for each parameter, and the ranges that a search goes through when nobody names others."""

    point: Mapping[str, Any]
    ranges: Mapping[str, SearchDimension]

    def dimensions(self) -> dict[str, SearchDimension]:
        """The preset as a search space."""
        return {name: self.ranges.get(name) or SearchDimension(choice=[value]) for name, value in self.point.items()}


def preset(subject: Subject) -> Preset:
    """The preset for a model and a loss."""
    rate = learning_rate(subject)
    point: dict[str, Any] = {"num_fixed_layers": frozen_layers(subject), "items_lr": rate}
    if subject.two_towers:
        point["query_lr"] = rate
    if subject.temperature:
        point["temperature"] = TEMPERATURE
    if subject.trusts_negatives:
        point["unclicked_weight"] = UNCLICKED_WEIGHT
    if subject.phrases:
        point["phrases_per_session"] = PHRASES_PER_SESSION
    point["interpolation"] = INTERPOLATION
    # Narrow on purpose. Trials are judged by clicks, which were made under the live ranking: of a wider space, they
    # chose the trial that changed the least (Semanlink: 0.476 on unseen tags, where the first point has 0.487).
    return Preset(point, {"items_lr": SearchDimension(log_uniform=LogUniform(low=rate, high=SEARCHED * rate))})


def frozen_layers(subject: Subject) -> int:
    """Layers that stay as they are, from the bottom; one at least is trained."""
    return math.floor(FROZEN_SHARE * subject.layers) if subject.freezable else 0


def learning_rate(subject: Subject) -> float:
    """AdamW's, with two digits: a record shows what was meant."""
    rate = MEASURED_RATE * MEASURED_WIDTH / subject.width * math.sqrt(MEASURED_LAYERS / max(subject.layers, 1))
    return float(f"{min(rate * (LORA_FACTOR if subject.lora else 1), HIGHEST_RATE):.1e}")
