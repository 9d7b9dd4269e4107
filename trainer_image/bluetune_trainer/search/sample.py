"""The part of a catalogue that guards look at, and phrases of what nobody was shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.training.phrases import common_words, head_of, phrase_of, words

Ints = NDArray[np.int64]
MAX_DOCUMENTS = 20_000
MAX_SHOWN = 10_000
"""Maximum number of shown items, so that there is room for others."""
MAX_PHRASES = 500


@dataclass(frozen=True)
class Sample:
    """P documents of different texts."""

    documents: Ints
    """P positions in the catalogue."""
    texts: Sequence[str]
    at: Mapping[str, int]
    """Position among the P, by text."""


@dataclass(frozen=True)
class PhrasesOfUnshown:
    """N phrases, each from the beginning of a document that nobody was shown."""

    queries: Sequence[str]
    own: Ints
    """N positions in the sample."""
    others: NDArray[np.bool_]
    """[N, P] documents without some word of the phrase: one that has them all is found rightly, too."""


def sample_of(catalogue: Catalogue, needed: Iterable[int], shown: Ints, seed: int) -> Sample:
    """At most 20,000 documents: those needed, then at most 10,000 of those shown, then others, drawn evenly."""
    random = np.random.default_rng([seed, 8])
    found: dict[str, int] = {}
    for positions, most in (
        (np.array(list(needed), np.int64), MAX_DOCUMENTS),
        (random.permutation(shown), MAX_SHOWN),
        (random.permutation(len(catalogue.texts)), MAX_DOCUMENTS),
    ):
        for position in positions.tolist():
            if len(found) >= most:
                break
            found.setdefault(catalogue.texts[position], position)
    chosen = list(found)
    texts = [chosen[i] for i in random.permutation(len(chosen)).tolist()]  # equal scores favour none of the three
    return Sample(
        np.array([found[text] for text in texts], np.int64), texts, {text: at for at, text in enumerate(texts)}
    )


def phrases_of_unshown(
    sample: Sample, catalogue: Catalogue, split: Split, seed: int, most: int = MAX_PHRASES
) -> PhrasesOfUnshown:
    """Phrases of documents that no session of the batch shows."""
    random = np.random.default_rng([seed, 9])
    parts = (split.train, split.validation, split.gate, split.learned())
    shown = np.unique(np.concatenate([part.items for part in parts]))
    seen = {catalogue.texts[position] for position in shown.tolist()}
    common = common_words([[match.group() for match in head_of(text)] for text in sample.texts])
    queries: list[str] = []
    own: list[int] = []
    for at in random.permutation(len(sample.texts)).tolist():
        if len(queries) == most:
            break
        text = sample.texts[at]
        if text not in seen and (phrase := phrase_of(text, common, random)) is not None:
            queries.append(phrase)
            own.append(at)
    return PhrasesOfUnshown(queries, np.array(own, np.int64), _without_words(queries, sample.texts))


def _without_words(phrases: Sequence[str], texts: Sequence[str]) -> NDArray[np.bool_]:
    """[N, P] whether a text lacks a word of the phrase."""
    holding: dict[str, list[int]] = {word: [] for phrase in phrases for word in words(phrase)}
    for at, text in enumerate(texts):
        for word in words(text) & holding.keys():
            holding[word].append(at)
    lacks = np.ones((len(phrases), len(texts)), np.bool_)
    for row, phrase in enumerate(phrases):
        own = words(phrase)
        counts = np.zeros(len(texts), np.int64)
        for word in own:
            counts[holding[word]] += 1
        lacks[row] = counts < len(own)
    return lacks
