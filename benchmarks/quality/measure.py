"""How each column is measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from semanlink.base import base_folder
from semanlink.bm25 import BM25

from bluetune_api.model import Gate
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.precision import bf16_pays
from quality import baselines, ours
from quality.cells import Cell, Measured
from quality.worlds import World, clicked_sessions, world
from semanlink import dataset, metrics

METHODS: dict[str, dict[str, Any]] = {
    "document_loss": {"settings": {"loss": "CosineProbMarginRankingLoss"}},
    "clicks_only": {"initialParams": {"phrases_per_session": {"choice": [0]}, "interpolation": {"choice": [1]}}},
}
"""What is not the preset's. Clicks alone: no phrases of the catalogue, and weights as they are trained."""
GATES = {"default": Gate(), "mean alone": Gate(confidence=0)}


class Bench:
    """Measures cells; what several need is computed once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._data = dataset.load()
        self._bf16 = bf16_pays("cpu")

    def measure(self, cell: Cell, scratch: Path, before: Mapping[Cell, Measured]) -> Measured:
        """The cell's result. `st_time` needs that of `default` among those before it."""
        here = world(self._data, cell.split)
        if cell.column == "bm25":
            keywords = BM25([document.text for document in here.ranked])
            return _scored([keywords.top(query, metrics.DEPTH) for query in here.scored.queries], here)
        if cell.column == "zero_shot":
            return self._ranked(Encoder.load(base_folder(), max_tokens=ours.MAX_TOKENS), here)
        sessions = clicked_sessions(
            here, self._cosines(here, cell.split), count=cell.sessions, seed=cell.seed, logger=cell.logger,
            clicks=cell.clicks,
        )  # fmt: skip
        if cell.column in ("st_steps", "st_time"):
            return self._sentence_transformers(cell, here, sessions, before)
        trained = ours.train(
            here,
            sessions,
            scratch,
            seed=cell.seed,
            trials=8 if cell.column == "search" else 1,
            method=METHODS.get(cell.column, {}),
        )
        best, gate = trained.result.best, trained.result.gate
        more = {
            "params": best.params if best else None,
            "gate": gate.model_dump(mode="json", by_alias=True) if gate else None,
            "decisions": {name: ours.decision(trained.result, gate) for name, gate in GATES.items()},
        }
        scored = self._ranked(Encoder.load(trained.model), here)
        return Measured(scored.ndcg, scored.mrr, scored.recall, trained.seconds, trained.processor_seconds, more)

    def _sentence_transformers(
        self, cell: Cell, here: World, sessions: list[dict[str, Any]], before: Mapping[Cell, Measured]
    ) -> Measured:
        budget = baselines.Budget(steps=ours.steps_of_default(cell.sessions))
        if cell.column == "st_time":
            default = Cell("default", cell.split, cell.sessions, cell.logger, cell.clicks, cell.seed)
            budget = baselines.Budget(processor_seconds=before[default].processor_seconds)
        tuned = baselines.tune(
            here.catalogue,
            sessions,
            budget,
            seed=cell.seed,
            batch_size=ours.PRESET.batch_size,
            max_tokens=ours.MAX_TOKENS,
            bf16=self._bf16,
        )
        items = tuned.model.encode([document.text for document in here.ranked], normalize_embeddings=True)
        queries = tuned.model.encode(list(here.scored.queries), normalize_embeddings=True)
        scored = _scored(_best(queries, items), here)
        more = {"steps": tuned.steps}
        return Measured(scored.ndcg, scored.mrr, scored.recall, tuned.seconds, tuned.processor_seconds, more)

    def _ranked(self, encoder: Encoder, here: World) -> Measured:
        items = encoder.encode([document.text for document in here.ranked], "item", bf16=self._bf16)
        return _scored(_best(encoder.encode(here.scored.queries, "query"), items), here)

    def _cosines(self, here: World, split: str) -> NDArray[np.float32]:
        """Queries × catalogue of the zero-shot model, by which sessions are logged; computed once for all runs."""
        path = self._work / f"cosines-{split}.npy"
        if not path.exists():
            encoder = Encoder.load(base_folder())
            items = encoder.encode([document.text for document in here.catalogue], "item", bf16=self._bf16)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, encoder.encode(here.clicked.queries, "query") @ items.T)
        return np.asarray(np.load(path))


def _best(queries: NDArray[np.float32], items: NDArray[np.float32]) -> list[list[int]]:
    found: list[list[int]] = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, : metrics.DEPTH].tolist()
    return found


def _scored(rankings: Sequence[Sequence[int]], here: World) -> Measured:
    scores = metrics.score(rankings, here.scored.relevant)
    return Measured([round(v, 6) for v in scores.ndcg_by_query], scores.mrr, scores.recall)
