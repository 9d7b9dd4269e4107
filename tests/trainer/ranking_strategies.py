"""Random sessions for property tests, and the same sessions as padded tensors."""

import numpy as np
import torch
from hypothesis import strategies as st

from bluetune_trainer.ranking.features import RankingFeatures
from bluetune_trainer.ranking.metrics import RankedSessions
from trainer.ranking_references import Result, Rules, Session

RANKS = st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 4))
SHARES = st.floats(0, 1, allow_subnormal=False).map(lambda x: round(x, 3))
RESULTS = st.builds(
    Result,
    rank=RANKS,
    clicked=st.booleans(),
    confidence=SHARES,
    weight=st.floats(0.1, 5).map(lambda x: round(x, 3)),
    place=st.integers(-1, 9),
    old_rank=RANKS,
)
SESSIONS = st.lists(
    st.builds(Session, st.lists(RESULTS, min_size=1, max_size=7), st.lists(RANKS, max_size=4)), min_size=1, max_size=5
)
"""Some without a click, some with nothing but clicks, some without an in-batch negative; ties are frequent."""
LONG_SESSIONS = st.lists(
    st.builds(
        Session,
        st.lists(
            st.builds(Result, rank=st.sampled_from([-0.5, 0.1, 0.2, 0.9]), clicked=st.booleans(), old_rank=RANKS),
            min_size=9,
            max_size=13,
        ),
    ),
    min_size=1,
    max_size=2,
)
"""Around ten results in a few tied groups."""
RULES = st.builds(
    Rules,
    similarity=st.booleans(),
    low=st.sampled_from([0.0, 0.05, 0.3]),
    high=st.sampled_from([0.5, 1.0, 3.0]),
    skip_above=st.booleans(),
)


def padded(rows: list[list[float]], width: int, fill: float) -> torch.Tensor:
    """[len(rows), width] float64."""
    array = np.full((len(rows), width), fill)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return torch.from_numpy(array)


def features(sessions: list[Session], rules: Rules, *, padding: int = 0, fill: float = 0.0) -> RankingFeatures:
    """As a loss sees them. Padding is `fill`, clicked and weighty: whatever looks at it shows."""
    width = max(len(s.results) for s in sessions) + padding
    others = max(len(s.others) for s in sessions) + padding

    def of(name: str, empty: float) -> torch.Tensor:
        return padded([[float(getattr(r, name)) for r in s.results] for s in sessions], width, empty)

    valid = padded([[1.0] * len(s.results) for s in sessions], width, 0).bool()
    return RankingFeatures(
        ranks=of("rank", fill),
        clicked=of("clicked", fill > 0).bool(),
        valid=valid,
        confidences=of("confidence", 0.0),
        is_similarity=rules.similarity,
        batch_ranks=padded([s.others for s in sessions], others, fill),
        batch_allowed=padded([[1.0] * len(s.others) for s in sessions], others, 0).bool(),
        min_abs_difference=rules.low,
        max_abs_difference=rules.high,
        weights=of("weight", 1.0),
        shown_rank=of("place", -1).int() if rules.skip_above else None,
    )


def ranked_sessions(
    sessions: list[Session],
    *,
    similarity: bool,
    padding: int = 0,
    fill: float = 0.0,
    queries: list[int] | None = None,
) -> RankedSessions:
    """As a metric sees them."""
    rules = Rules(similarity=similarity)
    seen = features(sessions, rules, padding=padding, fill=fill)
    width = seen.ranks.shape[1]
    old = padded([[r.old_rank for r in s.results] for s in sessions], width, -fill)
    asked = None if queries is None else torch.tensor(queries)
    return RankedSessions(seen.ranks, old, seen.clicked, seen.valid, similarity, queries=asked)
