"""What the start version makes of the validation sessions: what trials are compared with.

Thousands of texts go through all layers for it, which a first step need not wait for: nothing uses it before the first
validation. By then the model is no more the start version, so that is opened again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bluetune_trainer.evidence.observations import Scores
from bluetune_trainer.ranking.collapse import mean_cosine
from bluetune_trainer.ranking.metrics import summarize
from bluetune_trainer.ranking.ties import RanksNotFinite, check_ranks
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import PaddedSessions, embed_all, item_vectors, rank_embedded, ranked
from bluetune_trainer.training.matryoshka import ndcg_by_dimension
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.selection import GAIN, Selection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartScores:
    """Ranks and metrics of the start version."""

    previous: Tensor
    """[S, R] ranks of the validation sessions."""
    metrics: dict[str, float]
    cosine: float
    """Mean cosine of two different results of the validation sessions."""
    of_sample: Tensor | None = None
    """[S, R] ranks of the sample of training sessions, if an accumulator follows their metrics."""
    pooled: Scores | None = None
    """By which trials' gains are judged."""


def score(
    embedder: Embedder,
    validation: PaddedSessions,
    sample: PaddedSessions | None,
    settings: TrainingSettings,
    parts: Parts,
    on_step: Callable[[], None],
    selection: Selection | None = None,
) -> StartScores:
    """With the embedder's model. `on_step` is called between groups of texts, and may raise to stop.

    Raises RanksNotFinite where the start version, or the ranker, gives ranks without an order.
    """
    vectors = embed_all(embedder, validation.texts, on_step)
    previous = rank_embedded(vectors, validation, parts.ranker)
    try:
        check_ranks(previous, validation.valid)
    except RanksNotFinite as error:
        raise RanksNotFinite(f"the start version, before any training: {error.message}") from error
    metrics = {
        **summarize(ranked(validation, previous, previous, settings.is_similarity), parts.metrics),
        **ndcg_by_dimension(vectors, validation, parts.ranker, settings),
    }
    found = StartScores(previous, metrics, mean_cosine(item_vectors(vectors, validation)))
    if selection is not None:
        pooled = selection.scores(validation.texts, vectors, parts.ranker)
        found = replace(found, pooled=pooled, metrics={**metrics, GAIN: 0.0})
    if sample is not None:
        of_sample = rank_embedded(embed_all(embedder, sample.texts, on_step), sample, parts.ranker)
        found = replace(found, of_sample=of_sample)
    return found


class StartVersion:
    """Scored once, when its scores are first asked for."""

    def __init__(self, compute: Callable[[], StartScores]) -> None:
        self._compute = compute
        self.known: StartScores | None = None
        """Its scores, if they are known already."""

    def scores(self) -> StartScores:
        """Its scores."""
        if self.known is None:
            # Whenever it happens, in a validation or outside: it leaves no trace in what a trial draws.
            with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng():
                self.known = self._compute()
            log.info("baseline scored", extra={"metrics": self.known.metrics})
        return self.known
