"""What the start version makes of the validation sessions: what trials are compared with.

Thousands of texts go through all layers for it, which a first step need not wait for: nothing uses it before the first
validation. By then the model is no more the start version, so that is opened again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bluetune_trainer.ranking.collapse import mean_cosine
from bluetune_trainer.ranking.metrics import summarize
from bluetune_trainer.ranking.ties import RanksNotFinite, check_ranks
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import PaddedSessions, embed_all, item_vectors, rank_embedded, ranked
from bluetune_trainer.training.matryoshka import ndcg_by_dimension
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import Parts

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


def score(
    embedder: Embedder,
    validation: PaddedSessions,
    sample: PaddedSessions | None,
    settings: TrainingSettings,
    parts: Parts,
    on_step: Callable[[], None],
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
    cosine = mean_cosine(item_vectors(vectors, validation))
    if sample is None:
        return StartScores(previous, metrics, cosine)
    of_sample = rank_embedded(embed_all(embedder, sample.texts, on_step), sample, parts.ranker)
    return StartScores(previous, metrics, cosine, of_sample)


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
