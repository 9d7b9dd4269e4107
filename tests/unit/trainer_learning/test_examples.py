"""Which pairs the thresholds and the kinds of examples let through."""

import pytest
import torch

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures

RANKS = [0.9, 0.5, 0.85, 0.3, 0.52]
CLICKED = [True, True, False, False, False]
# |d|: (0,2) .05  (0,3) .60  (0,4) .38  (1,2) .35  (1,3) .20  (1,4) .02
# mean |d| of positives: 0: .343, 1: .19; of negatives: 2: .2, 3: .4, 4: .2


def fed(kind: ExamplesType, low: float, high: float) -> set[tuple[int, int]]:
    features = RankingFeatures(
        ranks=torch.tensor([RANKS], dtype=torch.float64),
        clicked=torch.tensor([CLICKED]),
        valid=torch.ones(1, 5, dtype=torch.bool),
        confidences=torch.ones(1, 5),
        min_abs_difference=low,
        max_abs_difference=high,
        examples=kind,
    )
    _, clicks, others = features.pair_index()
    return set(zip(clicks.tolist(), others.tolist(), strict=True))


ALL = {(p, n) for p in (0, 1) for n in (2, 3, 4)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ExamplesType.medium_all, {(0, 4), (1, 2), (1, 3)}),
        (ExamplesType.hard_all, {(0, 3)}),
        (ExamplesType.soft_all, {(0, 2), (1, 4)}),
        (ExamplesType.negative_only, {(0, 4), (1, 2), (1, 3)}),
        (ExamplesType.all_examples, {(0, 4), (1, 2), (1, 3)}),
    ],
)
def test_pairs_are_picked_by_their_difference(kind: ExamplesType, expected: set[tuple[int, int]]) -> None:
    assert fed(kind, 0.1, 0.5) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ExamplesType.medium_positives, {(0, n) for n in (2, 3, 4)}),
        (ExamplesType.soft_positives, {(1, n) for n in (2, 3, 4)}),
        (ExamplesType.hard_positives, set()),
        (ExamplesType.hard_negatives, {(0, 3), (1, 3)}),
        (ExamplesType.soft_negatives, set()),
        (ExamplesType.medium_negatives, {(p, n) for p in (0, 1) for n in (2, 4)}),
    ],
)
def test_results_are_picked_by_their_mean_difference(kind: ExamplesType, expected: set[tuple[int, int]]) -> None:
    low, high = (0.19, 0.36) if "positives" not in kind.name else (0.195, 0.5)
    assert fed(kind, low, high) == expected


def test_the_default_thresholds_let_every_pair_through() -> None:
    assert fed(ExamplesType.all_examples, 0.0, 1.0) == ALL
