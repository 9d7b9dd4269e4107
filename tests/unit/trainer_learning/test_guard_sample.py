"""Which documents guards look at, and by which words those that nobody was shown are searched."""

import numpy as np
import pytest

from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.search import sample
from bluetune_trainer.search.sample import phrases_of_unshown, sample_of


def catalogue(size: int = 60) -> Catalogue:
    texts = [f"thing{i} of kind{i % 7}" for i in range(size)]
    return Catalogue([str(i) for i in range(size)], texts, {str(i): i for i in range(size)})


def showing(items: list[int]) -> Split:
    some = Sessions(["q"], np.array(items, np.int32), np.zeros(len(items), np.bool_), np.array([0, len(items)]))
    none = some.subset(np.zeros(0, np.int64))
    return Split(some, none, none)


def test_a_small_catalogue_is_taken_whole_and_a_large_one_with_what_is_needed_and_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(sample_of(catalogue(), [], np.arange(3), 0).texts) == 60
    monkeypatch.setattr(sample, "MAX_DOCUMENTS", 20)
    monkeypatch.setattr(sample, "MAX_SHOWN", 10)
    found = sample_of(catalogue(), [59], np.arange(30), 0)
    assert len(found.texts) == 20
    assert 59 in found.documents
    assert (found.documents < 30).sum() >= 9
    assert found.documents.tolist() == sample_of(catalogue(), [59], np.arange(30), 0).documents.tolist()


def test_equal_texts_are_one_document() -> None:
    twice = Catalogue(["a", "b", "c"], ["same", "same", "other"], {"a": 0, "b": 1, "c": 2})
    assert sorted(sample_of(twice, [1], np.arange(3), 0).texts) == ["other", "same"]


def test_phrases_are_of_what_no_session_shows_and_whoever_has_all_their_words_is_no_rival() -> None:
    items = catalogue()
    taken = sample_of(items, [], np.arange(0), 0)
    found = phrases_of_unshown(taken, items, showing(list(range(20))), 0)
    assert 20 <= len(found.queries) <= 40
    assert (taken.documents[found.own] >= 20).all()
    for phrase, own, others in zip(found.queries, found.own, found.others, strict=True):
        assert phrase in taken.texts[own]
        rivals = [not set(phrase.split()) <= set(text.split()) for text in taken.texts]
        assert others.tolist() == rivals
