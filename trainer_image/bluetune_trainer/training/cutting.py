"""How many items are longer than a model's window, so that their ends are never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what reads the count needs no torch
    from bluetune_trainer.training.encoder import Encoder
    from bluetune_trainer.training.model import ReadFile

MOST = 4096
"""Texts that are looked at; of more, evenly spread ones. A tokenizer takes about a tenth of a second for them."""


@dataclass(frozen=True)
class CutTexts:
    """Items that fill the window."""

    texts: int
    """All items."""
    looked_at: int
    """Of these, tokenized for this count."""
    cut: int
    """Of those looked at, that fill the window: what goes beyond is cut off."""
    window: int
    """Tokens, special ones and prompt included."""


def count_cut(encoder: Encoder, texts: Sequence[str], files: ReadFile, most: int = MOST) -> CutTexts:
    """Tokenize items, `most` of them at most, and count those that fill the window."""
    some = list(texts[:: max(-(-len(texts) // most), 1)])
    rows = encoder.prepare(encoder.prompted(some, "item"), files)
    return CutTexts(len(texts), len(some), sum(encoder.cut(row) for row in rows), encoder.max_tokens)
