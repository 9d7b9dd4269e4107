"""Our training step, as a trial makes it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss
from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY
from bluetune_trainer.training.activations import ActivationCaches
from bluetune_trainer.training.batches import Batcher, SessionBatch, number_sessions
from bluetune_trainer.training.embedder import Embedder, Filling, freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.filling import fill_order
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams
from speed.worlds import MODEL, World

LEARNING_RATE = 2e-5


@dataclass
class Side:
    """A contender: one optimizer step on `sessions` sessions a call."""

    name: str
    sessions: int
    step: Callable[[int], None]
    """Number of the batch."""
    note: str = ""
    encode: Callable[[int], None] | None = field(default=None)
    """The encoder's forward and backward pass alone."""
    tokens: Callable[[int], int] | None = field(default=None)
    """Real tokens of a batch."""


def ours(world: World, batch: int, *, fixed: int, bf16: bool) -> Side:
    """All layers above the `fixed` lowest are trained; what these compute is remembered before the clock starts."""
    encoder = Encoder.load(MODEL)
    table = InputTable(encoder)
    numbered = number_sessions(world[1], world[0], table)
    filling = Filling(fill_order(table, numbered, np.zeros(0, np.int64), batch, seed=0))
    caches = ActivationCaches(Path(tempfile.mkdtemp(prefix="speed-")))
    embedder: Embedder = freeze(table, fixed, caches, filling, bf16=bf16)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, fused=True)
    batcher = Batcher(numbered, np.ones(len(numbered.items), np.float32))
    batches: list[SessionBatch] = [batcher.batch(np.arange(i, i + batch)) for i in range(0, len(numbered), batch)]
    features, loss = FeatureMaker(TrialParams(), COSINE_SIMILARITY, is_similarity=True), ListwiseSoftmaxLoss()
    if fixed:
        with torch.no_grad():
            for each in batches:
                embedder.embed(each.texts)

    def step(i: int) -> None:
        optimizer.zero_grad()
        loss(features(batches[i], embedder.embed(batches[i].texts))).backward()
        optimizer.step()

    def encode(i: int) -> None:
        optimizer.zero_grad()
        embedder.embed(batches[i].texts).sum().backward()

    layers = encoder.transformer().config.num_hidden_layers  # type: ignore[union-attr]
    what = "all layers" if not fixed else f"{layers - fixed} of {layers} layers"
    return Side(
        f"bluetune, {what}, {'bf16' if bf16 else 'fp32'}",
        batch,
        step,
        encode=None if fixed else encode,
        tokens=lambda i: int(table.lengths(batches[i].texts).sum()),
    )
