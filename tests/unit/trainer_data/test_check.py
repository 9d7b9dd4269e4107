"""A batch is judged before it is trained on, and read again as it was judged."""

import gzip
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bluetune_api.batch_window import BatchSelection
from bluetune_api.clickstream import Clickstream
from bluetune_api.method import Items, Settings
from bluetune_api.model import Gate
from bluetune_api.records import CheckReport, MethodPlan
from bluetune_trainer.data import loading
from bluetune_trainer.data.inspect import in_one_line, in_short
from bluetune_trainer.errors import DataInvalid, Stopped
from bluetune_trainer.evidence.power import smallest_gain
from bluetune_trainer.plugin import TextFineTuningMethod

ONE = BatchSelection(learn=["b1"])

PLUGIN = TextFineTuningMethod()


def _session(number: int, **changes: Any) -> dict[str, Any]:
    record = {
        "session_id": f"s{number}",
        "search_query": f"query {number}",
        "created_at": "2026-03-02T10:00:00Z",
        "search_results": [{"object_id": i} for i in "abc"],
        "events": [{"object_id": "b"}],
    }
    return {**record, **changes}


def _check(store: Any, method: MethodPlan | None = None, batch: str = "b1") -> CheckReport:
    return loading.check(store, BatchSelection(learn=[batch]), method or MethodPlan(), PLUGIN, stop=threading.Event())


def test_a_good_batch_is_valid_and_its_objects_are_pinned(good_store: Any) -> None:
    report = _check(good_store)
    assert report.valid
    assert (report.sessions, report.sessions_with_clicks, report.positives, report.results) == (60, 60, 60, 180)
    assert (report.coverage, report.catalogue_size, report.first) == (1.0, 3, "2026-03-02T10:00:00Z")
    assert [pinned.key for pinned in report.batch] == ["clickstream/b1/part.jsonl"]
    assert report.items[0].etag == good_store.stat("items/items.jsonl").etag


def _asked(queries: int, results: str = "abc") -> Any:
    lines = [_session(n, search_results=[{"object_id": i} for i in results]) for n in range(queries)]
    return "\n".join(json.dumps(line) for line in lines).encode()


@pytest.mark.parametrize(
    ("queries", "gate", "compared"),
    [
        (100, Gate(), 90),
        (1000, Gate(), 200),
        (100, Gate(min_delta=-0.01), 90),
        (100, Gate(folds=0), None),
        (100, Gate(judgments="judgments/j.jsonl"), None),
        (100, Gate(confidence=0), None),
    ],
)
def test_the_check_says_how_small_a_gain_the_gate_will_see(
    good_store: Any, queries: int, gate: Gate, compared: int | None
) -> None:
    good_store.put("clickstream/b1/part.jsonl", _asked(queries))
    found = loading.check(good_store, ONE, MethodPlan(), PLUGIN, gate=gate, stop=threading.Event()).smallest_gain
    if compared is None:
        assert found is None
    else:
        noise = smallest_gain(compared, 0.95)
        assert found == pytest.approx(gate.min_delta + noise, rel=0.12)  # the split is by a hash


def test_a_batch_of_few_queries_is_told_what_would_help(good_store: Any) -> None:
    good_store.put("clickstream/b1/part.jsonl", _asked(40))
    report = _check(good_store)
    assert report.smallest_gain is not None
    assert report.smallest_gain > 0.05
    (said,) = [note for note in report.notes if "the gate compares on" in note]
    assert "Clicks on more different queries help (a batch with about" in said
    assert "more sessions of the same queries do not" in said
    assert "the gate sees a gain of 0.0" in in_one_line(report)


def test_enough_queries_need_no_advice(good_store: Any) -> None:
    good_store.put("clickstream/b1/part.jsonl", _asked(400))
    assert not [note for note in _check(good_store).notes if "the gate" in note]


def test_a_gate_that_will_have_nothing_to_decide_by_is_told_before_the_training(good_store: Any) -> None:
    report = loading.check(good_store, ONE, MethodPlan(), PLUGIN, gate=Gate(folds=0), stop=threading.Event())
    assert "the gate has nothing to decide by; set gate.folds to 2 or more" in " ".join(report.notes)


def _clicked_results_only(store: Any) -> None:
    lines = [json.dumps(_session(n, search_results=[{"object_id": "b"}])) for n in range(60)]
    store.put("clickstream/b1/part.jsonl", "\n".join(lines).encode())


