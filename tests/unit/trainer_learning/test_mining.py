"""Which items of a catalogue become hard negatives."""

import numpy as np
import pytest
import torch

from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY
from bluetune_trainer.training import mining
from bluetune_trainer.training.batches import NOTHING, MinedNegatives
from bluetune_trainer.training.mining import mine


def vectors(*angles: float) -> np.ndarray:
    """Unit vectors in the plane: the cosine to 0 degrees is that of the angle."""
    radians = np.radians(np.asarray(angles))
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


QUERY = torch.from_numpy(vectors(0))
ITEMS = vectors(80, 10, 60, 20, 30, 5, 100)  # cosines .17 .98 .5 .94 .87 .996 -.17


@pytest.mark.parametrize(
    ("clicked", "margin", "depth", "expected"),
    [
        ([1], 0.0, 3, [3, 4, 2]),  # 5 is nearer than the click
        ([1], 0.05, 3, [4, 2, 0]),  # limit .936: 3 is too near
        ([1], 0.2, 3, [2, 0, 6]),
        ([1], 0.2, 5, [2, 0, 6, NOTHING, NOTHING]),
        ([1, 4], 0.0, 3, [2, 0, 6]),  # the least similar click counts
        ([5], 0.0, 7, [1, 3, 4, 2, 0, 6, NOTHING]),  # never the click itself
        ([6], 0.5, 2, [NOTHING, NOTHING]),  # a click of negative cosine: limit -.26
        ([], 0.0, 2, [5, 1]),
    ],
)
def test_the_nearest_below_the_margin_that_nobody_clicked(
    clicked: list[int], margin: float, depth: int, expected: list[int]
) -> None:
    found = mine(
        QUERY, ITEMS, [np.asarray(clicked, np.int64)], COSINE_SIMILARITY, is_similarity=True, margin=margin, depth=depth
    )
    assert found.tolist() == [expected]


def test_of_distances_the_smallest_are_the_nearest() -> None:
    def distance(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return torch.cdist(queries, items)

    found = mine(QUERY, ITEMS, [np.asarray([1])], distance, is_similarity=False, margin=1.5, depth=3)
    assert found.tolist() == [[4, 2, 0]]  # the click's distance is .17: the limit .44; 3 has .35, 4 .52


def test_blocks_give_what_a_search_over_everything_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "ITEMS_IN_BLOCK", 7)
    monkeypatch.setattr(mining, "QUERIES_IN_BLOCK", 3)
    random = np.random.default_rng(0)
    queries, items = random.normal(size=(10, 5)).astype(np.float32), random.normal(size=(50, 5)).astype(np.float32)
    clicked = [random.choice(50, random.integers(1, 4), replace=False) for _ in range(10)]
    found = mine(torch.from_numpy(queries), items, clicked, COSINE_SIMILARITY, is_similarity=True, margin=0.1, depth=6)
    cosines = queries @ items.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(items, axis=1)
    for row, positions in enumerate(clicked):
        worst = min(cosines[row, positions])
        allowed = [i for i in range(50) if i not in positions and cosines[row, i] < worst - 0.1 * abs(worst)]
        expected = sorted(allowed, key=lambda i: -cosines[row, i])[:6]
        assert found[row].tolist() == expected + [NOTHING] * (6 - len(expected))


def test_a_session_draws_candidates_that_it_does_not_show() -> None:
    mined = MinedNegatives({7: 0}, np.asarray([[4, 9, 2, 5, NOTHING]]), count=2)
    shown = np.asarray([9, 1])
    draws = [mined.draw(7, shown, np.random.default_rng(seed)).tolist() for seed in range(30)]
    assert {tuple(draw) for draw in draws} == {(2, 4), (4, 5), (2, 5)}
    assert draws == [mined.draw(7, shown, np.random.default_rng(seed)).tolist() for seed in range(30)]
    assert mined.draw(8, shown, np.random.default_rng(0)).tolist() == []
    assert mined.draw(7, np.asarray([4, 9, 2]), np.random.default_rng(0)).tolist() == [5]
