"""How much is remembered of what frozen layers compute, and where."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bluetune_trainer.training.activations import (
    MEMORY_BYTES,
    MEMORY_SHARE,
    ActivationCache,
    Budget,
    MemoryLeft,
    bytes_needed,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("texts", "each", "width", "value", "disk", "holds"),
    [
        (100_000, 28, 384, 4, 4 * GIB, True),  # 4.0 GiB, of which one lies in memory
        (1_000_000, 28, 384, 4, 39 * GIB, False),
        (1_000_000, 28, 384, 4, 40 * GIB, True),
        (1_000_000, 28, 384, 2, 20 * GIB, True),
        (0, 28, 384, 2, 0, True),
    ],
)
def test_what_would_not_fit_is_not_remembered(
    texts: int, each: int, width: int, value: int, disk: int, holds: bool
) -> None:
    assert Budget(memory=GIB, disk=disk).holds(bytes_needed(texts * each, width, value)) is holds


def test_the_budget_follows_the_containers_memory_and_the_free_disk(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{2 * GIB}\n")
    small = Budget.of(tmp_path / "work", memory_max=limit)
    assert small.memory == 2 * GIB * MEMORY_SHARE
    limit.write_text("max\n")
    whole = Budget.of(tmp_path / "work", memory_max=limit)
    assert small.memory < whole.memory <= MEMORY_BYTES
    assert whole.disk > 0
    assert Budget.of(tmp_path / "work", memory_max=tmp_path / "none").memory == whole.memory


def test_a_cache_gives_back_what_was_put_and_forgets_it_when_it_is_cleared(tmp_path: Path) -> None:
    memory = MemoryLeft(70 << 20)  # one segment
    cache = ActivationCache(tmp_path / "files", "x", memory)
    states = {n: torch.randn(50_000 + n, 256) for n in (3, 5000, 4)}
    for number, state in states.items():
        cache.put(number, state)
    assert cache.missing(np.array([3, 7, 5000, 9999, 4])).tolist() == [7, 9999]
    for number, state in states.items():
        assert torch.equal(cache.gather(np.array([number]))[0], state)
    assert torch.equal(cache.gather(np.array([4, 3]), packed=True)[0], torch.cat([states[4], states[3]]))
    assert memory.left < 64 << 20
    assert len(list((tmp_path / "files").iterdir())) == 2
    cache.clear()
    assert cache.missing(np.array([3, 4])).tolist() == [3, 4]
    assert memory.left == 70 << 20
    assert list((tmp_path / "files").iterdir()) == []
    cache.put(4, states[4])
    assert torch.equal(cache.gather(np.array([4]))[0], states[4])


def test_what_a_validation_began_to_fill_a_step_goes_on_with(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, "x")
    with torch.inference_mode():
        cache.put(0, torch.ones(3, 8))
    cache.put(1, torch.ones(2, 8))
    with torch.inference_mode():
        cache.put(2, torch.ones(2, 8))
    weight = torch.ones(8, requires_grad=True)
    (cache.gather(np.array([0, 1, 2])) * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [7.0] * 8
