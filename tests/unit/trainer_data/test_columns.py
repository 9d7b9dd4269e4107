"""Catalogue and sessions as columns, and the split."""

import numpy as np
import pytest

from bluetune_api.clickstream import Clickstream
from bluetune_api.method import Items
from bluetune_trainer.data.catalogue import read_catalogue
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.splits import (
    clicked_sessions,
    folds_of,
    informative_sessions,
    normalised,
    place,
    split,
)
from bluetune_trainer.data.tally import CatalogueTally, SessionTally
from bluetune_trainer.data.types import Catalogue, Sessions, Split
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


def _read(*records: dict, transform=None, **clickstream) -> tuple[Sessions, SessionTally]:
    tally = SessionTally()
    lines = (("k.jsonl", n, record) for n, record in enumerate(records, 1))
    how = Clickstream(**clickstream)
    return read_sessions(lines, CATALOGUE, tally, transform, clickstream=how), tally


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
        _session(4, "", query=" LAMP"),
        {"session_id": "s9"},
        _session(5, "xa", "a", query="boat"),
        _session(6, "b", "b"),
    )
    assert (tally.read, tally.sessions, tally.duplicates, tally.merged, tally.broken) == (7, 6, 0, 1, 1)
    assert (tally.positives, tally.with_clicks, tally.usable, tally.informative) == (5, 4, 3, 0)
    assert (tally.all_clicked, tally.one_result, tally.choices, tally.chosen) == (1, 1, 6, 4)
    assert (tally.clicks_by_place, tally.clicks_not_shown, tally.clicks_without_list) == ([3, 2], 1, 0)
    assert (tally.queries, tally.most_frequent) == (2, 5)
    assert (tally.first, tally.last) == (1_000_000_001, 1_000_000_006)
    assert (tally.offences[0].key, tally.offences[0].line) == ("k.jsonl", 6)
    assert tally.coverage == pytest.approx(6 / 9)


def _clicked(sessions: Sessions) -> list[list[int]]:
    return [part.nonzero()[0].tolist() for part in np.split(sessions.clicked, sessions.offsets[1:-1])]


def test_a_visits_searches_are_sessions_of_their_own() -> None:
    sessions, tally = _read(
        *(_session(1, "ab", "a", query=query) for query in ("lamp", "boat", "bike")),
        _session(1, "ba", "a", query="lamp"),
        _session(1, "ab", "b", query="lamp") | {"query_id": 7},
        _session(1, "ab", "b", query="lamp") | {"query_id": 8},
    )
    assert (len(sessions), tally.sessions, tally.merged, tally.duplicates) == (6, 6, 0, 0)


def test_a_search_that_is_logged_again_is_one_session_with_all_its_clicks() -> None:
    later = _session(1, "ab", "b") | {"created_at": 1_000_000_900}
    sessions, tally = _read(
        *(_session(2, "ba", "b"), _session(1, "ab"), _session(1, "ab", "a"), _session(1, "ab", "a"), later),
        _session(3, "a", "a"),
    )
    assert _clicked(sessions) == [[0], [0, 1], [0]]
    assert sessions.items.tolist() == [1, 0, 0, 1, 0]
    assert (tally.sessions, tally.duplicates, tally.merged, tally.positives) == (3, 1, 2, 4)
    assert sessions.created[1] == 1_000_000_001


def test_the_same_results_at_other_ranks_are_another_page() -> None:
    pages = [_session(1, "ab") for _ in range(2)]
    pages[1]["search_results"] = [{"object_id": "a", "rank": 11}, {"object_id": "b", "rank": 12}]
    assert _read(*pages)[1].sessions == 2


def _ranked(number: int, *ranks: float, clicked: str = "a") -> dict:
    record = _session(number, "", clicked)
    return record | {"search_results": [{"object_id": i, "rank": r} for i, r in zip("ab", ranks, strict=False)]}


