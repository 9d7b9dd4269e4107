"""Vectors cut to their first numbers: judged, truncated, and scored."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.ranking.metrics import mean_over_queries, per_session
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.evaluation import PaddedSessions, rank_embedded, ranked
from bluetune_trainer.training.params import TrainingSettings


def check_dims(dims: Sequence[int], dimension: int, *, lengths_count: bool = False) -> None:
    """Raises PlanInvalid for a length that is not below the model's own, and where the lengths of vectors count."""
    if dims and lengths_count:
        raise PlanInvalid(
            "settings.matryoshkaDims: this model's vectors keep their length and are not compared by cosine, while"
            " truncated ones are brought to length 1; leave matryoshkaDims out"
        )
    wrong = [d for d in dims if d >= dimension]
    if wrong:
        raise PlanInvalid(
            f"settings.matryoshkaDims: {wrong[0]} must be below {dimension}, the length of this model's vectors, which"
            " is trained in any case"
        )


def truncate(vectors: Tensor, dimension: int) -> Tensor:
    """[…, any] → […, dimension] the first numbers of each vector, brought back to unit length."""
    return functional.normalize(vectors[..., :dimension], dim=-1)


def ndcg_by_dimension(
    vectors: Tensor, padded: PaddedSessions, ranker: Ranker, settings: TrainingSettings
) -> dict[str, float]:
    """`ndcg@10_dim<n>` for each of the run's shorter lengths, from the sessions' whole vectors ([U, dimension])."""
    found = {}
    for dimension in settings.matryoshka_dims:
        ranks = rank_embedded(truncate(vectors, dimension), padded, ranker)
        sessions = ranked(padded, ranks, ranks, settings.is_similarity)
        found[f"ndcg@10_dim{dimension}"] = mean_over_queries(sessions, per_session(sessions)["ndcg@10"])
    return found
