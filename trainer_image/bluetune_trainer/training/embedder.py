"""Vectors of numbered inputs, with gradient, in as few and as dense forward passes as the token budget allows."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bluetune_trainer.training.activations import ActivationCache, ActivationCaches, bytes_needed
from bluetune_trainer.training.filling import FillOrder
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.memory import tokens_that_fit
from bluetune_trainer.training.model import Model, Tower
from bluetune_trainer.training.parts_of_items import by_item
from bluetune_trainer.training.ranks import shared

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """A tower whose layers below a cut run once for each input."""

    split: LayerSplit
    cache: ActivationCache


@dataclass(frozen=True)
class Filling:
    """How what frozen layers compute comes into its cache."""

    order: FillOrder = field(default_factory=FillOrder)
    """What a CPU computes together. A GPU computes what is missing: its bits vary anyway."""
    rows: int = 0
    """How many will be computed, about; 0 where that is not known, and all are remembered."""
    sample: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Some of them, evenly."""
    heed: Callable[[], None] = lambda: None
    """Called before each chunk; may raise to stop."""


class Embedder:
    """A model over a table of its inputs.

    Args:
        table: of the model's inputs.
        cuts: of the towers that are partly frozen, if what the frozen layers compute is remembered.
        filling: how.
        bf16: whether the towers compute in bfloat16 where autocast allows.
        recompute: keep only the vectors of each chunk, and compute the chunk again when its gradient is asked for.
            This is GradCache (Gao et al. 2021, arXiv 2101.06983) with a chunk as its sub-batch: the loss sees the whole
            batch, memory holds the activations of one chunk. Happens by itself when a batch would not fit a GPU.
        model: another one of the same inputs; default: the table's own.
    """

    def __init__(
        self,
        table: InputTable,
        cuts: Sequence[Cut] = (),
        filling: Filling | None = None,
        *,
        bf16: bool = False,
        recompute: bool = False,
        model: Model | None = None,
    ) -> None:
        self.table = table
        self.model = model or table.model
        self.bf16 = bf16
        self.recompute = recompute
        self.fits = tokens_that_fit(self.model)
        self._cuts = {id(cut.split.tower): cut for cut in cuts}
        self._filling = filling or Filling()

    def embed(self, numbers: NDArray[np.int64]) -> Tensor:
        """[n] different numbers of inputs → [n, dimension] vectors in float32.

        [n, most parts, dimension] if one of them is an item in parts; see `parts_of_items`.
        """
        rows, counts = self.table.rows_of(numbers)
        vectors = shared(rows, self._rows)
        return vectors if counts is None else by_item(vectors, counts)

    def _rows(self, numbers: NDArray[np.int64]) -> Tensor:
        # One autocast context a step: weights are cast once, and what follows the towers computes in float32.
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
            if self.model.shared:
                return self._embed(self.model.tower("item"), numbers)
            queries = self.table.of_query_tower(numbers)
            order = [np.flatnonzero(~queries), np.flatnonzero(queries)]
            vectors = [
                self._embed(tower, numbers[at]) for tower, at in zip(self.model.towers(), order, strict=True) if len(at)
            ]
            return _put_back(torch.cat(vectors), np.concatenate(order))

    def _embed(self, tower: Tower, numbers: NDArray[np.int64]) -> Tensor:
        cut = self._cuts.get(id(tower))
        if cut is not None:
            self._fill_missing(cut, numbers)
        lengths = self.table.lengths(numbers)
        chunks = tower.chunks(lengths, self.fits)
        again = self.recompute or sum(len(chunk) * int(lengths[chunk].max()) for chunk in chunks) > self.fits
        if again and torch.is_grad_enabled():
            parts = [checkpoint(self._chunk, tower, cut, numbers[chunk], use_reentrant=False) for chunk in chunks]
        else:
            parts = [self._chunk(tower, cut, numbers[chunk]) for chunk in chunks]
        vectors = torch.cat(parts)
        return _put_back(vectors, np.concatenate(chunks))

    def _chunk(self, tower: Tower, cut: Cut | None, numbers: NDArray[np.int64]) -> Tensor:
        batch = self._batch(tower, numbers)
        if cut is None:
            vectors: Tensor = tower(*batch)
            return vectors
        hidden = cut.cache.gather(numbers, packed=tower.packs).to(batch[0].device)
        return cut.split.upper(hidden, *batch)

    def _fill_missing(self, cut: Cut, numbers: NDArray[np.int64]) -> None:
        missing = cut.cache.missing(numbers)
        on_cpu = self.model.device.type == "cpu"
        groups = list(self._filling.order.together(missing)) if on_cpu else [missing]
        if len(missing):
            self.table.lengths(np.concatenate(groups))  # tokenized at once
        for group in groups:
            lengths = self.table.lengths(group)
            for chunk in cut.split.tower.chunks(lengths):
                self._filling.heed()
                state = cut.split.lower(*self._batch(cut.split.tower, group[chunk])).cpu()
                for row, position in enumerate(chunk.tolist()):
                    cut.cache.put(int(group[position]), state[row, : lengths[position]])

    def lower(self, split: LayerSplit, rows: NDArray[np.int64]) -> Tensor:
        """[n, positions, width] what the layers below the cut make of these rows of its tower."""
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
            return split.lower(*self._batch(split.tower, rows))

    def _batch(self, tower: Tower, numbers: NDArray[np.int64]) -> tuple[Tensor, ...]:
        device = tower.device
        return tuple(part.to(device) for part in tower.collate(self.table.rows(numbers)))


