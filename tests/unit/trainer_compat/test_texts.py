"""Splitting and augmenting texts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetune_trainer import (
    AugmentationsComposition,
    ChangeCases,
    DatasetFieldsNormalizer,
    DownloadedItem,
    DummySentenceSplitter,
    ItemsSetAugmentationApplier,
    ItemsSetSplitter,
    Misspellings,
    NoSplitter,
    TextItemSetManager,
    TokenGroupTextSplitter,
)


class Letters:
    """A tokenizer of one token a letter, which adds two of its own."""

    model_max_length = 12

    def tokenize(self, text: str) -> list[str]:
        return [letter for letter in text if not letter.isspace()]

    def num_special_tokens_to_add(self) -> int:
        return 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("See fig. 3, e.g. this one. Next.", ["See fig. 3, e.g. this one.", "Next."]),
        ("first line\nsecond line\n\n  \nthird", ["first line", "second line", "third"]),
        ("Before.\n```py\na = 1. \nb = 2\n```\nAfter.", ["Before.", "```py\na = 1. \nb = 2\n```", "After."]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("", []),
    ],
)
def test_sentences_and_lines_are_parts_and_code_stays_whole(text: str, parts: list[str]) -> None:
    assert DummySentenceSplitter()(text) == parts


@given(st.text(alphabet="ab .!?\n'\"", max_size=200))
def test_sentence_splitting_loses_nothing_but_white_space(text: str) -> None:
    assert "".join("".join(DummySentenceSplitter()(text)).split()) == "".join(text.split())


@given(st.text(alphabet="abc .\n", max_size=200), st.integers(3, 20))
def test_grouped_parts_fit_the_window_and_hold_every_letter(text: str, most: int) -> None:
    splitter = TokenGroupTextSplitter(Letters(), DummySentenceSplitter(), max_tokens=most)
    parts = splitter(text)
    assert all(part.strip() for part in parts)
    assert all(len(Letters().tokenize(part)) + 2 <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_neighbouring_blocks_share_a_part_as_long_as_they_fit() -> None:
    splitter = TokenGroupTextSplitter(tokenizer=Letters(), blocks_splitter=DummySentenceSplitter())
    assert splitter("Aaa. Bbb. Ccc. Dddddddddddd eee.") == ["Aaa. Bbb.", "Ccc.", "Dddddd", "dddddd eee."]


def test_a_long_sentence_stays_whole_if_it_may_not_be_split() -> None:
    splitter = TokenGroupTextSplitter(Letters(), NoSplitter(), max_tokens=6, split_sentences=False)
    assert splitter("abc def ghi") == ["abc def ghi"]


def test_a_window_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens: 2 leaves no room"):
        TokenGroupTextSplitter(Letters(), NoSplitter(), max_tokens=2)


def test_cases_are_the_text_itself_lower_and_upper() -> None:
    assert ChangeCases().transform("Ab c") == ["Ab c", "ab c", "AB C"]


@pytest.mark.parametrize(("size", "count"), [(1.0, 3), (5, 3), (2, 2), (0.7, 2), (0.1, 1)])
def test_a_selection_keeps_that_many_different_variants(size: float, count: int) -> None:
    kept = ChangeCases(size).transform("Ab c")
    assert len(set(kept)) == count
    assert kept == ChangeCases(size).transform("Ab c")


def test_misspellings_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    text = "sturdy red lantern for the garden"
    first = Misspellings(5).transform(text)
    assert first == Misspellings(5).transform(text)
    assert first != Misspellings(5, seed=1).transform(text)
    assert first[0] == text
    assert len(set(first)) == 3
    assert Misspellings(error_rates=[0.0]).transform(text) == [text, text]


def test_more_errors_are_made_at_a_higher_rate() -> None:
    text = "abcdefghij" * 100
    kept = {}
    for rate in (0.1, 0.5):
        (_, wrong) = Misspellings(error_rates=[rate]).transform(text)
        kept[rate] = sum(a == b for a, b in zip(wrong[:50], text[:50], strict=False))
        assert wrong != text
    assert kept[0.5] < kept[0.1]


def test_a_composition_applies_each_to_all_variants_of_those_before() -> None:
    made = AugmentationsComposition([ChangeCases(5), ChangeCases(5)]).transform("Ab")
    assert sorted(set(made)) == ["AB", "Ab", "ab"]
    assert len(made) == 9


def test_an_applier_adds_a_row_for_each_variant_that_differs() -> None:
    rows = [{"item_id": "1", "item": "Ab"}, {"item_id": "2", "item": "c"}]
    made = ItemsSetAugmentationApplier(ChangeCases()).apply_augmentation(rows)
    assert made == [*rows, *({"item_id": i, "item": v} for i, v in (("1", "ab"), ("1", "AB"), ("2", "C")))]


def _manager(**arguments: Any) -> TextItemSetManager:
    return TextItemSetManager(DatasetFieldsNormalizer("item", "item_id"), **arguments)


def test_a_manager_makes_parts_and_variants_of_a_text() -> None:
    manager = _manager(
        items_set_splitter=ItemsSetSplitter(DummySentenceSplitter()),
        augmenter=ItemsSetAugmentationApplier(AugmentationsComposition([ChangeCases(5), Misspellings(5)])),
    )
    assert manager.parts("One. Two.") == ["One.", "Two."]
    assert manager.parts("   ") == ["   "]
    variants = manager.variants("red lamp")
    assert variants[0] == "red lamp"
    assert len(set(variants)) == len(variants) >= 3
    assert _manager().variants("red lamp") == ["red lamp"]
    assert _manager(augmenter=lambda texts: [t + "!" for t in texts]).variants("a") == ["a", "a!"]


@pytest.mark.parametrize(
    "row",
    [
        {"item_id": 7, "item": "red lamp"},
        DownloadedItem(id="7", data="red lamp", meta=None),
        DownloadedItem(id="7", data={"item": "red lamp", "price": 3}, meta=None),
    ],
)
def test_a_normalizer_finds_id_and_content_in_rows_and_in_loaded_items(row: Any) -> None:
    assert DatasetFieldsNormalizer("item", "item_id")([row]) == [{"item_id": "7", "item": "red lamp"}]


def test_a_normalizer_names_the_field_that_is_missing() -> None:
    with pytest.raises(ValueError, match="no field 'item'; it has 'item_id', 'text'"):
        DatasetFieldsNormalizer("item", "item_id")([{"item_id": 1, "text": "x"}])


def test_a_content_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a text, this is int"):
        _manager().text({"item_id": "1", "item": 3})
