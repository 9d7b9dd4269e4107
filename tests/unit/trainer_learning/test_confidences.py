"""Confidences of sessions that can be checked by hand; test_ranking_properties has random ones."""

import math

import pytest
import torch

from bluetune_trainer.ranking.confidences import calculate_confidences, dummy_confidences


def test_confidences_of_a_session_by_hand() -> None:
    """Three results, the second clicked: mean rank 0.5, shares of clicks 1/2, 1/3, 1/2."""
    ranks = torch.tensor([[0.8, 0.4, 0.3]], dtype=torch.float64)
    clicked = torch.tensor([[False, True, False]])
    position = [math.exp(-(i + 1) - 0.3) + 0.25 for i in range(3)]
    raw = [position[0] * 0.5, position[1] * (0.8 / 3 + 0.2 * 2 / 3), position[2] * 0.5]
    expected = [(r - min(raw)) / (max(raw) - min(raw)) for r in raw]
    found = calculate_confidences(ranks, clicked, torch.ones(1, 3, dtype=torch.bool))
    assert found[0].tolist() == pytest.approx(expected)
    assert found.min() == 0.0
    assert found.max() == 1.0


def test_a_session_of_one_result_is_trusted() -> None:
    one = torch.ones(1, 1)
    assert float(calculate_confidences(one, one.bool(), one.bool())) == 1.0


def test_dummy_confidences_are_one_and_zero_on_padding() -> None:
    valid = torch.tensor([[True, False]])
    assert dummy_confidences(torch.rand(1, 2), valid, valid).tolist() == [[1.0, 0.0]]