def test_a_later_pages_ranks_are_the_places_shown_whether_they_count_from_0_or_1() -> None:
    sessions, tally = _read(_ranked(1, 1, 2), _ranked(2, 12.0, 11.0), _session(3, "ab", "b"))
    assert sessions.shown_rank.tolist() == [0, 1, 10, 11, 0, 1]
    assert tally.clicks_by_place == [1, 1] + [0] * 9 + [1]
    sessions, _ = _read(_ranked(1, 0, 1), _ranked(2, 10, 11))
    assert sessions.shown_rank.tolist() == [0, 1, 10, 11]


def test_what_was_clicked_stands_in_for_a_list_that_was_not_logged() -> None:
    sessions, tally = _read(_session(1, "", "b"))
    assert (sessions.items.tolist(), sessions.clicked.tolist()) == ([1], [True])
    assert (tally.clicks_without_list, tally.clicks_not_shown) == (1, 0)


def test_gains_are_kept_through_subsets_and_cost_nothing_where_all_are_1() -> None:
    records = [_session(1, "ab", "a"), _session(2, "ab") | {"events": [{"object_id": "b", "event_type": "purchase"}]}]
    sessions, _ = _read(*records, event_types={"click": 1, "purchase": 5})
    assert sessions.gains.dtype == np.float32
    assert sessions.gains.tolist() == [1, 0, 0, 5]
    assert sessions.subset(np.array([1])).gains.tolist() == [0, 5]
    plain, _ = _read(*records)
    assert (len(plain.gains), plain.graded().tolist()) == (0, [1, 0, 0, 1])


def test_a_merged_result_has_the_best_of_its_gains() -> None:
    bought = _session(1, "ab") | {"events": [{"object_id": "a", "event_type": "purchase"}]}
    sessions, _ = _read(_session(1, "ab", "ab"), bought, event_types={"click": 1, "purchase": 5})
    assert sessions.gains.tolist() == [5, 1]


def test_a_long_session_is_cut_to_those_clicked_and_the_first_of_the_others() -> None:
    long = _session(1, "", "ab")
    results = [{"object_id": f"x{n}"} for n in range(500)]
    results[200], results[400] = {"object_id": "a"}, {"object_id": "b"}
    long["search_results"] = results
    again = long | {"events": []}
    sessions, tally = _read(long, again, _session(2, "ab", "a"), max_results=3)
    assert sessions.shown_rank.tolist() == [200, 400, 0, 1]
    assert (tally.results, tally.capped, tally.sessions, tally.merged) == (5, 2, 2, 1)
    sessions, _ = _read(long, max_results=2)
    assert sessions.shown_rank.tolist() == [200, 400]


def test_sessions_without_a_known_result_are_counted_and_left_out() -> None:
    sessions, tally = _read(_session(1, "xy", "x"))
    assert (len(sessions), tally.sessions) == (0, 1)


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
    tally = CatalogueTally()
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
    ],
)
def test_broken_items_are_counted_with_what_is_wrong(record: dict, problem: str) -> None:
    tally = CatalogueTally()
    lines = [("k", 1, {"item_id": "known", "title": "T"}), ("k", 2, record)]
    found = read_catalogue(lines, Items(), TextFineTuningMethod().item_text, tally)
    assert (found.ids, tally.broken) == (["known"], 1)
    assert problem in tally.offences[0].problem


def _catalogue(*records: dict, **items) -> tuple[Catalogue, CatalogueTally]:
    tally = CatalogueTally()
    lines = (("k", n, record) for n, record in enumerate(records, 1))
    return read_catalogue(lines, Items(**items), TextFineTuningMethod().item_text, tally), tally


def test_the_last_line_of_an_item_counts() -> None:
    found, tally = _catalogue(*({"item_id": i, "title": f"{i}{n}"} for n, i in enumerate("abac")))
    assert dict(zip(found.ids, found.texts, strict=True)) == {"a": "a2", "b": "b1", "c": "c3"}
    assert (found.position, tally.items, tally.updates, tally.broken) == ({"a": 0, "b": 1, "c": 2}, 3, 1, 0)


