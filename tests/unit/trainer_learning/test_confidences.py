"""Confidences against a plain-Python reference."""

import math

import pytest
import torch

from bluetune_trainer.ranking.confidences import calculate_confidences, dummy_confidences


def reference(ranks: list[float], clicked: list[bool]) -> list[float]:
    n, mean = len(ranks), sum(ranks) / len(ranks)
    raw = []
    for i in range(n):
        window = clicked[max(i - 1, 0) : i + 2]
        cp, rs = sum(window) / len(window), abs(ranks[i] - mean) / abs(mean)
        position = math.exp(-3 * (i + 1) / n - 0.3) + 0.25
        raw.append(position * ((1 - rs) * cp + (1 - cp) * rs if clicked[i] else (1 - cp) * (1 - rs) + cp * rs))
    low, high = min(raw), max(raw)
    return [1.0 if high == low else (r - low) / (high - low) for r in raw]


@pytest.mark.parametrize("seed", range(10))
def test_confidences_equal_plain_python_whatever_the_padding(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (5,), generator=random).tolist()
    ranks = torch.rand(5, 8, generator=random, dtype=torch.float64)
    clicked = torch.rand(5, 8, generator=random) < 0.4
    valid = torch.arange(8)[None, :] < torch.tensor(lengths)[:, None]
    found = calculate_confidences(ranks, clicked, valid)
    for row, length in enumerate(lengths):
        expected = reference(ranks[row, :length].tolist(), clicked[row, :length].tolist())
        assert found[row, :length].tolist() == pytest.approx(expected)
        assert float(found[row, length:].abs().sum()) == 0.0


def test_a_session_of_one_result_is_trusted() -> None:
    one = torch.ones(1, 1)
    assert float(calculate_confidences(one, one.bool(), one.bool())) == 1.0


def test_dummy_confidences_are_one_and_zero_on_padding() -> None:
    valid = torch.tensor([[True, False]])
    assert dummy_confidences(torch.rand(1, 2), valid, valid).tolist() == [[1.0, 0.0]]
