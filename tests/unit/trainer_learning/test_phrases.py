"""Phrases of items' texts, and the batches that hold them. A stand-in numbers the texts: no model is needed."""

from collections.abc import Iterable

import numpy as np
import pytest

from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.training.batches import Batcher, NumberedSessions
from bluetune_trainer.training.phrases import Phrases, common_words, phrase_of, words

TEXTS = [
    "Neural networks for ranking. Long description about trees",
    "Ranking with neural networks",
    "Graph databases and SPARQL",
    "The SPARQL query language",
    "",
    "Neural networks for ranking. Long description about trees",
]


class Table:
    """Numbers texts as `InputTable` does, both kinds alike."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, inputs: Iterable[str], kind: str) -> np.ndarray:
        numbers = []
        for text in inputs:
            if text not in self.texts:
                self.texts.append(text)
            numbers.append(self.texts.index(text))
        return np.array(numbers, np.int64)


def made(seed: int = 0) -> tuple[Phrases, Table]:
    table = Table()
    catalogue = Catalogue([str(i) for i in range(6)], TEXTS, {})
    return Phrases.of(np.array([5, 0, 1, 2, 3, 4, 2], np.int32), catalogue, table, seed), table  # type: ignore[arg-type]


def test_a_phrase_is_a_few_words_of_the_beginning() -> None:
    text = "State-of-the-art retrieval, l'été & beyond " + "filler " * 30 + "end"
    random = np.random.default_rng(0)
    found = {phrase_of(text, {"filler"}, random) for _ in range(200)} - {None}
    assert "State-of-the-art retrieval" in found
    assert "retrieval, l'été & beyond" in found
    assert "end" not in found
    for phrase in found:
        assert phrase is not None
        assert phrase in text
        assert 1 <= len(phrase.replace("& ", "").split()) <= 3
        assert not phrase.endswith("filler")


@pytest.mark.parametrize("text", ["", "  ", "…!?", "the of", "語" * 200])
def test_a_text_that_says_nothing_has_none(text: str) -> None:
    assert phrase_of(text, {"the", "of"}, np.random.default_rng(0)) is None


def test_common_words_are_those_of_many_texts_whatever_their_case() -> None:
    texts = [["The", f"word{i}", "the"] for i in range(100)] + [["rare"]] * 5 + [["often"]] * 6
    assert common_words(texts) == {"the", "often"}
    assert common_words([["a"], ["a"], ["a"]]) == set()


def test_each_different_text_has_one_phrase_of_its_own() -> None:
    phrases, table = made()
    assert len(phrases) == 4
    drawn = phrases.draw(np.arange(5), 10, np.random.default_rng(0))
    assert len(drawn.queries) == 4
    for query, at in zip(drawn.queries, drawn.item_at, strict=True):
        assert table.texts[query] in table.texts[at]


def test_the_same_seed_gives_the_same_phrases() -> None:
    assert made()[1].texts == made()[1].texts
    assert any(made(seed)[1].texts != made()[1].texts for seed in (1, 2, 3))


def test_items_that_hold_the_phrase_are_no_negatives() -> None:
    phrases, table = made()
    items = np.array([0, 1, 2, 3])
    drawn = phrases.draw(items, 10, np.random.default_rng(0))
    for row, (query, at) in enumerate(zip(drawn.queries, drawn.item_at, strict=True)):
        assert not drawn.allowed[row, at]
        holds = [words(table.texts[query]) <= words(table.texts[item]) for item in items]
        assert drawn.allowed[row].tolist() == [not held for held in holds]


def test_no_more_are_drawn_than_asked_for_and_none_of_unknown_items() -> None:
    phrases, _ = made()
    drawn = phrases.draw(np.array([1, 2, 99]), 1, np.random.default_rng(1))
    assert len(drawn.queries) == 1
    assert drawn.allowed.shape == (1, 3)
    assert len(phrases.draw(np.array([50, 99]), 5, np.random.default_rng(0)).queries) == 0


def sessions() -> NumberedSessions:
    items = np.array([0, 1, 2, 1, 2, 3])
    clicked = np.array([True, False, False, False, True, False])
    return NumberedSessions(
        np.array([40, 41]), items, clicked, np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1, 2], np.int32)
    )


def test_in_a_batch_a_phrase_is_a_session_of_one_clicked_result() -> None:
    phrases, _ = made()
    batcher = Batcher(sessions(), np.ones(6, np.float32), phrases=phrases, phrases_per_session=1.0)
    batch = batcher.batch(np.array([0, 1]), np.random.default_rng(0))
    assert batch.clicked.shape == (4, 3)
    assert batch.clicked[2:].tolist() == batch.valid[2:].tolist() == [[True, False, False]] * 2
    assert batch.confidences[2:, 0].tolist() == [1.0, 1.0]
    assert not batch.allowed[[2, 3], batch.result_at[2:, 0]].any()
    assert set(batch.texts[batch.query_at[2:]]) <= set(phrases.draw(np.arange(4), 9, np.random.default_rng(0)).queries)


def test_validation_and_trials_without_phrases_have_clicks_alone() -> None:
    phrases, _ = made()
    one = Batcher(sessions(), np.ones(6, np.float32), phrases=phrases, phrases_per_session=2.0)
    assert len(one.batch(np.array([0, 1])).query_at) == 2
    none = Batcher(sessions(), np.ones(6, np.float32), phrases=phrases, phrases_per_session=0.0)
    assert len(none.batch(np.array([0, 1]), np.random.default_rng(0)).query_at) == 2