@pytest.mark.parametrize("marker", [True, 1, "true", "True", "1"])
def test_a_line_with_the_marker_removes_an_item_and_a_later_one_brings_it_back(marker: object) -> None:
    a, gone = {"item_id": "a", "title": "A"}, {"item_id": "a", "title": None, "_deleted": marker}
    assert _catalogue(a, {"item_id": "b", "title": "B"}, gone)[0].position == {"b": 0}
    found, tally = _catalogue(a, gone, a, {"item_id": "c", "title": "C", "_deleted": False})
    assert (found.ids, tally.deletions, tally.broken) == (["a", "c"], 1, 0)
    assert _catalogue(a, {"item_id": "a", "dead": 1}, deleted_field="dead")[0].ids == []


def test_a_field_that_no_line_has_is_named() -> None:
    records = [{"item_id": "a", "title": "A", "brand": None}, {"item_id": "b", "title": "B"}]
    assert _catalogue(*records, text_fields=["title", "brand", "titel"])[1].absent_fields == ["brand", "titel"]


@pytest.mark.parametrize(("a", "b"), [("Red Lamp", "red  lamp "), ("STRASSE", "straße"), ("x\ty", "X Y")])
def test_queries_that_mean_the_same_share_a_side(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)
    assert place(a) == place(b)


def test_places_never_change() -> None:
    assert [round(place(q), 6) for q in ("red lamp", "semantic web", "")] == [0.185405, 0.511238, 0.893168]
    assert place("red lamp", "another batch") != place("red lamp")


def _asked(queries: int) -> Sessions:
    return _read(*(_session(n, "ab", "a", query=f"query {n // 3}") for n in range(3 * queries)))[0]


def _sides(parts: Split) -> list[set[str]]:
    return [set(part.queries) for part in (parts.train, parts.validation, parts.gate)]


def test_with_enough_queries_a_tenth_validates_and_a_fifth_is_held_out_for_the_gate() -> None:
    parts = split(_asked(1000))
    sides = _sides(parts)
    assert sum(map(len, sides)) == 1000
    assert len(set().union(*sides)) == 1000
    assert [round(len(side) / 1000, 1) for side in sides] == [0.7, 0.1, 0.2]
    assert np.array_equal(parts.gate.items, np.tile([0, 1], len(parts.gate)))


def test_with_few_queries_or_judgments_nothing_is_held_out() -> None:
    for parts in (split(_asked(400)), split(_asked(1000), hold_out=False)):
        sides = _sides(parts)
        total = sum(map(len, sides))
        assert [round(len(side) / total, 1) for side in sides] == [0.9, 0.1, 0.0]


def test_another_batch_holds_out_other_queries() -> None:
    sessions = _asked(1000)
    one, other, again = (_sides(split(sessions, batch))[2] for batch in ("b1", "b2", "b1"))
    assert one == again
    assert 0.1 < len(one & other) / len(one) < 0.3, "as many as chance has in both"


def test_folds_are_by_query_and_of_about_the_same_size() -> None:
    queries = [f"query {n}" for n in range(1000)]
    numbers = folds_of(queries, 5)
    assert np.array_equal(numbers, folds_of([query.upper() + " " for query in queries], 5))
    assert set(numbers.tolist()) == {0, 1, 2, 3, 4}
    assert all(150 < n < 250 for n in np.bincount(numbers))


def test_sessions_with_a_click_are_counted() -> None:
    sessions, _ = _read(_session(1, "ab", "b"), _session(2, "ab"), _session(3, "a", "a"))
    assert clicked_sessions(sessions) == 2
    assert informative_sessions(sessions) == 1
    assert clicked_sessions(sessions.subset(np.zeros(0, np.int64))) == 0
