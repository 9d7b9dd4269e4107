"""Train and test sides of a clickstream: by query, so that no query is on both."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from bluetune_trainer.data.splits import normalised


class TrainTestSplitter:
    """Puts sessions on the train or on the test side, all sessions of a query on the same one.

    The test side judges the trials. The gate's tenth of the queries is taken out before, and no splitter sees it.

    Args:
        test_size_ratio: share of the queries on the test side, above 0 and below 1.
        shuffle: draw the queries of the test side (true), or take those that come last in the clickstream.
        random_state: seed of the drawing; None is 0: the same clicks give the same sides in every run.
        augmenter: makes variants of queries for training: `ItemsSetAugmentationApplier`, or what has its `augment`.
        do_augment_test: not supported, and refused: scores on invented queries say nothing about real ones.
    """

    def __init__(
        self,
        test_size_ratio: float = 0.2,
        shuffle: bool = True,
        random_state: int | None = None,
        augmenter: Any = None,
        do_augment_test: bool = False,
    ) -> None:
        if not 0 < test_size_ratio < 1:
            raise ValueError(f"test_size_ratio: a number above 0 and below 1 is expected, this is {test_size_ratio!r}")
        if do_augment_test:
            raise ValueError("do_augment_test: queries of the test side stay as they are; leave it False")
        self.test_size_ratio = test_size_ratio
        self.shuffle = shuffle
        self.random_state = random_state
        self.augmenter = augmenter

    def split(self, inputs: Sequence[Any]) -> dict[str, list[Any]]:
        """`{"train": […], "test": […]}` of inputs that have a `query`."""
        test = self.on_test_side([query_key(entry.query) for entry in inputs])
        sides: dict[str, list[Any]] = {"train": [], "test": []}
        for entry, is_test in zip(inputs, test, strict=True):
            sides["test" if is_test else "train"].append(entry)
        return sides

    def on_test_side(self, queries: Sequence[str]) -> list[bool]:
        """Whether the session of each query is on the test side.

        Of q different queries, ceil(q * test_size_ratio) are, but never all of them.
        """
        plain = {query: normalised(query) for query in dict.fromkeys(queries)}
        different = list(dict.fromkeys(plain.values()))
        if self.shuffle:
            different.sort(key=self._place)
        count = min(math.ceil(len(different) * self.test_size_ratio), max(len(different) - 1, 0))
        test = set(different[len(different) - count :])
        return [plain[query] in test for query in queries]

    @property
    def varies(self) -> bool:
        """Whether queries have variants."""
        return self.augmenter is not None or type(self).variants is not TrainTestSplitter.variants

    def variants(self, query: str) -> list[str]:
        """Texts that may stand for a query in training, its own first, each once."""
        return list(dict.fromkeys([query, *(self.augmenter.augment(query) if self.augmenter else ())]))

    def _place(self, query: str) -> bytes:
        return blake2b(f"{self.random_state or 0}\0{query}".encode("utf-8", "replace"), digest_size=8).digest()


def query_key(query: Any) -> str:
    """A query, of whatever class, as a text that tells it from others."""
    text = query if isinstance(query, str) else getattr(query, "text", None)
    return text if isinstance(text, str) else repr(query)
