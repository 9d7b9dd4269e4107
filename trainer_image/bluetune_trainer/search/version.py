"""A version as a server of it would open it, whose vectors are computed once."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bluetune_trainer.evidence.observations import Scores
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import embed_all
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.model import Kind, Model
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.parts_of_items import widened
from bluetune_trainer.training.precision import use_bf16

Step = Callable[[], None] | None
MAX_REMEMBERED = 50_000
"""Vectors; 200 MB of a large model's."""


class Version:
    """A version that queries and texts are compared by. It is opened when it is first used.

    The folds of a run and its guards ask the live version about the same texts again and again: it remembers them.
    """

    def __init__(self, folder: Path, settings: TrainingSettings, parts: Parts) -> None:
        self.settings = settings
        self.parts = parts
        self._folder = folder
        self._vectors: dict[int, Tensor] = {}

    @cached_property
    def embedder(self) -> Embedder:
        """The model over a table of its own."""
        model = self.parts.load_served(self._folder).to("cuda" if torch.cuda.is_available() else "cpu")
        table = InputTable(model, self.parts.files, self.parts.split_item)
        return Embedder(table, bf16=use_bf16(self.settings.precision, model.device.type))

    @property
    def model(self) -> Model:
        """The model itself."""
        return self.embedder.model

    @torch.no_grad()
    def scores(self, queries: Sequence[str], texts: Sequence[str], on_step: Step = None) -> Scores:
        """[Q, P] ranks of texts for queries by the run's ranker, larger is better. `on_step` may raise to stop."""
        ranks = self.parts.ranker(self._embed(queries, "query", on_step), self._embed(texts, "item", on_step))
        found = ranks.float().numpy()
        return found if self.settings.is_similarity else -found

    def _embed(self, inputs: Sequence[str], kind: Kind, on_step: Step) -> Tensor:
        """[n, dimension] vectors, or [n, most parts, dimension] if items are in parts."""
        numbers, inverse = np.unique(self.embedder.table.add(inputs, kind), return_inverse=True)
        missing = np.array([n for n in numbers.tolist() if n not in self._vectors], np.int64)
        found = dict(self._vectors)
        if len(missing):
            found.update(zip(missing.tolist(), embed_all(self.embedder, missing, on_step), strict=True))
        if len(found) <= MAX_REMEMBERED:
            self._vectors = found
        rows = [found[number] for number in numbers.tolist()]
        if any(row.dim() == 2 for row in rows):
            most = max(len(row) if row.dim() == 2 else 1 for row in rows)
            rows = [widened(row.unsqueeze(0), most)[0] for row in rows]
        return torch.stack(rows)[torch.from_numpy(inverse)] if rows else torch.zeros(0, self.model.dimension)
