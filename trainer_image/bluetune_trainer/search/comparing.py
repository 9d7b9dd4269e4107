"""Opens two versions and lets them rank what held-out sessions asked and showed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bluetune_trainer.data.pool import Pool, pool_of
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.evidence.observations import Scores, compared
from bluetune_trainer.search.comparison import Comparison
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import embed_all
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.model import Kind
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.precision import use_bf16
from bluetune_trainer.training.selection import by_words

Ints = NDArray[np.int64]
Step = Callable[[], None] | None


def open_version(folder: Path, settings: TrainingSettings, parts: Parts) -> Embedder:
    """A version as a server of it would open it, over an empty table."""
    model = parts.load_served(folder).to("cuda" if torch.cuda.is_available() else "cpu")
    table = InputTable(model, parts.files, parts.split_item)
    return Embedder(table, bf16=use_bf16(settings.precision, model.device.type))


def compare(
    live: Path,
    candidate: Path,
    catalogue: Catalogue,
    held_out: Sessions,
    settings: TrainingSettings,
    parts: Parts,
    on_step: Step = None,
) -> Comparison | None:
    """Both versions on the sessions that say something; None if there are none. `on_step` may raise to stop."""
    pool = pool_of(held_out, catalogue, settings.seed)
    if not pool.queries:
        return None
    texts = [catalogue.texts[item] for item in pool.documents.tolist()]
    opened = open_version(live, settings, parts)
    words = by_words(opened.table.model, pool.queries, texts)
    by_live = scores(opened, pool.queries, texts, settings, parts, on_step)
    by_candidate = scores(open_version(candidate, settings, parts), pool.queries, texts, settings, parts, on_step)
    found = compared(pool.log, by_live, by_candidate, words)
    return Comparison(
        queries=pool.queries,
        sessions=pool.sessions,
        compared=found,
        live_best=_in_catalogue(found.live_best, pool),
        candidate_best=_in_catalogue(found.candidate_best, pool),
        clicked=_clicked(pool),
    )


@torch.no_grad()
def scores(
    embedder: Embedder,
    queries: Sequence[str],
    texts: Sequence[str],
    settings: TrainingSettings,
    parts: Parts,
    on_step: Step,
) -> Scores:
    """[Q, P] ranks of texts for queries by the run's ranker, larger is better."""
    sides = []
    of_both: list[tuple[Sequence[str], Kind]] = [(queries, "query"), (texts, "item")]
    for inputs, kind in of_both:
        numbers = embedder.table.add(inputs, kind)
        unique, inverse = np.unique(numbers, return_inverse=True)
        sides.append(embed_all(embedder, unique, on_step)[torch.from_numpy(inverse)])
    ranks = parts.ranker(*sides).float().numpy()
    return ranks if settings.is_similarity else -ranks


def _in_catalogue(best: Ints, pool: Pool) -> Ints:
    return np.where(best >= 0, pool.documents[best], -1)


def _clicked(pool: Pool) -> list[frozenset[int]]:
    found: list[set[int]] = [set() for _ in pool.queries]
    hit = pool.log.gain > 0
    items = pool.documents[pool.log.document[hit]]
    for query, item in zip(pool.log.query[hit].tolist(), items.tolist(), strict=True):
        found[query].add(item)
    return [frozenset(items) for items in found]
