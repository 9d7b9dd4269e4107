"""Tables of a notebook become files that the trainer's readers read as they read the same records in JSON lines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bluetune_trainer.data.files import records
from bluetune_trainer.data.frames import put
from bluetune_trainer.errors import DataInvalid, PlanInvalid

ROWS = [
    {"session_id": "s1", "search_results": [{"object_id": "a", "rank": 0}], "events": [{"object_id": "a"}], "n": 1},
    {"session_id": "s2", "search_results": [{"object_id": "b", "rank": 1}], "events": [], "n": None},
]
TABLES: list[Callable[[list[dict[str, Any]]], Any]] = [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist]


def read(folder: Path) -> list[dict[str, Any]]:
    """All records, file by file, in the order of the store's keys."""
    found: list[dict[str, Any]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for _, record in records(path, path.name):
            assert isinstance(record, dict)
            found.append(record)
    return found


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_any_library_is_read_as_the_same_records(table: Any, tmp_path: Path) -> None:
    put(table(ROWS), tmp_path / "batch", "sessions")
    assert read(tmp_path / "batch") == ROWS


def test_types_that_these_libraries_alone_have_are_texts_and_times(tmp_path: Path) -> None:
    moment = pd.Timestamp("2026-03-02T10:00:00Z")
    put(pd.DataFrame({"kind": pd.Categorical(["click"]), "at": [moment]}), tmp_path / "pandas", "sessions")
    put(
        pl.DataFrame({"kind": ["click"], "at": [moment.to_pydatetime()]}, schema_overrides={"kind": pl.Categorical}),
        tmp_path / "polars",
        "sessions",
    )
    assert read(tmp_path / "pandas") == read(tmp_path / "polars") == [{"kind": "click", "at": moment.to_pydatetime()}]


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    put(pd.DataFrame({"item_id": ["a"], "title": ["lamp"]}).set_index("item_id"), tmp_path / "items", "items")
    assert read(tmp_path / "items") == [{"title": "lamp", "item_id": "a"}]


def test_entries_of_a_list_are_read_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(json.dumps({"n": 0}) + "\n")
    put([file, *(pl.DataFrame({"n": [n]}) for n in range(1, 11)), str(file)], tmp_path / "batch", "sessions")
    assert [record["n"] for record in read(tmp_path / "batch")] == [*range(11), 0]


def test_a_folder_is_taken_with_all_its_files_and_no_bytes_are_copied(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "hour=1").mkdir(parents=True)
    (folder / "hour=1" / "part.jsonl").write_text('{"n": 1}\n')
    put(folder, tmp_path / "batch", "sessions")
    taken = tmp_path / "batch" / "hour=1" / "part.jsonl"
    assert read(tmp_path / "batch") == [{"n": 1}]
    assert taken.samefile(folder / "hour=1" / "part.jsonl")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": 1}, "items: a table is expected, this is builtins's dict; give a table of pandas (2.2 or later)"),
        (pl.LazyFrame({"a": [1]}), "items: a table is expected, this is polars's LazyFrame"),
        (["/nowhere.csv", "/there.csv"], "items[0]: there is no file and no folder /nowhere.csv"),
        ([], "items: the list is empty; give a table"),
    ],
)
def test_what_is_no_table_and_no_path_is_refused_by_name(given: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid) as raised:
        put(given, tmp_path / "items", "items")
    assert raised.value.message.startswith(said)


def test_a_column_of_several_types_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"^sessions: the table cannot be written as Parquet: .*column odd.*one type"):
        put(pd.DataFrame({"odd": [1, "two", {"three": 3}]}), tmp_path / "batch", "sessions")
