"""Files as streams of records, whole and broken."""

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from bluetune_trainer.data import records as reading
from bluetune_trainer.data.records import BrokenFile, records

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


@pytest.mark.parametrize("key", ["x.jsonl.gz", "x.jsonl.zst", "x.parquet"])
def test_a_file_that_is_not_what_its_name_says_is_broken(tmp_path: Path, key: str) -> None:
    (tmp_path / "f").write_bytes(b"plain text\n" * 9)
    with pytest.raises(BrokenFile):
        list(records(tmp_path / "f", key))


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