def _put_back(vectors: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Rows that stand in this order → rows by position."""
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return vectors[torch.from_numpy(back).to(vectors.device)]


def freeze(
    table: InputTable,
    depth: int,
    caches: ActivationCaches,
    filling: Filling | None = None,
    *,
    bf16: bool = False,
    recompute: bool = False,
) -> Embedder:
    """The table's model with each tower frozen below `depth`, and what the frozen layers compute remembered.

    Not remembered where `filling` says that there will be more than the caches may hold: each step then computes the
    frozen layers of its own inputs, without a gradient.

    Raises PlanInvalid when `depth` leaves a tower nothing to train.
    """
    filling = filling or Filling()
    splits = [LayerSplit(tower, depth) for tower in table.model.towers()]
    for split in splits:
        split.freeze()
    plain = Embedder(table, bf16=bf16, recompute=recompute)
    if not depth:
        return plain
    if not all(split.holds() for split in splits):
        log.warning(
            "frozen layers are computed in every step: this model's cannot be computed apart from the others",
            extra={"num_fixed_layers": depth},
        )
        return plain
    needed = _needed(plain, splits, filling)
    if not caches.budget.holds(needed):
        log.warning(
            "frozen layers are computed in every step: what they compute for all texts would not fit",
            extra={
                "num_fixed_layers": depth,
                "texts": filling.rows,
                "needed_bytes": needed,
                "memory_bytes": caches.budget.memory,
                "disk_bytes": caches.budget.disk,
            },
        )
        return plain
    found = caches.of(splits, needed, bf16=bf16)
    cuts = [Cut(split, cache) for split, cache in zip(splits, found, strict=True)]
    return Embedder(table, cuts, filling, bf16=bf16, recompute=recompute)


def _needed(embedder: Embedder, splits: Sequence[LayerSplit], filling: Filling) -> int:
    """Bytes that all activations will take: by the lengths of a sample, and by what one text of each tower gives."""
    table, sample = embedder.table, filling.sample
    if not len(sample):
        return 0
    needed = 0
    of_query = table.of_query_tower(sample)
    for split, own in zip(splits, (sample[~of_query], sample[of_query]), strict=False):
        if len(own):
            state = embedder.lower(split, own[:1])
            tokens = round(float(table.lengths(own).sum()) / len(sample) * filling.rows)
            needed += bytes_needed(tokens, state.shape[-1], state.element_size())
    return needed