def test_sessions_of_clicked_results_alone_are_refused_and_say_what_is_missing(good_store: Any) -> None:
    _clicked_results_only(good_store)
    (problem,) = _check(good_store).problems
    assert "write all results that a search showed into search_results" in problem


def test_recall_at_ten_is_refused_where_no_page_is_longer_than_ten(good_store: Any) -> None:
    (problem,) = _check(good_store, MethodPlan(settings=Settings(objective="recall@10"))).problems
    assert problem.startswith("settings.objective: recall@10 is 1 for every model")


def _no_marker(store: Any) -> None:
    store.delete("clickstream/b1/_SUCCESS")


def _no_sessions(store: Any) -> None:
    store.delete("clickstream/b1/part.jsonl")


def _no_items(store: Any) -> None:
    store.delete("items/items.jsonl")


def _empty_file(store: Any) -> None:
    store.put("clickstream/b1/part.jsonl", b"")


def _few(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n) for n in range(5)))


def _one_query(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n, search_query="same") for n in range(60)))


def _unknown(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n, search_results=[{"object_id": f"x{n}"}]) for n in range(60)))


def _no_results(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n, search_results=[], events=[]) for n in range(60)))


def _only_clicked_results(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n, search_results=[{"object_id": "b"}]) for n in range(60)))


def _pairs(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n, search_results=[]) for n in range(60)))


def _impressions(store: Any) -> None:
    seen = [{"object_id": i} for i in "abc"]
    store.write("clickstream/b1/part.jsonl", *(_session(n, events=seen) for n in range(60)))


def _taps(store: Any) -> None:
    tap = [{"object_id": "b", "event_type": "tap"}]
    store.write("clickstream/b1/part.jsonl", *(_session(n, events=tap) for n in range(60)))


def _twice(store: Any) -> None:
    store.put("clickstream/b1/part-1.jsonl", store.get("clickstream/b1/part.jsonl"))


def _nested(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *({"hit": _session(n)} for n in range(60)))


def _broken_lines(store: Any) -> None:
    store.write("clickstream/b1/part.jsonl", *(_session(n) for n in range(60)), *('{"session_id":' for _ in range(20)))


def _cut_off(store: Any) -> None:
    data = gzip.compress(store.get("clickstream/b1/part.jsonl"))
    store.put("clickstream/b1/more.jsonl.gz", data[:-20])


def _broken_items(store: Any) -> None:
    store.write("items/items.jsonl", {"sku": "a", "title": "x"})


def _avro(store: Any) -> None:
    store.put("clickstream/b1/more.avro", b"Obj")


def _schema(store: Any) -> None:
    store.write("clickstream/b1/schema.json", {"fields": ["a"]})


def _other_items(store: Any) -> None:
    store.write("items/other.jsonl", {"sku": "z"})


def _items_as_text(store: Any) -> None:
    store.put("items/more.txt", b"lamp")


def _delta(store: Any) -> None:
    store.write("clickstream/b1/date=1/_delta_log/0.json", {"add": {}})


def _delta_items(store: Any) -> None:
    store.write("items/_delta_log/0.json", {"add": {}})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_marker, "clickstream/b1/_SUCCESS is missing; write it"),
        (_no_sessions, "there are no sessions in clickstream/b1/: put *.jsonl"),
        (_no_items, "there is no catalogue at items/: put the items there, or set the method's items.path"),
        (_empty_file, "no session of the batch can be read"),
        (_few, "5 of 5 sessions have a click on a known item, settings.minSessions is 20"),
        (_one_query, "the batch has only 1 different query; collect clicks on more queries"),
        (
            _unknown,
            "the catalogue knows 0 of 60 shown results (0%), settings.minCoverage is 50%; unknown are for example 'x0'",
        ),
        (_no_results, "search_results is empty everywhere"),
        (
            _only_clicked_results,
            "none of 60 sessions with a click has a known result that was not clicked (60 have one",
        ),
        (_pairs, "write all results that a search showed into search_results"),
        (_impressions, "180 of 180 results of sessions with a click are clicked, more than 90%"),
        (_impressions, "events are click (180); name the types that are clicks in clickstream.eventTypes"),
        (_taps, "name the types that are clicks in clickstream.eventTypes: tap (60) do not count"),
        (_twice, "60 of 120 lines of the batch repeat a session word for word"),
        (_nested, "60 of 60 lines of the batch are broken"),
        (_broken_lines, "20 of 80 lines of the batch are broken, more than 10%"),
        (_cut_off, "clickstream/b1/more.jsonl.gz: its compressed data breaks off"),
        (_broken_items, "check the method's items.idField and items.textFields"),
        (_avro, "not read: clickstream/b1/more.avro; files must be *.jsonl"),
        (_schema, "nothing can be used of clickstream/b1/schema.json: all lines are broken (search_query: a text is"),
        (_other_items, "nothing can be used of items/other.jsonl"),
        (_items_as_text, "not read: items/more.txt; files must be"),
        (_delta, "clickstream/b1/date=1/_delta_log/ is the log of a Delta table"),
        (_delta_items, "items/_delta_log/ is the log of a Delta table"),
    ],
)
def test_a_bad_batch_is_refused_with_what_to_do(good_store: Any, spoil: Callable[[Any], None], says: str) -> None:
    spoil(good_store)
    report = _check(good_store)
    assert not report.valid
    assert says in " | ".join(report.problems)
    with pytest.raises(DataInvalid) as error:
        loading.load(good_store, MethodPlan(), PLUGIN, report, stop=threading.Event())
    assert says.lower() in str(error.value).lower()


