"""Variants of texts: drawn where there are some, and batches that encode them in the place of what they stand for."""

import numpy as np
import pytest

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.training.batches import Batcher, NumberedSessions
from bluetune_trainer.training.variants import Variants, make_variants

VARIANTS = Variants(of=np.array([1, 3]), numbers=np.array([1, 10, 11, 30]), offsets=np.array([0, 3, 4]))
"""1 may be 1, 10 or 11; 3 is always 30."""
SESSIONS = NumberedSessions(
    queries=np.array([0, 4]),
    items=np.array([1, 2, 3, 1, 2]),
    clicked=np.array([True, False, False, False, True]),
    offsets=np.array([0, 3, 5]),
    shown_rank=np.array([0, 1, 2, 0, 1], np.int32),
)


def test_each_variant_is_drawn_as_often_as_another_and_what_has_none_stays() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([VARIANTS.draw(np.array([0, 1, 2, 3, 4]), random) for _ in range(3000)])
    assert (drawn[:, [0, 2, 4]] == [0, 2, 4]).all()
    assert (drawn[:, 3] == 30).all()
    numbers, counts = np.unique(drawn[:, 1], return_counts=True)
    assert numbers.tolist() == [1, 10, 11]
    assert counts.min() > 900


def test_a_batch_encodes_the_variants_and_all_else_stays_as_it_was() -> None:
    confidences = np.ones(5, np.float32)
    plain = Batcher(SESSIONS, confidences).batch(np.arange(2))
    varied = Batcher(SESSIONS, confidences, variants=VARIANTS).batch(np.arange(2), np.random.default_rng(5))
    assert varied.texts[varied.query_at].tolist() == plain.texts[plain.query_at].tolist() == [0, 4]
    read = dict(zip(plain.texts[plain.item_at].tolist(), varied.texts[varied.item_at].tolist(), strict=True))
    assert read[1] in (1, 10, 11)
    assert (read[2], read[3]) == (2, 30)
    for name in ("result_at", "clicked", "valid", "allowed"):
        assert (getattr(varied, name) == getattr(plain, name)).all(), name


def test_validation_batches_hold_no_variants() -> None:
    batch = Batcher(SESSIONS, np.ones(5, np.float32), variants=VARIANTS).batch(np.arange(2))
    assert batch.texts.tolist() == [0, 1, 2, 3, 4]


class Table:
    """Numbers texts in the order in which it meets them."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def add(self, texts: list[str], kind: str) -> np.ndarray:
        return np.array([self.known.setdefault(text, len(self.known)) for text in texts], np.int64)


def test_variants_are_put_into_the_table_once() -> None:
    table = Table()
    table.add(["a", "b", "q"], "item")
    made = make_variants(
        table,  # type: ignore[arg-type]
        [("item", ["a", "b"], lambda text: [text, text.upper(), text]), ("query", ["q"], lambda text: [text + "?"])],
    )
    assert made is not None
    assert list(table.known) == ["a", "b", "q", "A", "B", "q?"]
    assert made.of.tolist() == [0, 1, 2]
    assert made.numbers.tolist() == [0, 3, 1, 4, 5]
    assert made.offsets.tolist() == [0, 2, 4, 5]
    assert make_variants(table, [("item", ["a"], None)]) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [None, [], "abc", [1]])
def test_what_is_no_list_of_texts_is_the_plugins_fault(made: object) -> None:
    with pytest.raises(PluginFailed, match="variants of 'a' must be a list of texts"):
        make_variants(Table(), [("item", ["a"], lambda text: made)])  # type: ignore[arg-type, return-value]
