"""Items that are longer than the window are counted, on a sample where there are many."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bluetune_trainer.training.cutting import count_cut


class Words:
    """A tower that takes a word for a token."""

    max_tokens = 3

    def prompted(self, texts: Sequence[str], kind: str) -> list[str]:
        return [f"item: {text}" for text in texts]

    def prepare(self, texts: Sequence[str], files: Any) -> list[Any]:
        return [np.arange(min(len(text.split()), self.max_tokens)) for text in texts]

    def cut(self, row: Any) -> bool:
        return len(row) >= self.max_tokens


@pytest.mark.parametrize(
    ("texts", "looked_at", "cut"),
    [([], 0, 0), (["a", "a b", "a b c"], 3, 2), (["a b", "a"] * 10, 10, 10), (["a"] * 11, 6, 0)],
)
def test_items_that_fill_the_window_are_counted(texts: list[str], looked_at: int, cut: int) -> None:
    found = count_cut(Words(), texts, lambda key: b"", most=10)  # type: ignore[arg-type]
    assert (found.texts, found.looked_at, found.cut, found.window) == (len(texts), looked_at, cut, 3)
