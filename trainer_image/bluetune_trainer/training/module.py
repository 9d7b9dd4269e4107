"""The LightningModule: one step = one encode of the batch's different texts, and the loss by session."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.batches import SessionBatch
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.examples_fed import ExamplesFed
from bluetune_trainer.training.groups import parameter_groups
from bluetune_trainer.training.matryoshka import truncate
from bluetune_trainer.training.params import TrainingSettings, TrialParams
from bluetune_trainer.training.steps import StepPlan, rate_of

Evaluate = Callable[[Embedder], dict[str, float]]
"""Validation: metrics, `val_loss` among them."""


class FeatureMaker:
    """From a batch and its texts' vectors to what a loss sees."""

    def __init__(self, params: TrialParams, ranker: Ranker, *, is_similarity: bool) -> None:
        self._params = params
        self._ranker = ranker
        self._is_similarity = is_similarity

    def __call__(
        self, batch: SessionBatch, vectors: Tensor, examples: ExamplesType = ExamplesType.all_examples
    ) -> RankingFeatures:
        device = vectors.device
        result_at = torch.from_numpy(batch.result_at).to(device)
        queries = vectors[torch.from_numpy(batch.query_at).to(device)]
        items = vectors[torch.from_numpy(batch.item_at).to(device)]
        batch_ranks = self._ranker(queries, items)
        return RankingFeatures(
            ranks=batch_ranks.gather(1, result_at),
            clicked=torch.from_numpy(batch.clicked).to(device),
            valid=torch.from_numpy(batch.valid).to(device),
            confidences=torch.from_numpy(batch.confidences).to(device),
            is_similarity=self._is_similarity,
            batch_ranks=batch_ranks,
            batch_allowed=torch.from_numpy(batch.allowed).to(device),
            min_abs_difference=self._params.min_abs_difference_threshold,
            max_abs_difference=self._params.max_abs_difference_threshold,
            examples=examples,
            weights=None if batch.weights is None else torch.from_numpy(batch.weights).to(device),
            shown_rank=None if batch.shown_rank is None else torch.from_numpy(batch.shown_rank).to(device),
            truncated=lambda dimension: self(batch, truncate(vectors, dimension), examples),
        )


def loss_of(loss: RankingLossInterface, features: RankingFeatures) -> Tensor:
    """The loss of a batch; zero, with gradient zero, where it has a mean over pairs and the batch holds none.

    Raises:
        PluginFailed: it is no number.
    """
    value: object = loss(features)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"a tensor of {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise PluginFailed(f"{type(loss).__name__} must return a tensor of one number, it returned {found}")
    if torch.isfinite(value) or features.has_pairs:
        return value.reshape(())
    return (features.ranks * 0.0).sum()


class FineTuner(pl.LightningModule):
    """Automatic optimization: one AdamW, its rate set after every optimizer step."""

    def __init__(
        self,
        embedder: Embedder,
        loss: RankingLossInterface,
        features: FeatureMaker,
        evaluate: Evaluate,
        params: TrialParams,
        settings: TrainingSettings,
        plan: StepPlan,
    ) -> None:
        super().__init__()
        self.model = embedder.model
        self.loss = loss
        self._embedder = embedder
        self._features = features
        self._evaluate = evaluate
        self._params = params
        self._settings = settings
        self._plan = plan
        self._examples = ExamplesFed()
        self.strict_loading = False

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._examples.any = checkpoint["examples_fed"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained; the rest is the start version's."""
        checkpoint["examples_fed"] = self._examples.any
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {n: value for n, value in checkpoint["state_dict"].items() if n in trained}

    def examples(self) -> ExamplesType:
        """The kind of examples that this step feeds: `examples_order` divides the steps evenly."""
        order = self._params.examples_order
        phase = min(self.global_step * len(order) // self._plan.steps, len(order) - 1)
        return ExamplesType(order[phase])

    def training_step(self, batch: SessionBatch, batch_idx: int) -> Tensor:
        vectors = self._embedder.embed(batch.texts)
        features = self._features(batch, vectors, self.examples())
        self._examples.see(features, in_batch=self.loss.in_batch_negatives)
        return loss_of(self.loss, features) * self._plan.weight(batch_idx)

    def nothing_was_fed(self) -> str | None:
        """Why the trial learned from nothing so far, if that is so and no other kind of examples is to come."""
        last = self.examples() == self._params.examples_order[-1]
        return self._examples.problem(self._params) if last else None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log_dict(self._evaluate(self._embedder), batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        groups = parameter_groups(self, self.model, self._params)
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_of(self._settings, self._plan.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "frequency": 1}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # Batches are numbers; the embedder moves the tokens that it needs.
        return batch


class EpochBatches(torch.utils.data.IterableDataset[SessionBatch]):
    """Batches of an epoch; each epoch has its own order, given by (seed, trial, epoch).

    Args:
        make: batches of an epoch from its generator.
        seed: of all epochs.
        count: batches in an epoch.
        epoch: says which epoch, from 0, the trainer is in.
        position: epoch and number of its batches that an earlier process fed; they are made, but not fed again.
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator], Iterator[SessionBatch]],
        seed: list[int],
        count: int,
        epoch: Callable[[], int],
        position: tuple[int, int] = (0, 0),
    ) -> None:
        self._make = make
        self._seed = seed
        self._count = count
        self._epoch = epoch
        self._position = position

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[SessionBatch]:
        # A generator: the epoch is asked for when the first batch is, by when the trainer has restored it.
        epoch = self._epoch()
        fed = self._position[1] if epoch == self._position[0] else 0
        yield from islice(self._make(np.random.default_rng([*self._seed, epoch])), fed, None)


class OneValidation(torch.utils.data.Dataset[int]):
    """A validation is one step: everything is embedded once, however many sessions there are."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        if index:
            raise IndexError(index)
        return 0
