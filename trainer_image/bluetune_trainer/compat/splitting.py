"""Cut long items into parts that fit the model's window. Words and sentences are kept whole where they can be."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

UNKNOWN_LENGTH = 1_000_000
"""Tokenizers without a limit say 1e30."""
_FENCE = re.compile(r"(```.*?```)", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？]+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|e\.g|i\.e|etc|vs|cf|approx|no|fig|dr|mr|mrs|ms|prof|st|jr|sr|inc|ltd)\.)$", re.I
)


class ItemSplitter(ABC):
    """Cuts an item into parts."""

    @abstractmethod
    def __call__(self, item: Any) -> list[Any]:
        """The parts, in order."""


class NoSplitter(ItemSplitter):
    """Leaves an item whole."""

    def __call__(self, item: Any) -> list[Any]:
        """The item alone."""
        return [item]


class DummySentenceSplitter(ItemSplitter):
    """Sentences and lines of a text, by punctuation: no model, no download. A fenced block of code is one part."""

    def __call__(self, item: str) -> list[str]:
        """Parts that are not blank, without the white space around them."""
        parts: list[str] = []
        for block in _FENCE.split(item):
            if block.startswith("```"):
                parts.append(block)
                continue
            for line in block.splitlines():
                parts.extend(_sentences(line.strip()))
        return parts


def _sentences(line: str) -> Iterator[str]:
    begin = 0
    for end in _SENTENCE_END.finditer(line):
        sentence = line[begin : end.end()].strip()
        if not _ABBREVIATION.search(sentence):
            yield sentence
            begin = end.end()
    if line[begin:].strip():
        yield line[begin:].strip()


class TokenGroupTextSplitter(ItemSplitter):
    """Puts neighbouring blocks of a text together as long as they fit a number of tokens.

    Args:
        tokenizer: of the model, from transformers.
        blocks_splitter: cuts a text into blocks, for example DummySentenceSplitter.
        max_tokens: most tokens of a part, with the tokens that the model adds; default: the tokenizer's limit.
        split_sentences: cut a block that is longer than a part by itself, between words, and within a word that is
            longer still; otherwise it stays whole and the model cuts it off.
    """

    def __init__(
        self,
        tokenizer: Any,
        blocks_splitter: ItemSplitter,
        max_tokens: int | None = None,
        split_sentences: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.blocks_splitter = blocks_splitter
        self.max_tokens = max_tokens if max_tokens is not None else int(min(tokenizer.model_max_length, UNKNOWN_LENGTH))
        self.split_sentences = split_sentences
        self._room = self.max_tokens - _added(tokenizer)
        if self._room < 1:
            raise ValueError(f"max_tokens: {self.max_tokens} leaves no room beside the tokens that the model adds")

    def __call__(self, item: str) -> list[str]:
        """The parts, in order; together they hold every word of the text."""
        parts: list[str] = []
        group: list[str] = []
        used = 0
        for block in self.blocks_splitter(item):
            count = self._count(block)
            if used + count <= self._room:
                group.append(block)
                used += count
                continue
            if group:
                parts.append(" ".join(group))
                group, used = [], 0
            if count <= self._room:
                group, used = [block], count
            elif self.split_sentences:
                *whole, last = self._cut(block.split())
                parts.extend(whole)
                group, used = [last], self._count(last)
            else:
                parts.append(block)
        if group:
            parts.append(" ".join(group))
        return parts

    def _count(self, text: str) -> int:
        return len(self.tokenizer.tokenize(text))

    def _cut(self, words: list[str]) -> list[str]:
        parts: list[str] = []
        group: list[str] = []
        used = 0
        for word in (piece for whole in words for piece in self._pieces(whole)):
            count = self._count(word)
            if group and used + count > self._room:
                parts.append(" ".join(group))
                group, used = [], 0
            group.append(word)
            used += count
        return [*parts, " ".join(group)]

    def _pieces(self, word: str) -> list[str]:
        """A word, halved until its pieces fit."""
        if self._count(word) <= self._room or len(word) < 2:
            return [word]
        middle = len(word) // 2
        return [*self._pieces(word[:middle]), *self._pieces(word[middle:])]


def _added(tokenizer: Any) -> int:
    count = getattr(tokenizer, "num_special_tokens_to_add", None)
    return int(count()) if callable(count) else 0


class ItemsSetSplitter:
    """Cuts the items of a catalogue with an ItemSplitter. The ranks of an item's parts are put together by item.

    Args:
        item_splitter: cuts one item.
    """

    def __init__(self, item_splitter: ItemSplitter) -> None:
        self.item_splitter = item_splitter
