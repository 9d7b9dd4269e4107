"""Words are matched as keyword search does, also where a script has no spaces."""

import numpy as np
import pytest

from bluetune_trainer.evidence.lexical import Lexical, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red  Lamps, 40W", ["red", "lamps", "40w"]),
        ("Café ÉCLAIR", ["cafe", "eclair"]),
        ("東京都 hotel", ["東京", "京都", "hotel"]),
        ("本", ["本"]),
        ("iPhone手机壳x", ["iphone", "手机", "机壳", "x"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_rare_word_counts_more_and_a_missing_one_nothing() -> None:
    lexical = Lexical(["red lamp", "red chair", "red table", "blue lamp lamp"])
    scores = lexical.scores(["red lamp", "nowhere", ""])
    assert scores.shape == (3, 4)
    assert scores[0].argmax() == 0
    assert scores[0, 3] > scores[0, 1] > 0
    assert not scores[1:].any()


def test_texts_without_words_score_nothing() -> None:
    assert np.array_equal(Lexical(["", "!!"]).scores(["x"]), np.zeros((1, 2), np.float32))


def test_its_library_writes_no_debug_lines_into_the_trainers_log(caplog: pytest.LogCaptureFixture) -> None:
    Lexical(["a red lamp", "a blue chair"]).scores(["red"])
    assert not caplog.records
