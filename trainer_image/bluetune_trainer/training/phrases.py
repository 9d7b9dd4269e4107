"""Phrases of the catalogue's own texts, fed as queries beside the clicks: what an item is called should find it.

Clicks teach what people mean by the queries that were asked; most queries of tomorrow are not among them. A phrase is a
few consecutive words from the beginning of an item's text (its title, as a rule). The item is its only result, against
the other items of the batch that do not hold all of its words. No item is encoded for it: the items are in the batch
already, and a phrase has a few tokens.

Source of the idea: the inverse cloze task of Lee et al. 2019, Latent Retrieval for Weakly Supervised Open Domain
Question Answering, and the independent cropping of Izacard et al. 2022, Unsupervised Dense Information Retrieval with
Contrastive Learning; here from titles, and as short as search queries are.
"""

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.training.inputs import InputTable

Ints = NDArray[np.int64]

WORD = re.compile(r"\w[\w'’-]*")
HEADLINE = 12
"""Words at the beginning of a text that phrases are taken from."""
LONGEST = 3
"""Words of a phrase."""
LONGEST_TEXT = 60
"""Characters of a phrase: scripts without spaces have no words that this could count."""
COMMON = 0.05
"""A word in a larger share of the beginnings (and in four at least) says nothing: no phrase begins or ends with it."""
MAX_ITEMS = 50_000
"""Items that have a phrase; of more, some are drawn."""
_ATTEMPTS = 6


@dataclass(frozen=True)
class Drawn:
    """P phrases for the U items of a batch."""

    queries: Ints
    """P: numbers of the phrases."""
    item_at: Ints
    """P: the item of each, as a position among the U."""
    allowed: NDArray[np.bool_]
    """[P, U]: items that may stand as negatives: not the item itself, and none that holds all words of the phrase."""


class Phrases:
    """One phrase of each item that training sessions show, as numbers in the table."""

    def __init__(self, items: Ints, texts: Sequence[str], table: InputTable, seed: int) -> None:
        """`items`: different item numbers, ascending; `texts`: of each."""
        random = np.random.default_rng([seed, 6])
        self._items = items
        self._texts = texts
        chosen = np.arange(len(items))
        if len(chosen) > MAX_ITEMS:
            chosen = np.sort(random.choice(len(items), MAX_ITEMS, replace=False))
        heads = [[m.group() for m in head_of(texts[i])] for i in chosen.tolist()]
        common = common_words(heads)
        found = [(i, phrase) for i in chosen.tolist() if (phrase := phrase_of(texts[i], common, random)) is not None]
        self._owner: Ints = np.array([i for i, _ in found], np.int64)
        self._words = [words(phrase) for _, phrase in found]
        self.queries: Ints = table.add([phrase for _, phrase in found], "query")
        """Numbers of all phrases."""

    @classmethod
    def of(cls, shown: NDArray[np.int32], catalogue: Catalogue, table: InputTable, seed: int) -> "Phrases":
        """Of the items at these positions of the catalogue, which are in the table already."""
        positions = np.unique(shown)
        numbers = table.add([catalogue.texts[i] for i in positions], "item")
        items, first = np.unique(numbers, return_index=True)
        return cls(items, [catalogue.texts[i] for i in positions[first]], table, seed)

    def __len__(self) -> int:
        return len(self._owner)

    def draw(self, items: Ints, count: int, random: np.random.Generator) -> Drawn:
        """At most `count` phrases of these items (U different numbers, ascending)."""
        place = np.searchsorted(self._items, items)
        place = place[self._items[np.minimum(place, len(self._items) - 1)] == items] if len(self._items) else place[:0]
        at = np.searchsorted(self._owner, place)
        having = at[self._owner[np.minimum(at, len(self) - 1)] == place] if len(self) else at[:0]
        picked = np.sort(random.permutation(having)[:count])
        held = [words(self._texts[i]) for i in place.tolist()]
        column = np.searchsorted(items, self._items[place])
        allowed = np.ones((len(picked), len(items)), np.bool_)
        for row, phrase in enumerate(picked.tolist()):
            allowed[row, column[[self._words[phrase] <= text for text in held]]] = False
        return Drawn(self.queries[picked], np.searchsorted(items, self._items[self._owner[picked]]), allowed)


def words(text: str) -> frozenset[str]:
    """The different words of a text, lower case."""
    return frozenset(match.group().casefold() for match in WORD.finditer(text))


def common_words(texts: Sequence[Sequence[str]]) -> Set[str]:
    """Words in more than `COMMON` of the texts, and in four at least: articles, prepositions, the shop's name."""
    counts = Counter(word for text in texts for word in {word.casefold() for word in text})
    most = max(COMMON * len(texts), 3)
    return {word for word, count in counts.items() if count > most}


def phrase_of(text: str, common: Set[str], random: np.random.Generator) -> str | None:
    """One to three consecutive words of the text's beginning; None if several draws give none that says anything."""
    found = head_of(text)
    for _ in range(_ATTEMPTS if found else 0):
        count = min(int(random.integers(1, LONGEST + 1)), len(found))
        begin = int(random.integers(0, len(found) - count + 1))
        first, last = found[begin], found[begin + count - 1]
        phrase = text[first.start() : last.end()]
        if len(phrase) <= LONGEST_TEXT and not common & {first.group().casefold(), last.group().casefold()}:
            return phrase
    return None


def head_of(text: str) -> list[re.Match[str]]:
    """The words of a text's beginning."""
    return [match for match, _ in zip(WORD.finditer(text), range(HEADLINE), strict=False)]