def test_the_message_has_counts_and_the_first_broken_lines(good_store: Any) -> None:
    _broken_lines(good_store)
    text = in_short(_check(good_store))
    assert "60 sessions, 60 with clicks, 0 duplicates, 20 broken lines, 100% of results known" in text
    assert "60 informative sessions of 60 different queries" in text
    assert "clickstream/b1/part.jsonl:61: not JSON" in text
    assert text.count("not JSON") == 10


def test_events_of_other_types_are_counted_and_named(good_store: Any) -> None:
    seen = [{"object_id": i, "event_type": "impression"} for i in "abc"]
    bought = [{"object_id": "b", "event_type": "purchase"}, {"event_type": "click"}]
    good_store.write("clickstream/b1/part.jsonl", *(_session(n, events=seen + bought) for n in range(60)))
    report = _check(good_store, MethodPlan(clickstream=Clickstream(event_types={"click": 1, "purchase": 5})))
    assert (report.valid, report.positives, report.informative_sessions) == (True, 60, 60)
    assert [(t.type, t.events, t.gain) for t in report.event_types] == [
        ("impression", 180, 0),
        ("purchase", 60, 5),
        ("click", 60, 1),
    ]
    assert report.notes[:2] == [
        "events that do not count as clicks: impression (180); clickstream.eventTypes says which count",
        "events without an object_id, which do nothing: 60",
    ]
    assert "Events that do not count as clicks: impression (180);" in in_short(report)


def test_a_query_that_dominates_is_said(good_store: Any) -> None:
    good_store.write("clickstream/b1/more.jsonl", *(_session(n, search_query="healthcheck") for n in range(1000, 1240)))
    report = _check(good_store)
    assert (report.queries, report.largest_query_share) == (61, 0.8)
    assert "one query is 80% of the sessions; there are 61 different queries" in report.notes


@pytest.mark.parametrize(
    ("settings", "valid"),
    [
        (Settings(min_sessions=60), True),
        (Settings(min_sessions=61), False),
        (Settings(min_coverage=1.0), True),
    ],
)
def test_thresholds_come_from_the_settings(good_store: Any, settings: Settings, valid: bool) -> None:
    assert _check(good_store, MethodPlan(settings=settings)).valid is valid


def test_the_items_path_may_be_a_file_of_any_name(good_store: Any) -> None:
    good_store.write("catalogue/v2.jsonl", *({"sku": i, "name": "n"} for i in "abc"))
    items = Items(path="catalogue/v2.jsonl", id_field="sku", text_fields=["name"])
    assert _check(good_store, MethodPlan(items=items)).valid


def test_a_catalogue_that_was_not_read_lacks_no_fields(good_store: Any) -> None:
    _no_marker(good_store)
    assert _check(good_store).notes == []


def test_what_lies_below_a_hidden_folder_is_no_data(good_store: Any) -> None:
    for folder in ("_temporary/0/task", ".hoodie/metadata", "date=1/_spark_metadata"):
        good_store.write(f"clickstream/b1/{folder}/part-0.jsonl", _session(99))
    good_store.write("clickstream/b1/date=1/hour=0/part-0.jsonl", _session(98))
    assert _check(good_store).sessions == 61


def test_an_empty_object_of_any_name_does_no_harm(good_store: Any) -> None:
    good_store.put("clickstream/b1/done", b"")
    assert _check(good_store).valid


