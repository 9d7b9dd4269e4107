"""Vectors of numbered inputs, with gradient, in as few and as dense forward passes as the token budget allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bluetune_trainer.training.freezing import ActivationCache, ActivationCaches, LayerSplit
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.memory import tokens_that_fit
from bluetune_trainer.training.model import Tower
from bluetune_trainer.training.parts_of_items import by_item
from bluetune_trainer.training.ranks import own, shared


@dataclass(frozen=True)
class Cut:
    """A tower whose layers below a cut run once for each input."""

    split: LayerSplit
    cache: ActivationCache


class Embedder:
    """A model over a table of its inputs.

    Args:
        table: of the model's inputs.
        cuts: of the towers that are partly frozen.
        bf16: whether the towers compute in bfloat16 where autocast allows.
        recompute: keep only the vectors of each chunk, and compute the chunk again when its gradient is asked for.
            This is GradCache (Gao et al. 2021, arXiv 2101.06983) with a chunk as its sub-batch: the loss sees the whole
            batch, memory holds the activations of one chunk. Happens by itself when a batch would not fit a GPU.
    """

    def __init__(
        self, table: InputTable, cuts: Sequence[Cut] = (), *, bf16: bool = False, recompute: bool = False
    ) -> None:
        self.table = table
        self.model = table.model
        self.bf16 = bf16
        self.recompute = recompute
        self.fits = tokens_that_fit(table.model)
        self._cuts = {id(cut.split.tower): cut for cut in cuts}

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

    def fill(self, numbers: NDArray[np.int64], on_chunk: Callable[[], None] = lambda: None) -> None:
        """Compute what the frozen layers make of these inputs, all at once.

        Texts that share a forward pass share its padding, which moves last bits: filled so, the cache holds the same
        bits in every process, wherever its trial begins. `on_chunk` is called before each pass, and may raise to stop.
        """
        rows = own(self.table.rows_of(numbers)[0])
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
            for tower in self.model.towers():
                cut = self._cuts.get(id(tower))
                if cut is not None:
                    seen = rows
                    if not self.model.shared:
                        seen = rows[self.table.of_query_tower(rows) == (tower is self.model.tower("query"))]
                    missing = cut.cache.missing(seen)
                    self._fill(cut, missing, tower.chunks(self.table.lengths(missing)), on_chunk)

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
        hidden = cut.cache.gather(numbers.tolist(), packed=tower.packs).to(batch[0].device)
        return cut.split.upper(hidden, *batch)

    def _fill_missing(self, cut: Cut, numbers: NDArray[np.int64]) -> None:
        """On a CPU one by one, so that no text's bits depend on what else was missing; a GPU's vary anyway."""
        missing = cut.cache.missing(numbers)
        if self.model.device.type == "cpu":
            chunks = [np.array([position]) for position in range(len(missing))]
        else:
            chunks = cut.split.tower.chunks(self.table.lengths(missing))
        self._fill(cut, missing, chunks)

    def _fill(
        self,
        cut: Cut,
        missing: NDArray[np.int64],
        chunks: Sequence[NDArray[np.int64]],
        on_chunk: Callable[[], None] = lambda: None,
    ) -> None:
        lengths = self.table.lengths(missing)
        for chunk in chunks:
            on_chunk()
            state = cut.split.lower(*self._batch(cut.split.tower, missing[chunk])).cpu()
            for row, position in enumerate(chunk.tolist()):
                cut.cache.put(int(missing[position]), state[row, : lengths[position]])

    def _batch(self, tower: Tower, numbers: NDArray[np.int64]) -> tuple[Tensor, ...]:
        device = tower.device
        return tuple(part.to(device) for part in tower.collate(self.table.rows(numbers)))


def _put_back(vectors: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Rows that stand in this order → rows by position."""
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return vectors[torch.from_numpy(back).to(vectors.device)]


def freeze(
    table: InputTable, depth: int, caches: ActivationCaches, *, bf16: bool = False, recompute: bool = False
) -> Embedder:
    """The table's model with each tower frozen below `depth`, and what the frozen layers compute remembered.

    Raises PlanInvalid when that leaves a tower nothing to train.
    """
    splits = [LayerSplit(tower, depth) for tower in table.model.towers()]
    for split in splits:
        split.freeze()
    cuts = [Cut(split, caches.of(split, bf16=bf16)) for split in splits] if depth else []
    return Embedder(table, cuts, bf16=bf16, recompute=recompute)
