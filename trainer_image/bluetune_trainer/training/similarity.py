"""What a start version's own similarity means for a run: which ranker ranks as its server does, and on what scale."""

import logging
from dataclasses import replace
from pathlib import Path

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.plugin.loading import DISTANCES
from bluetune_trainer.plugin.method import overridden
from bluetune_trainer.plugin.resolve import Resolved
from bluetune_trainer.ranking.rankers import DOT_PRODUCT, EUCLIDEAN_DISTANCE, Ranker
from bluetune_trainer.training.layout import Similarity, read_similarity
from bluetune_trainer.training.model import Model

log = logging.getLogger(__name__)

RANKERS: dict[Similarity, str] = {
    "cosine": "COSINE_SIMILARITY",
    "dot": "DOT_PRODUCT",
    "euclidean": "EUCLIDEAN_DISTANCE",
}


def ranked_as_served(resolved: Resolved, start: Path) -> Resolved:
    """The method, with the ranker that the start version's folder asks for, where nothing else names one.

    Raises PlanInvalid for a similarity that no built-in ranker computes, and for an `isSimilarity` that contradicts it.
    """
    settings = resolved.method.settings
    if overridden(resolved.plugin, "ranker") is not None:
        return resolved
    similarity = read_similarity(start)
    ranker = RANKERS.get(similarity)
    if settings.ranker is not None:
        if settings.ranker in RANKERS.values() and settings.ranker != ranker:
            log.warning(
                "settings.ranker is not what the start version says that it is compared by",
                extra={"ranker": settings.ranker, "similarity": similarity},
            )
        return resolved
    if ranker is None:
        raise PlanInvalid(
            f"the start version is compared by {similarity} (similarity_fn_name), which no built-in ranker computes;"
            " name one in settings.ranker"
        )
    if settings.is_similarity is not None and settings.is_similarity == (ranker in DISTANCES):
        raise PlanInvalid(
            f"settings.isSimilarity: {str(settings.is_similarity).lower()} contradicts {ranker}, by which the start"
            f" version is compared (similarity_fn_name: {similarity}); leave isSimilarity out"
        )
    if similarity == "cosine":
        return resolved
    log.info("ranked as the start version says", extra={"ranker": ranker, "similarity": similarity})
    settings = settings.model_copy(update={"ranker": ranker})
    return replace(resolved, method=resolved.method.model_copy(update={"settings": settings}))


def typical_rank(ranker: Ranker, model: Model) -> float:
    """How large ranks of vectors are that point the same way, to two digits; 1 where they do not depend on lengths.

    Temperature, margin and thresholds are meant for cosines. Losses see ranks divided by this, so that they mean the
    same for a model whose vectors are not of length 1.
    """
    inner = getattr(ranker, "ranker", ranker)  # of items in parts
    if model.unit or inner not in (DOT_PRODUCT, EUCLIDEAN_DISTANCE):
        return 1.0
    lengths = 1.0
    for kind in ("query", "item"):
        vectors = model.encode(list(model.tower(kind).probe_inputs()), kind)
        lengths *= float((vectors**2).sum(1).mean() ** 0.5)
    return float(f"{lengths if inner is DOT_PRODUCT else lengths**0.5:.1e}")