def test_newer_texts_deletions_and_absent_fields_are_counted(good_store: Any) -> None:
    good_store.write("items/later.jsonl", {"item_id": "a", "title": "newer"}, {"item_id": "z", "_deleted": True})
    items = Items(text_fields=["title", "brand"])
    report = _check(good_store, MethodPlan(items=items))
    assert (report.valid, report.catalogue_size, report.item_updates, report.item_deletions) == (True, 3, 1, 1)
    assert "lines of items that came before, of which the last counts: 1" in report.notes
    assert "no line of the catalogue has the field 'brand' of items.textFields" in report.notes
    catalogue, _ = loading.load(good_store, MethodPlan(items=items), PLUGIN, report, stop=threading.Event())
    assert catalogue.texts[0] == "newer"


def test_training_reads_what_was_checked(good_store: Any) -> None:
    report = _check(good_store)
    good_store.write("clickstream/b1/late.jsonl", _session(99))
    catalogue, split = loading.load(good_store, MethodPlan(), PLUGIN, report, stop=threading.Event())
    assert catalogue.texts[0] == "title a. words"
    assert sum(len(part) for part in (split.train, split.validation, split.gate)) == 60


@pytest.mark.parametrize("what", ["changed", "was removed"])
def test_a_batch_that_changed_since_the_check_is_refused(good_store: Any, what: str) -> None:
    report = _check(good_store)
    if what == "changed":
        good_store.write("clickstream/b1/part.jsonl", _session(1))
    else:
        good_store.delete("clickstream/b1/part.jsonl")
    with pytest.raises(DataInvalid, match=f"{what} since it was checked.*start a new task") as error:
        loading.load(good_store, MethodPlan(), PLUGIN, report, stop=threading.Event())
    assert error.value.reason == "DataChanged"


def test_reading_ends_when_the_run_is_stopped(good_store: Any) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        loading.check(good_store, ONE, MethodPlan(), PLUGIN, stop=stop)


def test_a_batch_in_folders_of_dates_is_read(good_store: Any) -> None:
    good_store.put("clickstream/dt=2026-01-31/hour=05/part.jsonl", good_store.get("clickstream/b1/part.jsonl"))
    assert not _check(good_store, batch="dt=2026-01-31/hour=05").valid
    good_store.put("clickstream/dt=2026-01-31/hour=05/_SUCCESS", b"")
    report = _check(good_store, batch="dt=2026-01-31/hour=05")
    assert (report.valid, report.sessions, report.batch_id) == (True, 60, "dt=2026-01-31/hour=05")


@pytest.mark.parametrize(
    ("settle", "age", "valid"), [(None, 9e6, False), ("2h", 9e6, True), ("2h", 7170.0, True), ("2h", 60.0, False)]
)
def test_a_batch_without_a_marker_is_complete_when_nothing_was_added_for_long_enough(
    good_store: Any, settle: str | None, age: float, valid: bool
) -> None:
    good_store.delete("clickstream/b1/_SUCCESS")
    then = time.time() - age
    os.utime(good_store.uri("clickstream/b1/part.jsonl"), (then, then))
    report = _check(good_store, MethodPlan(clickstream=Clickstream(settle=settle)))
    assert report.valid == valid, report.problems
    if settle and not valid:
        assert "not complete (added to less than clickstream.settle ago)" in report.problems[0]


def _replaced_by(good_store: Any, commit: Any) -> CheckReport:
    """A batch whose files are `part.jsonl` and one more, with such a commit of Databricks."""
    good_store.delete("clickstream/b1/_SUCCESS")
    good_store.write("clickstream/b1/old.jsonl", *(_session(n, session_id=f"old-{n}") for n in range(60)))
    good_store.put("clickstream/b1/_started_17", b"")
    good_store.write("clickstream/b1/_committed_17", commit)
    return _check(good_store)


@pytest.mark.parametrize(("removed", "sessions"), [(["old.jsonl"], 60), ([], 120)])
def test_files_that_a_commit_of_databricks_replaced_are_no_data(
    good_store: Any, removed: list[str], sessions: int
) -> None:
    report = _replaced_by(good_store, {"added": ["part.jsonl"], "removed": removed})
    assert (report.valid, report.sessions) == (True, sessions), report.problems


@pytest.mark.parametrize("commit", [{"added": []}, {"removed": None}, {"removed": 7}, "no record", b"\xff"])
def test_a_commit_that_does_not_tell_what_it_replaced_is_refused(good_store: Any, commit: Any) -> None:
    report = _replaced_by(good_store, commit)
    assert not report.valid
    assert "clickstream/b1/_committed_17 cannot be read as the record of a commit of Databricks" in report.problems[0]
