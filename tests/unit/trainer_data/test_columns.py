"""Catalogue and sessions as columns, and the split."""

import numpy as np
import pytest

from bluetune_api.method import Items
from bluetune_trainer.data.catalogue import read_catalogue
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.splits import clicked_sessions, normalised, place, split
from bluetune_trainer.data.tally import Lines, SessionTally
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin import TextFineTuningMethod

CATALOGUE = Catalogue(ids=["a", "b"], texts=["A", "B"], position={"a": 0, "b": 1})


def _session(number: int, results: str, clicked: str = "", query: str = "lamp") -> dict:
    return {
        "session_id": f"s{number}",
        "search_query": query,
        "created_at": 1_000_000_000 + number,
        "search_results": [{"object_id": r} for r in results],
        "events": [{"object_id": c} for c in clicked],
    }


def _read(*records: dict, transform=None) -> tuple[Sessions, SessionTally]:
    tally = SessionTally()
    lines = (("k.jsonl", n, record) for n, record in enumerate(records, 1))
    return read_sessions(lines, CATALOGUE, tally, transform), tally


def test_results_become_positions_and_keep_the_rank_at_which_they_were_shown() -> None:
    sessions, tally = _read(_session(1, "xba", "a"), _session(2, "ab"))
    assert sessions.items.tolist() == [1, 0, 0, 1]
    assert sessions.shown_rank.tolist() == [1, 2, 0, 1]
    assert sessions.clicked.tolist() == [False, True, False, False]
    assert sessions.offsets.tolist() == [0, 2, 4]
    assert (tally.results, tally.known, tally.unknown) == (5, 4, ["x"])


def test_what_a_check_reports_is_counted() -> None:
    _, tally = _read(
        _session(1, "ab", "a"),
        _session(1, "ab", "b"),
        _session(2, "xy", "x"),
        _session(3, "ab", "z"),
        _session(4, ""),
        {"session_id": "s9"},
    )
    assert (tally.read, tally.duplicates, tally.broken) == (4, 1, 1)
    assert (tally.positives, tally.with_clicks, tally.usable) == (2, 2, 1)
    assert (tally.first, tally.last) == (1_000_000_001, 1_000_000_004)
    assert (tally.offences[0].key, tally.offences[0].line) == ("k.jsonl", 6)
    assert tally.coverage == pytest.approx(4 / 6)


def test_sessions_without_a_known_result_are_counted_and_left_out() -> None:
    sessions, tally = _read(_session(1, "xy", "x"))
    assert (len(sessions), tally.read) == (0, 1)


def test_only_ten_offences_and_unknown_ids_are_kept() -> None:
    _, tally = _read(*({"session_id": ""} for _ in range(50)), _session(1, "cdefghijklmnopq"))
    assert (tally.broken, len(tally.offences), len(tally.unknown)) == (50, 10, 10)


def test_half_a_surrogate_pair_is_a_broken_line_and_no_crash() -> None:
    _, tally = _read(_session(1, "ab", query="\ud800"))
    assert "surrogate" in tally.offences[0].problem


def test_a_plugin_may_leave_sessions_out_and_must_return_sessions() -> None:
    sessions, tally = _read(
        _session(1, "ab"), _session(2, "ab"), transform=lambda s: None if s["session_id"] == "s1" else s
    )
    assert (len(sessions), tally.read) == (1, 1)
    with pytest.raises(PluginFailed, match="it returned int"):
        _read(_session(1, "ab"), transform=lambda s: 5)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"item_id": "a", "title": "T", "description": "D"}, "T. D"),
        ({"item_id": "a", "title": " T ", "description": None}, "T"),
        ({"item_id": "a", "title": float("nan"), "description": "D"}, "D"),
        ({"item_id": "a", "title": 5, "description": "D"}, "5. D"),
        ({"item_id": 5, "title": "T"}, "T"),
    ],
)
def test_item_texts_are_joined_from_the_fields_that_are_there(record: dict, text: str) -> None:
    tally = Lines()
    found = read_catalogue([("k", 1, record)], Items(), TextFineTuningMethod().item_text, tally)
    assert (found.texts, found.ids) == ([text], [str(record["item_id"])])


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"id": "a", "title": "T"}, "item_id: an id (text or whole number) is expected, fields are 'id, title'"),
        ({"item_id": None, "title": "T"}, "this is None"),
        ({"item_id": "a", "name": "T"}, "no text in 'title' or 'description'; fields are 'item_id, name'"),
        ({"item_id": "a", "title": "  "}, "no text in"),
        ({"item_id": "a", "title": ["T"]}, "field 'title' must be a text, not list"),
        ({"item_id": "a", "title": "\ud800"}, "surrogates not allowed"),
        ({"item_id": "known", "title": "T"}, "was seen before"),
    ],
)
def test_broken_items_are_counted_with_what_is_wrong(record: dict, problem: str) -> None:
    tally = Lines()
    lines = [("k", 1, {"item_id": "known", "title": "T"}), ("k", 2, record)]
    found = read_catalogue(lines, Items(), TextFineTuningMethod().item_text, tally)
    assert (found.ids, tally.broken) == (["known"], 1)
    assert problem in tally.offences[0].problem


@pytest.mark.parametrize(("a", "b"), [("Red Lamp", "red  lamp "), ("STRASSE", "straße"), ("x\ty", "X Y")])
def test_queries_that_mean_the_same_share_a_side(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)
    assert place(a) == place(b)


def test_places_never_change() -> None:
    assert [round(place(q), 6) for q in ("red lamp", "semantic web", "")] == [0.185405, 0.511238, 0.893168]


def test_the_split_is_by_query_and_about_eighty_ten_ten() -> None:
    sessions, _ = _read(*(_session(n, "ab", "a", query=f"query {n // 3}") for n in range(3000)))
    parts = split(sessions)
    sides = [set(part.queries) for part in (parts.train, parts.validation, parts.gate)]
    assert sum(map(len, sides)) == 1000
    assert len(set().union(*sides)) == 1000
    assert [round(len(side) / 1000, 1) for side in sides] == [0.8, 0.1, 0.1]
    assert np.array_equal(parts.gate.items, np.tile([0, 1], len(parts.gate)))


def test_sessions_with_a_click_are_counted() -> None:
    sessions, _ = _read(_session(1, "ab", "b"), _session(2, "ab"), _session(3, "a", "a"))
    assert clicked_sessions(sessions) == 2
    assert clicked_sessions(sessions.subset(np.zeros(0, np.int64))) == 0
