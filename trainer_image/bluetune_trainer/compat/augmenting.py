"""Variants of texts for training: other cases, typing errors. The same text and seed always give the same variants."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

_NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol",
    "a": "qsz", "s": "awdx", "d": "sefc", "f": "drgv", "g": "fthb", "h": "gyjn", "j": "hukm", "k": "jil", "l": "ko",
    "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn", "n": "bhjm", "m": "njk",
}  # fmt: skip
"""Keys beside a key, on a QWERTY keyboard."""


class AugmentationWithRandomSelection(ABC):
    """Makes variants of an object, and keeps some of them.

    Args:
        selection_size: how many variants are kept: all (1.0, the default), a share of them (below 1.0, rounded down,
            at least one), or that number of them (above 1). As many as there are, at most, each once.
        seed: of what is drawn. What is drawn also depends on the object, so each object has its own variants, and the
            same ones in every run.
    """

    def __init__(self, selection_size: float = 1.0, seed: int = 0) -> None:
        if selection_size <= 0:
            raise ValueError(f"selection_size: a number above 0 is expected, this is {selection_size!r}")
        self.selection_size = selection_size
        self.seed = seed

    @abstractmethod
    def _raw_transform(self, object: Any) -> list[Any]:  # noqa: A002 - the document's name
        """All variants of an object."""

    def transform(self, object: Any) -> list[Any]:  # noqa: A002 - the document's name
        """The variants that are kept, in the order in which they were made."""
        made = self._raw_transform(object)
        if self.selection_size == 1 or self.selection_size >= len(made):
            return made
        count = max(int(self.selection_size * len(made)), 1) if self.selection_size < 1 else int(self.selection_size)
        chosen = self.random(object, "selection").sample(range(len(made)), count)
        return [made[i] for i in sorted(chosen)]

    def random(self, object: Any, purpose: str) -> random.Random:  # noqa: A002 - the document's name
        """A generator that depends on the seed, the object and what it is for."""
        key = f"{self.seed}\0{type(self).__name__}\0{purpose}\0{object!r}"
        return random.Random(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest())


class ChangeCases(AugmentationWithRandomSelection):
    """A text as it is, in lower case, and in upper case.

    Args:
        selection_size: see AugmentationWithRandomSelection.
        seed: likewise.
    """

    def _raw_transform(self, object: str) -> list[str]:  # noqa: A002 - the document's name
        return [object, object.lower(), object.upper()]


class Misspellings(AugmentationWithRandomSelection):
    """A text as it is, and with typing errors: a letter left out, doubled, swapped, or the key beside it hit.

    Args:
        selection_size: see AugmentationWithRandomSelection.
        error_rates: share of the letters that are mistyped, one variant each; default: 0.1 and 0.2.
        seed: likewise.
    """

    def __init__(self, selection_size: float = 1.0, error_rates: Sequence[float] | None = None, seed: int = 0) -> None:
        super().__init__(selection_size, seed)
        self.error_rates = list(error_rates) if error_rates else [0.1, 0.2]
        for rate in self.error_rates:
            if not 0 <= rate <= 1:
                raise ValueError(f"error_rates: numbers from 0 to 1 are expected, there is {rate!r}")

    def _raw_transform(self, object: str) -> list[str]:  # noqa: A002 - the document's name
        return [object, *(_mistyped(object, rate, self.random(object, str(rate))) for rate in self.error_rates)]


def _mistyped(text: str, rate: float, random: random.Random) -> str:
    letters: list[str] = []
    for letter in text:
        if not letter.isalpha() or random.random() >= rate:
            letters.append(letter)
            continue
        kind = random.choice(("neighbour", "left out", "doubled", "swapped"))
        if kind == "swapped" and letters:
            letters.insert(-1, letter)
        elif kind == "doubled":
            letters.append(letter * 2)
        elif kind == "neighbour" and letter.lower() in _NEIGHBOURS:
            hit = random.choice(_NEIGHBOURS[letter.lower()])
            letters.append(hit.upper() if letter.isupper() else hit)
    return "".join(letters) or text


class AugmentationsComposition(AugmentationWithRandomSelection):
    """Augmentations one after the other, each applied to all variants of those before it.

    Args:
        augmentations: in order.
        selection_size: see AugmentationWithRandomSelection.
        seed: likewise.
    """

    def __init__(
        self, augmentations: Sequence[AugmentationWithRandomSelection], selection_size: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(selection_size, seed)
        self.augmentations = list(augmentations)

    def _raw_transform(self, object: Any) -> list[Any]:  # noqa: A002 - the document's name
        variants = [object]
        for augmentation in self.augmentations:
            variants = [made for variant in variants for made in augmentation.transform(variant)]
        return variants


class ItemsSetAugmentationApplier:
    """Applies an augmentation to items.

    Args:
        augmentation: what makes the variants.
    """

    def __init__(self, augmentation: AugmentationWithRandomSelection) -> None:
        self.augmentation = augmentation

    def augment(self, item: Any) -> list[Any]:
        """The variants of one item."""
        return self.augmentation.transform(item)

    def apply_augmentation(self, items_set: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """`{"item_id": …, "item": …}` rows, and one more row for each variant that differs."""
        rows = list(items_set)
        made = [
            {**row, "item": variant} for row in rows for variant in self.augment(row["item"]) if variant != row["item"]
        ]
        return rows + made
