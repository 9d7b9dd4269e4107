"""Files as streams of records, whole and broken."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from bluetune_trainer.data import json_documents
from bluetune_trainer.data import records as reading
from bluetune_trainer.data.files import records
from bluetune_trainer.data.formats import UnknownFormat
from bluetune_trainer.data.records import BrokenFile

ROWS = [{"n": n, "text": "é" * 50} for n in range(500)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _write(path: Path, suffix: str, data: bytes = LINES) -> str:
    if suffix == ".jsonl.gz":
        data = gzip.compress(data)
    elif suffix == ".jsonl.zst":
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return f"part{suffix}"


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_are_read_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    key = _write(tmp_path / "f", suffix)
    assert list(records(tmp_path / "f", key)) == list(enumerate(ROWS, 1))


def test_parquet_gives_the_same_records(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "f")
    assert list(records(tmp_path / "f", "x.parquet")) == list(enumerate(ROWS, 1))


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_several_compressed_parts_in_one_file_are_read_through(tmp_path: Path, suffix: str) -> None:
    key = _write(tmp_path / "f", suffix)
    data = (tmp_path / "f").read_bytes()
    (tmp_path / "f").write_bytes(data * 3)
    assert [r for _, r in records(tmp_path / "f", key)] == ROWS * 3


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
@pytest.mark.parametrize("cut", [10, 200, -1, -5])
def test_a_cut_off_file_is_told_from_a_whole_one(tmp_path: Path, suffix: str, cut: int) -> None:
    key = _write(tmp_path / "f", suffix)
    (tmp_path / "f").write_bytes((tmp_path / "f").read_bytes()[:cut])
    with pytest.raises(BrokenFile, match="breaks off or is damaged after line"):
        list(records(tmp_path / "f", key))


@pytest.mark.parametrize("key", ["x.parquet", "x.csv"])
def test_a_file_that_is_not_what_its_name_says_is_broken(tmp_path: Path, key: str) -> None:
    (tmp_path / "f").write_bytes(b'"plain" text [\n' * 9)
    with pytest.raises(BrokenFile):
        list(records(tmp_path / "f", key))


ZSTD = zstandard.ZstdCompressor().compress


@pytest.mark.parametrize("name", ["x.jsonl", "X.JSONL", "x.ndjson", "x.json", "x.json.gz", "x.NDJSON.ZST", "x.gz", "x"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, ZSTD, lambda data: gzip.compress(gzip.compress(data))])
def test_compression_is_recognised_by_the_content_whatever_the_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "f").write_bytes(pack(LINES))
    assert list(records(tmp_path / "f", f"clickstream/b.1/{name}")) == list(enumerate(ROWS, 1))


@pytest.mark.parametrize("name", ["x.txt", "x.log", "x.avro", "x.json.bak", "x.parquet.gz", "x.csv.zip", "readme"])
def test_a_file_of_another_kind_is_told_from_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(b"plain text\n" * 9)
    with pytest.raises(UnknownFormat):
        list(records(tmp_path / "f", name))


def test_parquet_without_a_suffix_is_recognised(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "f")
    assert list(records(tmp_path / "f", "part-00000")) == list(enumerate(ROWS, 1))


def _response(rows: list[dict[str, object]], **more: object) -> dict[str, object]:
    hits = [{"_index": "i", "_id": str(n), "_source": row} for n, row in enumerate(rows)]
    return {"took": 3, "hits": {"total": {"value": len(rows)}, "max_score": None, "hits": hits}, **more}


NOT_HITS = {"a": {"hits": {"hits": [{"_source": {"no": "hit"}}]}, "text": '}]"\\'}}
DOCUMENTS: dict[str, str] = {
    "an array": json.dumps(ROWS),
    "an array over many lines": json.dumps(ROWS, indent=2),
    "records over many lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "records without a line end": "".join(map(json.dumps, ROWS)),
    "a response": json.dumps(_response(ROWS)),
    "a response over many lines": json.dumps(_response(ROWS), indent=1),
    "several responses": "\n".join(json.dumps(_response(ROWS[n : n + 100])) for n in range(0, 500, 100)),
    "a response with aggregations": json.dumps(_response(ROWS, aggregations=NOT_HITS)),
}


@pytest.mark.parametrize("chunk", [7, 1000, 1 << 18])
@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_that_is_not_a_record_a_line_is_read_record_by_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, chunk: int
) -> None:
    monkeypatch.setattr(json_documents, "CHUNK_BYTES", chunk)
    (tmp_path / "f").write_text("\ufeff" + text)
    found = [record for _, record in records(tmp_path / "f", "x.json")]
    assert [{"n": record["n"], "text": record["text"]} for record in found if isinstance(record, dict)] == ROWS


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_that_breaks_off_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / "f").write_text(text[: len(text) - 3])
    with pytest.raises(BrokenFile):
        list(records(tmp_path / "f", "x.json"))


def test_what_is_no_record_in_an_array_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_text('[{"n": 1}, 5, {"n": NaN}, null, {"n": 5}]')
    found = list(records(tmp_path / "f", "x.json"))
    assert [found[0], found[4]] == [(1, {"n": 1}), (5, {"n": 5})]
    assert ["expected" in str(found[1]), "NaN is not JSON" in str(found[2]), "None" in str(found[3])] == [True] * 3


HIT = {"_index": "i", "_type": "_doc", "_id": "7", "_score": 1, "sort": [5]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a response", json.dumps({"took": 1, "hits": {"hits": [HIT | {"_source": {"n": 1}}]}})),
        ("what is new in a hit", json.dumps({"took": 1, "hits": {"hits": [HIT | {"_source": {"n": 1}, "new": [1]}]}})),
        ("a hit of Elasticsearch 8", json.dumps(HIT | {"_source": {"n": 1}, "ignored_field_values": {"n": ["x"]}})),
        ("a hit a line, as elasticdump writes it", json.dumps(HIT | {"_source": {"n": 1}}) + "\n"),
        ("an array of hits", json.dumps([HIT | {"_source": {"n": 1}}])),
    ],
)
def test_of_a_hit_its_document_is_read_with_the_id(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "f").write_text(text)
    assert list(records(tmp_path / "f", "x.json")) == [(1, {"_id": "7", "n": 1})], name


def test_a_documents_own_id_is_kept_and_a_record_that_has_a_source_is_no_hit(tmp_path: Path) -> None:
    rows = [HIT | {"_source": {"_id": 1}}, {"_source": {"n": 1}, "item_id": "a"}, {"_source": 5}]
    (tmp_path / "f").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [record for _, record in records(tmp_path / "f", "x.jsonl")] == [{"_id": 1}, *rows[1:]]


def test_what_is_no_document_of_a_response_is_named(tmp_path: Path) -> None:
    hits = [{"_source": 7}, {"_source": {"n": 1}}, {"_id": "x"}, 5]
    (tmp_path / "f").write_text(json.dumps({"took": 1, "hits": {"hits": hits}}))
    found = [record for _, record in records(tmp_path / "f", "x.json")]
    assert found[1:3] == [{"n": 1}, {"_id": "x"}]
    assert [found[0], found[3]] == [f"a JSON object is expected, this is {n}" for n in (7, 5)]


def test_a_record_of_an_array_is_never_larger_than_a_line_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_documents, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(json_documents, "CHUNK_BYTES", 100)
    (tmp_path / "f").write_text('[{"n": 1}, {"n": "' + "x" * 5000 + '"}]')
    with pytest.raises(BrokenFile, match="record 2 is longer"):
        list(records(tmp_path / "f", "x.json"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", 'id,title\n1,"red, lamp"\n2,\n'),
        ("x.csv.gz", '\ufeffid,title\r\n1,"red, lamp"\r\n2,\r\n'),
        ("x.csv", "id;title\n1;red, lamp\n2;\n"),
        ("X.TSV", "id\ttitle\n1\tred, lamp\n\n2\t\n"),
    ],
)
def test_rows_of_separated_values_are_records(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "f").write_bytes(text.encode())
    found = [record for _, record in records(tmp_path / "f", name)]
    assert found == [{"id": "1", "title": "red, lamp"}, {"id": "2", "title": None}]


def test_separated_values_may_hold_sessions(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(
        'session_id,is_irrelevant,search_results,events\ns,TRUE,"[{""object_id"": ""a""}]",[broken\n'
    )
    _, record = next(iter(records(tmp_path / "f", "x.csv")))
    assert record == {
        "session_id": "s",
        "is_irrelevant": True,
        "search_results": [{"object_id": "a"}],
        "events": "[broken",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,id\n1,2\n", "must name the fields"),
        ("id,\n1,2\n", "must name the fields"),
        ('id,title\n1,"red\n2,lamp\n', "row at line 2 cannot be read"),
        ('id,title\n1,"red" lamp\n', "row at line 2 cannot be read"),
    ],
)
def test_separated_values_that_cannot_be_told_apart_are_broken(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "f").write_text(text)
    with pytest.raises(BrokenFile, match=says):
        list(records(tmp_path / "f", "x.csv"))


def test_a_row_of_another_length_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_text('id,title\n1,"two\nlines"\n2,3,4\n5,6\n')
    assert list(records(tmp_path / "f", "x.csv")) == [
        (2, {"id": "1", "title": "two\nlines"}),
        (4, "3 values are here, and 2 fields in the first row"),
        (5, {"id": "5", "title": "6"}),
    ]


@pytest.mark.parametrize("key", ["x.jsonl", "x.jsonl.zst"])
def test_an_empty_file_has_no_records(tmp_path: Path, key: str) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert list(records(tmp_path / "f", key)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": ', "not JSON"),
        (b"[1]", "a JSON object is expected"),
        (b"null", "a JSON object is expected"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_broken_line_is_named_and_the_rest_is_read(tmp_path: Path, line: bytes, problem: str) -> None:
    (tmp_path / "f").write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    found = list(records(tmp_path / "f", "x.jsonl"))
    assert found[0] == (1, {"n": 1})
    assert found[2] == (3, {"n": 3})
    assert isinstance(found[1][1], str)
    assert problem in found[1][1]
    assert len(found[1][1]) < 250


def test_a_line_without_end_is_never_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1000)
    (tmp_path / "f").write_bytes(b"x" * 10_000 + b'\n{"n": 2}\n' + b"y" * 5000)
    found = list(records(tmp_path / "f", "x.jsonl"))
    assert [number for number, _ in found] == [1, 2, 3]
    assert found[1][1] == {"n": 2}
    assert "longer than" in str(found[0][1])
    assert "longer than" in str(found[2][1])


def test_byte_order_mark_blank_lines_and_a_missing_last_newline_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\n   \n{"n": 4}')
    assert list(records(tmp_path / "f", "x.jsonl")) == [(1, {"n": 1}), (4, {"n": 4})]
