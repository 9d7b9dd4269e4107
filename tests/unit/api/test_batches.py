"""Batches are found in a listing: at any depth, by their markers or by time, without a request for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bluetune_api import batches
from bluetune_api.batch_window import is_batch_id
from bluetune_api.batches import BatchSearch, Found, ListingTooLong, find_batches, why_incomplete
from bluetune_api.objectstore import LocalStore, ObjectInfo, Page

NOW = 1_000_000.0
HOUR = 3600.0


class Listed:
    """A store of keys with times, which gives so many a page, and counts what it is asked."""

    def __init__(self, keys: dict[str, float], page: int = 1000) -> None:
        self.infos = [ObjectInfo(f"clickstream/{key}", 1, "", modified) for key, modified in sorted(keys.items())]
        self.size = page
        self.asked = 0

    def page(self, prefix: str, after: str = "") -> Page:
        self.asked += 1
        left = [info for info in self.infos if info.key.startswith(prefix) and info.key > after]
        return Page(left[: self.size], left[self.size - 1].key if len(left) >= self.size else None)

    def stat(self, key: str) -> ObjectInfo | None:
        self.asked += 1
        return next((info for info in self.infos if info.key == key), None)

    def uri(self, key: str) -> str:
        return f"s3://b/{key}"


def found(keys: dict[str, float] | list[str], *, settle: float | None = None, learned: tuple[str, ...] = ()) -> Found:
    whole = find_batches(_store(keys), settle=settle, now=NOW, learned=learned)  # type: ignore[arg-type]
    small = find_batches(_store(keys, 2), settle=settle, now=NOW, learned=learned)  # type: ignore[arg-type]
    assert [one.batch_id for one in whole.complete] == [one.batch_id for one in small.complete]
    return whole


def _store(keys: dict[str, float] | list[str], page: int = 1000) -> Listed:
    return Listed(keys if isinstance(keys, dict) else dict.fromkeys(keys, NOW - 10), page)


@pytest.mark.parametrize(
    ("keys", "complete"),
    [
        ([], []),
        (["a/x.jsonl", "a/_SUCCESS", "b/x.jsonl", "c/_SUCCESS"], ["a", "c"]),
        (["dt=2026-01-31/part-0.parquet", "dt=2026-01-31/_SUCCESS"], ["dt=2026-01-31"]),
        (["dt=2026-01-31/hour=05/p.parquet", "dt=2026-01-31/hour=05/_SUCCESS"], ["dt=2026-01-31/hour=05"]),
        (["2026/01/31/p.jsonl", "2026/01/31/_SUCCESS", "2026/02/01/_SUCCESS"], ["2026/01/31", "2026/02/01"]),
        (["2026-02-01 00/part.jsonl", "2026-02-01 00/_SUCCESS"], ["2026-02-01 00"]),
        (["at=05%3A00/p", "at=05%3A00/_SUCCESS", "été/p", "été/_SUCCESS"], ["at=05%3A00", "été"]),
        # Spark's partitions within a batch have markers of their own, or none
        (["b1/_SUCCESS", "b1/date=1/hour=0/p.parquet", "b1/date=1/hour=0/_SUCCESS", "b1/date=2/p"], ["b1"]),
        (["b1/0/_SUCCESS", "b1/0/p", "b1/1/p", "b1/_SUCCESS"], ["b1"]),
        # of Databricks
        (["d/_started_12", "d/_committed_12", "d/p.parquet"], ["d"]),
        (["d/_started_12", "d/_committed_12", "d/_started_13", "d/p.parquet"], []),
        (["d/_committed_vacuum12", "d/p.parquet"], []),
        # no data, and no batches
        (["_temporary/0/_SUCCESS", ".hoodie/_SUCCESS", "b/_temporary/0/_SUCCESS", "b/_delta_log/_SUCCESS"], []),
        (["t/_delta_log/0.json", "t/_SUCCESS", "t/p.parquet", "t/d=1/q.parquet"], []),
        (["a//p", "a//_SUCCESS"], []),
        (["a\\b/_SUCCESS", "x" * 513 + "/_SUCCESS"], []),
        (["p.jsonl", "_SUCCESS"], []),
    ],
)
def test_folders_with_a_marker_are_batches(keys: list[str], complete: list[str]) -> None:
    assert [one.batch_id for one in found(keys).complete] == complete


def test_a_batch_is_as_old_as_its_marker() -> None:
    keys = {"a/p": 5.0, "a/_SUCCESS": 6.0, "d/_started_1": 1.0, "d/_committed_1": 7.0, "d/p": 2.0}
    assert [(one.batch_id, one.completed) for one in found(keys).complete] == [("a", 6.0), ("d", 7.0)]


@pytest.mark.parametrize(
    ("keys", "complete"),
    [
        ({"h/p": NOW - 3 * HOUR}, ["h"]),
        ({"h/p": NOW - 3 * HOUR, "h/q": NOW - HOUR}, []),
        ({"h/05/p": NOW - 3 * HOUR, "h/06/p": NOW - HOUR}, ["h/05"]),
        ({"h/p": NOW - 3 * HOUR, "h/deep/p": NOW - HOUR}, []),
        ({"h/p": NOW - 3 * HOUR, "h/_temporary/0/q": NOW - HOUR}, []),
        ({"h/p": NOW - 3 * HOUR, "h/_started_1": NOW - 3 * HOUR}, []),
        ({"h/p": NOW - 3 * HOUR, "h/_delta_log/0.json": NOW - 3 * HOUR}, []),
        ({"t/_delta_log/0.json": NOW - 3 * HOUR, "t/d=1/p": NOW - 3 * HOUR}, []),
        ({"w/stray": NOW - 3 * HOUR, "w/d=1/p": NOW, "w/d=1/_SUCCESS": NOW}, ["w/d=1"]),
        ({"h/_SUCCESS": NOW, "h/p": NOW}, ["h"]),
    ],
)
def test_a_folder_without_a_marker_is_complete_when_nothing_was_added_for_long_enough(
    keys: dict[str, float], complete: list[str]
) -> None:
    assert [one.batch_id for one in found(keys, settle=2 * HOUR).complete] == complete
    unmarked = [name for name in complete if f"{name}/_SUCCESS" not in keys]
    assert not {one.batch_id for one in found(keys).complete} & set(unmarked)


def test_a_marker_beside_partitions_completes_those_that_are_older() -> None:
    """As `df.write.partitionBy("dt").mode("append")` into clickstream/ leaves it."""
    keys = {"_SUCCESS": 50.0, "dt=1/p": 40.0, "dt=2/p": 50.0, "dt=3/p": 51.0, "dt=3/q": 10.0}
    assert [(one.batch_id, one.completed) for one in found(keys).complete] == [("dt=1", 40.0), ("dt=2", 50.0)]


def test_what_was_learned_is_left_out_with_all_below_it() -> None:
    keys = ["a/_SUCCESS", "b/x/_SUCCESS", "b/x/p", "c/p", "d/_SUCCESS"]
    seen = found(keys, learned=("a", "b", "c"))
    assert ([one.batch_id for one in seen.complete], seen.passed_over) == (["d"], [])


def test_what_was_passed_over_is_named_with_the_cause_the_newest_first() -> None:
    keys = {"old/p": 1.0, "dt=2/p": 9.0, "d/_delta_log/0.json": 5.0, "d/p": 5.0, "a//p": 7.0, "loose.jsonl": 3.0}
    told = found(keys).in_words()
    assert told == (
        "passed over: 'dt=2' (no _SUCCESS), 'a/' (its name cannot be a batch's), 'd' (a Delta table: it has a"
        " _delta_log), 'old' (no _SUCCESS); 1 file lies right in clickstream/, where only folders are batches"
    )
    many = found({f"f{n}/p": float(n) for n in range(9)}).in_words()
    assert many.startswith("passed over: 'f8' (no _SUCCESS), 'f7'")
    assert many.endswith("and 4 more")
    assert found(["a/_SUCCESS"]).in_words() == ""
    assert len(found({"x" * 500 + str(n) + "/p": 1.0 for n in range(9)}).in_words()) < 1000


def test_ten_thousand_batches_cost_a_request_for_a_thousand_objects() -> None:
    store = Listed({f"h-{n:05d}/{name}": 1.0 for n in range(10_000) for name in ("_SUCCESS", "part.jsonl")})
    assert len(find_batches(store, now=NOW).complete) == 10_000  # type: ignore[arg-type]
    assert store.asked <= 21


@pytest.mark.parametrize("learned", [(), ("big",)])
def test_large_batches_that_are_known_are_not_listed_to_their_end(learned: tuple[str, ...]) -> None:
    marker = {} if learned else {"big/_SUCCESS": 1.0}
    store = Listed({f"big/part-{n:05d}": 1.0 for n in range(20_000)} | marker | {"bigger/_SUCCESS": 1.0})
    seen = find_batches(store, now=NOW, learned=learned)  # type: ignore[arg-type]
    assert [one.batch_id for one in seen.complete] == (["bigger"] if learned else ["big", "bigger"])
    assert store.asked == 2


def test_a_listing_without_an_end_is_given_up_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_PAGES", 3)
    store = Listed({f"b/p{n}": 1.0 for n in range(10)}, page=2)
    with pytest.raises(ListingTooLong, match=r"s3://b/clickstream/ holds more than .* name the batch in spec.batchId"):
        find_batches(store, now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "settle", "why"),
    [
        ("done", None, None),
        ("open", None, "no _SUCCESS"),
        ("open", HOUR, None),
        ("open", 9 * HOUR, "added to less than clickstream.settle ago"),
        ("hours", None, "complete batches lie below it: name one of them ('hours/05', 'hours/06')"),
        ("nothing", None, "no files lie in it"),
        ("beside", None, None),
        ("d", None, "a Delta table: it has a _delta_log"),
    ],
)
def test_a_batch_that_is_named_is_complete_or_it_is_said_why_not(
    batch: str, settle: float | None, why: str | None
) -> None:
    keys = ["done/_SUCCESS", "open/p", "hours/05/_SUCCESS", "hours/06/_SUCCESS", "d/_delta_log/0.json", "d/p"]
    store = Listed(dict.fromkeys(keys, NOW - 2 * HOUR) | {"beside/p": 1.0, "_SUCCESS": 2.0})
    assert why_incomplete(store, batch, settle=settle, now=NOW) == why  # type: ignore[arg-type]


def test_a_batch_that_has_its_marker_costs_one_request() -> None:
    store = Listed({"done/_SUCCESS": 1.0, "done/p": 1.0})
    assert why_incomplete(store, "done", now=NOW) is None  # type: ignore[arg-type]
    assert store.asked == 1


def test_a_folder_of_files_is_listed_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    for key in ("clickstream/dt=1/p.jsonl", "clickstream/dt=1/_SUCCESS", "clickstream/b/p.jsonl"):
        store.put(key, b"x")

    def unread(_: object) -> Iterator[bytes]:
        raise AssertionError("a file was read")

    monkeypatch.setattr(store, "_info", unread)
    seen = find_batches(store, now=NOW)
    assert [one.batch_id for one in seen.complete] == ["dt=1"]
    assert "'b' (no _SUCCESS)" in seen.in_words()


def test_pages_may_end_anywhere() -> None:
    """Whatever is skipped at the end of a page, what is found is the same."""
    keys = {f"{top}/{inner}/{name}": 1.0 for top in "ab" for inner in "xy" for name in ("0", "_SUCCESS", "p")}
    keys |= {"a/_SUCCESS": 1.0, "a/~": 1.0, "a/~~": 1.0, "a/é": 1.0, "a0": 1.0}
    keys |= {"b/_temporary/0/p": 1.0, "c/p": 1.0, "c/z/_SUCCESS": 1.0}
    whole = find_batches(Listed(keys), now=NOW)  # type: ignore[arg-type]
    for size in range(1, 12):
        assert find_batches(Listed(keys, size), now=NOW).complete == whole.complete  # type: ignore[arg-type]
    assert [one.batch_id for one in whole.complete] == ["a", "b/x", "b/y", "c/z"]


@pytest.mark.parametrize(
    "name", ["..", "a/..", "../a", "/a", "a/", "a//b", ".a", "_a", "a/_b", "", " a", 'a"', "a\n", "a\u202eb", "a\u200b"]
)
def test_no_batch_is_hidden_or_leads_elsewhere(name: str) -> None:
    assert not is_batch_id(name)


def test_a_search_without_pages_finds_nothing() -> None:
    search = BatchSearch(now=NOW)
    assert search.take(Page([])) is None
    assert search.found() == Found([], [])
