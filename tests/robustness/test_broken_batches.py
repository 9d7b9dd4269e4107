"""Broken batches: each ends in a report that a person can read and a program can store.

Their seeds are fixed, so that a run repeats the one before: three thousand of them show that a change breaks nothing.
After a change of how logs are read, BLUETUNE_ALL_SEEDS=1 tries thirteen thousand, which takes eight minutes of a core.
"""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import CheckReport
from bluetune_trainer.cli import main
from bluetune_trainer.data.judgments import read_judgments
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.errors import DataInvalid
from robustness.broken import IDS, files_of, other_files_of

LOCATION = {"endpoint": "minio:9000", "bucket": "models"}
OWNER = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"}
PLAN: dict[str, Any] = {"kind": "Check", "owner": OWNER, "model": "m", "store": LOCATION, "batchId": "b1"}
PLAN["method"] = {"settings": {"minSessions": 1}}
CATALOGUE = Catalogue(IDS, ["x"] * 3, {item: at for at, item in enumerate(IDS)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for S3."""
    monkeypatch.setattr(main, "_open", lambda _location: LocalStore(tmp_path / "store"))
    monkeypatch.setattr(main, "listen", lambda _stop: None)
    monkeypatch.setenv("BLUETUNE_TERMINATION_LOG", str(tmp_path / "termination"))
    return tmp_path


def check(folder: Path, files: dict[str, bytes], capture: pytest.CaptureFixture[str]) -> CheckReport:
    """Check a batch as a Job does it, and judge what comes of it."""
    store = LocalStore(folder / "store")
    shutil.rmtree(folder / "store", ignore_errors=True)
    for key, data in files.items():
        store.put(key, data)
    store.put("clickstream/b1/_SUCCESS", b"")
    (folder / "plan.json").write_text(json.dumps(PLAN))
    code = main.main(["check", "--plan", str(folder / "plan.json")])
    told = capture.readouterr()
    assert code in (0, 10), told
    assert "Traceback" not in told.out + told.err
    ending = json.loads((folder / "termination").read_text())
    report = CheckReport.model_validate_json(store.get("runs/u1/check.json"))
    assert report.valid == (code == 0)
    assert ending["reason"] == ("Completed" if report.valid else "DataInvalid")
    assert report.valid or all(len(problem) > 20 for problem in report.problems)
    assert report.valid or report.problems
    assert all(len(offence.problem) <= 300 and offence.line >= 1 for offence in report.offences)
    assert report.broken_lines >= len(report.offences)
    return report


def judge(folder: Path) -> None:
    """Read the judgments that lie beside the batch."""
    store, stop = LocalStore(folder / "store"), threading.Event()
    try:
        judged, said = read_judgments(store, "judgments/", CATALOGUE, folder, stop=stop), None
    except DataInvalid as error:
        judged, said = [], str(error)
    assert said is None or said.startswith("serving.gate.judgments: ")
    assert all(0 <= entry.grade < float("inf") and entry.query.encode() for entry in judged)


MAKERS = {"sessions": files_of, "other formats": other_files_of}
ALL_SEEDS = bool(os.environ.get("BLUETUNE_ALL_SEEDS"))
THOUSANDS = {"sessions": 10 if ALL_SEEDS else 2, "other formats": 3 if ALL_SEEDS else 1}
Make = Callable[[int], dict[str, bytes]]


def run(folder: Path, make: Make, seeds: range, capture: pytest.CaptureFixture[str]) -> int:
    valid = 0
    for seed in seeds:
        try:
            valid += check(folder, make(seed), capture).valid
            judge(folder)
        except BaseException as error:
            error.add_note(f"of robustness.broken.{make.__name__}({seed})")
            raise
    return valid


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_broken_batches_end_in_a_report(folder: Path, capsys: pytest.CaptureFixture[str], make: Make) -> None:
    valid = run(folder, make, range(75), capsys)
    assert 0 < valid < 38  # most are too broken to train on, and not every broken line spoils a batch


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("make", "part"),
    [(MAKERS[name], part) for name, parts in THOUSANDS.items() for part in range(parts)],
)
def test_thousands_of_broken_batches_end_in_a_report(
    folder: Path, capsys: pytest.CaptureFixture[str], make: Make, part: int
) -> None:
    run(folder, make, range(1000 * part, 1000 * (part + 1)), capsys)


READ = """
import sys
from pathlib import Path
from bluetune_trainer.data.files import records
from bluetune_trainer.data.records import BrokenFile

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

before, count = peak(), 0
try:
    for _, record in records(Path(sys.argv[1]), sys.argv[1]):
        count += 1
except BrokenFile as error:
    print(error, file=sys.stderr)
print(count, peak() - before)
"""


def _dictionary_bomb() -> bytes:
    out = io.BytesIO()
    table = pyarrow.table({"title": pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2000), ["a" * (1 << 20)])})
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "long-line.jsonl.gz": lambda: gzip.compress(b"a" * (256 << 20), 1),
    "long-line.jsonl.zst": lambda: zstandard.ZstdCompressor().compress(b"a" * (512 << 20)),
    "long-line.jsonl": lambda: b"a" * (64 << 20),
    "blank-lines.jsonl.gz": lambda: gzip.compress(b"\n" * (1 << 20), 1),
    "many-lists.jsonl": lambda: b"[" + b"[]," * (1 << 20) + b"[]]",
    "many-lists.json": lambda: b"[" + b"[]," * (1 << 20) + b"[]]",
    "one-text.json.gz": lambda: gzip.compress(b'[{"a": "' + b"a" * (256 << 20), 1),
    "one-quote.csv.gz": lambda: gzip.compress(b'a,b\n1,"' + b"a\n" * (128 << 20), 1),
    "one-text-in-every-row.parquet": _dictionary_bomb,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_grows_when_it_is_read_takes_little_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BOMBS[name]())
    read = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / name)], capture_output=True, text=True, timeout=100, check=True
    )
    _, mebibytes = map(int, read.stdout.split())
    assert mebibytes < 250, read.stderr
