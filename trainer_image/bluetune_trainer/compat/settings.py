"""`FineTuningSettings`: how trials train, as objects instead of names, with the document's defaults."""

from collections.abc import Callable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from bluetune_api.method import Settings
from bluetune_trainer.ranking.confidences import dummy_confidences
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.ranking.metrics import MetricCalculator
from bluetune_trainer.ranking.rankers import COSINE_DISTANCE, COSINE_SIMILARITY, DOT_PRODUCT, EUCLIDEAN_DISTANCE

ONCE_AN_EPOCH = 1e9
"""More sessions than an epoch has: the manifest's settings count sessions and have no -1."""


class FineTuningSettings(BaseModel):
    """How trials train. Whatever a FineTuningMethod or a task says in its `settings` goes before it."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    loss_func: RankingLossInterface
    """The loss; each trial gets a copy of it, with the trial's margin."""
    metric_calculators: list[MetricCalculator] | None = None
    """Metrics reported beside the built-in ones."""
    ranker: Callable[[Tensor, Tensor], Tensor] | None = COSINE_SIMILARITY
    """[n, dimension] queries, [m, dimension] items → [n, m] ranks."""
    is_similarity: bool | None = True
    """Whether a higher rank means more relevant (true), or a lower one (false)."""
    confidence_calculator: Callable[..., Any] | None = dummy_confidences
    """How far each result's click, or its absence, can be trusted."""
    step_size: int | None = Field(default=500, ge=1)
    """Optimizer steps after which the learning rate is multiplied by gamma."""
    gamma: float | None = Field(default=0.9, gt=0, le=1)
    """Factor on the learning rate."""
    num_epochs: int | None = Field(default=10, ge=1)
    """Maximum epochs of a trial."""
    batch_size: int | None = Field(default=1, ge=1)
    """Sessions in a batch."""
    test_each_n_inputs: float | int | None = -1
    """Sessions between two validations; between 0 and 1 a share of an epoch; not above 0: once an epoch."""

    @model_validator(mode="after")
    def _ranker_and_direction_agree(self) -> Self:
        """A built-in ranker taken for its opposite would train the model backwards."""
        similarities, distances = (COSINE_SIMILARITY, DOT_PRODUCT), (COSINE_DISTANCE, EUCLIDEAN_DISTANCE)
        names: dict[Any, bool] = {**dict.fromkeys(similarities, True), **dict.fromkeys(distances, False)}
        grows = names.get(self.ranker) if self.ranker is not None else None
        if None not in (grows, self.is_similarity) and grows != self.is_similarity:
            name = getattr(self.ranker, "__name__", "")
            raise ValueError(f"is_similarity: {self.is_similarity} contradicts the ranker {name}; set it to {grows}")
        return self

    def as_settings(self) -> Settings:
        """What a manifest can say of it: all but the objects. Embedding Studio has no warmup."""
        each = self.test_each_n_inputs
        return Settings(
            is_similarity=self.is_similarity,
            step_size=self.step_size,
            gamma=self.gamma,
            warmup=0.0,
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            test_each_n_inputs=None if each is None else float(each) if each > 0 else ONCE_AN_EPOCH,
        )
