"""Vectors of numbered texts, with gradient, in as few and as dense forward passes as the token budget allows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.freezing import ActivationCache, LayerSplit
from bluetune_trainer.training.tokens import TextTable, pad, plan_chunks


class Embedder:
    """An encoder over a table of texts. With a cut and a cache, the layers below the cut run once for each text."""

    def __init__(
        self,
        encoder: Encoder,
        table: TextTable,
        split: LayerSplit | None = None,
        cache: ActivationCache | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        self.encoder = encoder
        self.table = table
        self.split = split if split is not None and split.depth else None
        self.cache = cache
        self.bf16 = bf16

    def embed(self, numbers: NDArray[np.int64]) -> Tensor:
        """[n] different text numbers → [n, dimension] unit vectors in float32."""
        # One autocast context a step: weights are cast once, and what follows the encoder computes in float32.
        with torch.autocast(self.encoder.device.type, torch.bfloat16, enabled=self.bf16):
            return self._embed(numbers)

    def _embed(self, numbers: NDArray[np.int64]) -> Tensor:
        lengths = self.table.lengths(numbers)
        chunks = plan_chunks(lengths, self.encoder.token_budget)
        if self.split is not None and self.cache is not None:
            self._fill(self.split, self.cache, numbers)
        vectors = torch.cat([self._chunk(numbers[chunk]) for chunk in chunks])
        back = np.empty(len(numbers), np.int64)
        back[np.concatenate(chunks)] = np.arange(len(numbers))
        return vectors[torch.from_numpy(back).to(vectors.device)]

    def _chunk(self, numbers: NDArray[np.int64]) -> Tensor:
        ids, mask = self._padded(numbers)
        if self.split is None or self.cache is None:
            vectors: Tensor = self.encoder(ids, mask)
            return vectors
        hidden = self.cache.gather(numbers.tolist()).to(ids.device)
        return self.encoder.pool(self.split.upper(hidden, ids, mask), mask)

    def _fill(self, split: LayerSplit, cache: ActivationCache, numbers: NDArray[np.int64]) -> None:
        missing = cache.missing(numbers)
        if not len(missing):
            return
        lengths = self.table.lengths(missing)
        for chunk in plan_chunks(lengths, self.encoder.token_budget):
            ids, mask = self._padded(missing[chunk])
            state = split.lower(ids, mask).cpu()
            for row, position in enumerate(chunk.tolist()):
                cache.put(int(missing[position]), state[row, : lengths[position]])

    def _padded(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        ids, mask = pad([self.table.tokens[n] for n in numbers], self.table.tokenizer.pad_token_id or 0)
        return ids.to(self.encoder.device), mask.to(self.encoder.device)
