"""How well texts match a query word by word: a judge that shares no error with two versions of one embedding model."""

import logging
import re
import unicodedata
from collections.abc import Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG, and so writes past what the root lets through
K1, B = 1.2, 0.75
"""Lucene's defaults."""
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+"
)
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, Han."""


def words(text: str) -> list[str]:
    """Lower-case words without accents; pairs of neighbouring characters where a script has no spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
    found: list[str] = []
    for word in _WORD.findall(plain):
        begin = 0
        for run in _UNSPACED.finditer(word):
            found.extend([word[begin : run.start()]] if run.start() > begin else [])
            characters = run.group()
            found.extend(characters[i : i + 2] for i in range(max(len(characters) - 1, 1)))
            begin = run.end()
        found.extend([word[begin:]] if begin < len(word) else [])
    return found


class Lexical:
    """BM25 over P texts, as Lucene computes it (library bm25s: X. H. Lù, BM25S, arXiv 2407.03618)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._vocabulary: dict[str, int] = {}
        numbered = [[self._vocabulary.setdefault(w, len(self._vocabulary)) for w in words(text)] for text in texts]
        self._index: bm25s.BM25 | None = None
        if self._vocabulary:
            self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
            self._index.index((numbered, self._vocabulary), show_progress=False, create_empty_token=False)

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """[Q, P] scores; 0 where no word of the query is in the text."""
        found = np.zeros((len(queries), self._size), np.float32)
        for row, query in enumerate(queries):
            known = [self._vocabulary[w] for w in words(query) if w in self._vocabulary]
            if known and self._index is not None:
                found[row] = self._index.get_scores_from_ids(known)
        return found
