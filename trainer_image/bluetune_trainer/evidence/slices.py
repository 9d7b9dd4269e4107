"""Queries by what they are like: a mean over all of them hides what some of them lose. Pure."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.evidence.lexical import words
from bluetune_trainer.evidence.observations import Ints

Chosen = NDArray[np.bool_]
FEWEST = 10
"""Queries of a slice: below that an interval holds the mean less often than it says."""
HEAD = 0.2
"""Share of the sessions that ask the head."""
SHORT, LONG = 2, 5
"""Words: at most, and at least."""
_TOGETHER = {"CJK": "Han and kana", "HIRAGANA": "Han and kana", "KATAKANA": "Han and kana"}


def slices_of(queries: Sequence[str], asked: Ints) -> Mapping[str, Chosen]:
    """Which of the Q queries belong to each slice, by the slice's name. Slices overlap.

    `asked`: Q numbers of sessions that asked each. Slices of fewer than ten queries, and of all of them, are left out.
    """
    lengths = np.array([len(words(query)) for query in queries], np.int64)
    scripts = np.array([script_of(query) for query in queries], np.str_)
    found: dict[str, Chosen] = {
        "head": _head(asked),
        "tail": asked == 1,
        "short": lengths <= SHORT,
        "long": lengths >= LONG,
        **{f"script {name}": scripts == name for name in sorted(set(scripts.tolist()))},
    }
    return {name: chosen for name, chosen in found.items() if FEWEST <= chosen.sum() < len(queries)}


def script_of(text: str) -> str:
    """The script that most letters are of, by their Unicode names; `none` without a letter."""
    letters = (c for c in unicodedata.normalize("NFKC", text) if c.isalpha())
    counts = Counter(_TOGETHER.get(name, name.capitalize()) for c in letters if (name := _first_word(c)))
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "none"


def _first_word(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _head(asked: Ints) -> Chosen:
    """The most asked queries that together have a fifth of the sessions; those that are asked as often come along."""
    order = np.sort(asked)[::-1]
    enough = int(np.searchsorted(np.cumsum(order), HEAD * asked.sum()))
    return np.asarray(asked >= max(order[min(enough, len(order) - 1)], 2))
