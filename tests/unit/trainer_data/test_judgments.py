"""Judgments in the formats in which collections have them."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_trainer.data.judgments import Judged, read_judgments
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.errors import DataInvalid

CATALOGUE = Catalogue(["a", "b"], ["A", "B"], {"a": 0, "b": 1})


def read(store: Any, folder: Path, files: dict[str, str], path: str = "judgments/") -> list[Judged]:
    for name, text in files.items():
        store.put(f"judgments/{name}", text.encode())
    return read_judgments(store, path, CATALOGUE, folder, stop=threading.Event())


QRELS = "401 0 a 2\n401\t0\tb\t-2\n402 0 gone 1\n"


def test_trecs_topics_have_their_texts_in_a_file_beside_them(store: Any, tmp_path: Path) -> None:
    topics = "\ufeff401\tred lamp\n402 blue boat\n"
    expected = [Judged("red lamp", 0, 2.0), Judged("red lamp", 1, 0.0)]
    assert read(store, tmp_path, {"dev.qrels": QRELS, "dev.topics": topics}) == expected
    assert read(store, tmp_path, {}, "judgments/dev.qrels") == expected


def test_a_topic_without_a_number_is_the_querys_text(store: Any, tmp_path: Path) -> None:
    assert read(store, tmp_path, {"dev.qrels": "red lamp\t0\ta\t1\n"}) == [Judged("red lamp", 0, 1.0)]


@pytest.mark.parametrize("topics", [None, "401 red lamp\n"])
def test_topics_without_a_text_are_refused(store: Any, tmp_path: Path, topics: str | None) -> None:
    files = {"dev.qrels": QRELS} | ({} if topics is None else {"dev.topics": topics})
    with pytest.raises(DataInvalid, match=r"topics of judgments/ have no text, for example '40[12]'"):
        read(store, tmp_path, files)


def test_quepids_export_is_read(store: Any, tmp_path: Path) -> None:
    export = 'query,docid,rating\n"red, lamp",a,3\n"red, lamp",b,\nboat,b,0\n'
    assert read(store, tmp_path, {"case.csv": export}) == [Judged("red, lamp", 0, 3.0), Judged("boat", 1, 0.0)]


def test_a_rating_that_is_no_number_is_named(store: Any, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"case.csv: .*grade: a number from 0 to 1000 is expected, this is 'good'"):
        read(store, tmp_path, {"case.csv": "query,docid,rating\nlamp,a,good\n"})


def test_the_search_relevance_workbenchs_export_is_read(store: Any, tmp_path: Path) -> None:
    ratings = [{"docId": "a", "rating": "3.000"}, {"docId": "b", "rating": 0}]
    export = {"name": "J", "judgmentRatings": [{"query": "lamp", "ratings": ratings}]}
    found = read(store, tmp_path, {"srw.json": json.dumps(export, indent=2)})
    assert found == [Judged("lamp", 0, 3.0), Judged("lamp", 1, 0.0)]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.qrels", "401 0 a\n", "topic, iteration, item and grade are expected, this is '401 0 a'"),
        ("x.qrels", "401 0 a high\n", "topic, iteration, item and grade are expected"),
        ("x.qrels", "401 0 a nan\n", "grade: a number from 0 to 1000 is expected"),
        ("x.topics", "401\n", "a topic and its text are expected"),
        ("x.json", '{"judgmentRatings": [{"query": "q", "ratings": [{"docId": "a", "rating": "good"}]}]}', "grade"),
        ("x.json", '{"judgmentRatings": [5]}', "query: a text is expected"),
        ("x.txt", "401 0 a 1\n", "not read: judgments/x.txt"),
    ],
)
def test_what_cannot_be_read_is_named(store: Any, tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(DataInvalid) as error:
        read(store, tmp_path, {name: text})
    assert says in str(error.value)
