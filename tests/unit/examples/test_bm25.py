"""BM25 as one sparse matrix gives what the formula, written out word by word, gives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semanlink.bm25 import BM25, K1, B, words

VOCABULARY = ["dark", "matter", "graph", "Graph", "archéologie", "of", "2010"]
TEXTS = st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=8).map(" ".join), min_size=2, max_size=12).filter(
    lambda texts: any(texts)
)


def reference(texts: list[str], query: str) -> list[float]:
    """Okapi BM25 with Lucene's idf, the plain way."""
    documents = [words(text) for text in texts]
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        total = 0.0
        for word in words(query):
            holding = sum(word in other for other in documents)
            if word not in document:
                continue
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = document.count(word)
            total += idf * count * (K1 + 1) / (count + K1 * (1 - B + B * len(document) / average))
        scores.append(total)
    return scores


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, query=st.lists(st.sampled_from([*VOCABULARY, "unknown"]), max_size=5).map(" ".join))
def test_scores_are_the_formulas(texts: list[str], query: str) -> None:
    np.testing.assert_allclose(BM25(texts).scores(query), reference(texts, query), atol=1e-9)


def test_case_and_accents_do_not_matter() -> None:
    assert BM25(["L'archéologie", "dark matter"]).top("ARCHEOLOGIE", 1) == [0]


def test_equal_documents_come_in_their_order() -> None:
    assert BM25(["graph", "dark", "graph"]).top("graph", 3) == [0, 2, 1]


@pytest.mark.parametrize("query", ["", "nowhere"])
def test_a_query_without_known_words_scores_nothing(query: str) -> None:
    assert not BM25(["dark matter", "graph"]).scores(query).any()
