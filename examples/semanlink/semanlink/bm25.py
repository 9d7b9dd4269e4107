"""BM25 over a catalogue in memory: the baseline that a fine-tuned model has to beat."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

WORD = re.compile(r"\w+")
K1, B = 1.2, 0.75
"""Lucene's defaults."""


def words(text: str) -> list[str]:
    """Lower-case words without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return WORD.findall(plain.casefold())


class BM25:
    """Okapi BM25 with Lucene's idf, ln(1 + (N − n + ½) / (n + ½)), as one sparse matrix of documents × words.

    Args:
        texts: N documents.
    """

    def __init__(self, texts: Sequence[str], *, k1: float = K1, b: float = B) -> None:
        self._vocabulary = CountVectorizer(analyzer=words)
        counts = sparse.csr_matrix(self._vocabulary.fit_transform(texts), dtype=np.float64)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        holding = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = np.log1p((counts.shape[0] - holding + 0.5) / (holding + 0.5))
        row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        damping = k1 * (1 - b + b * lengths[row] / lengths.mean())
        counts.data = idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + damping)
        self._weights = counts.T.tocsr()

    def scores(self, query: str) -> NDArray[np.float64]:
        """N scores of a query; a word that the query repeats counts as often."""
        asked = sparse.csr_matrix(self._vocabulary.transform([query]), dtype=np.float64)
        return np.asarray((asked @ self._weights).todense()).ravel()

    def top(self, query: str, count: int) -> list[int]:
        """Positions of the best documents, best first; of equal ones the earlier first."""
        return [int(i) for i in np.argsort(-self.scores(query), kind="stable")[:count]]
