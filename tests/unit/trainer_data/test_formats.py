"""Each format of logs in each shape of file, each packing, each layout of folders, each format of judgments."""

import threading
from pathlib import Path

import pytest

from bluetune_api.batches import find_batches
from bluetune_api.objectstore import LocalStore
from bluetune_trainer.data.input_format import sessions_of
from bluetune_trainer.data.judgments import read_judgments
from bluetune_trainer.data.reading import pin, stream
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.types import Catalogue
from unit.trainer_data.file_table import (
    CODECS,
    JUDGED,
    JUDGMENTS,
    LAYOUTS,
    PACKINGS,
    SHAPES,
    JudgmentsFormat,
    Layout,
    Shape,
    parquet_with,
)
from unit.trainer_data.log_table import LOGS, TOLD, Log

CATALOGUE = Catalogue(["a", "b", "c"], ["A", "B", "C"], {"a": 0, "b": 1, "c": 2})
LATER = 4_000_000_000.0


def told(folder: Path, name: str, data: bytes, log: Log) -> tuple[list[tuple[str, str, str]], SessionTally]:
    """Query, items shown and items clicked of each session of a file."""
    store, tally, key = LocalStore(folder), SessionTally(), f"clickstream/b1/{name}"
    store.put(key, data)
    lines = stream(store, pin(store, "clickstream/b1/"), tally, workdir=folder, stop=threading.Event())
    records = sessions_of(lines, log.clickstream, CATALOGUE.position, tally)
    found = read_sessions(records, CATALOGUE, tally, clickstream=log.clickstream)
    store.delete(key)
    made = []
    for n, query in enumerate(found.queries):
        span = slice(found.offsets[n], found.offsets[n + 1])
        ids = [CATALOGUE.ids[item] for item in found.items[span]]
        clicked = [one for one, was in zip(ids, found.clicked[span], strict=True) if was]
        made.append((query, "".join(ids), "".join(clicked)))
    return made, tally


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
def test_a_log_tells_the_same_in_every_shape_or_says_why_not(tmp_path: Path, log: Log) -> None:
    for shape in SHAPES:
        if not log.name.startswith(shape.of):
            continue
        for name in shape.files:
            found, tally = told(tmp_path, name, shape.write(log.rows), log)
            if shape.name in log.refused:
                assert log.refused[shape.name] in tally.offences[0].problem
                assert tally.broken > 0.1 * (tally.broken + tally.read)
            else:
                assert (found, tally.broken, tally.broken_files, tally.unread) == (TOLD, 0, [], []), shape.name


def test_bulk_bodies_of_other_logs_are_refused(tmp_path: Path) -> None:
    (bulk,) = [shape for shape in SHAPES if shape.of]
    for log in LOGS:
        if not log.name.startswith(bulk.of):
            _, tally = told(tmp_path, bulk.files[0], bulk.write(log.rows), log)
            assert tally.broken >= len(log.rows), log.name


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.name != "Parquet"], ids=lambda shape: shape.name)
def test_compression_is_seen_whatever_the_name_says(tmp_path: Path, shape: Shape) -> None:
    log = next(log for log in LOGS if log.name.startswith(shape.of))
    for pack, ends in PACKINGS.values():
        for end in ends:
            found, tally = told(tmp_path, shape.files[0] + end, pack(shape.write(log.rows)), log)
            assert (found, tally.broken) == (TOLD, 0), end


@pytest.mark.parametrize("codec", CODECS)
def test_parquet_is_read_with_each_codec(tmp_path: Path, codec: str) -> None:
    found, tally = told(tmp_path, "part.parquet", parquet_with(codec), LOGS[0])
    assert (found, tally.broken) == (TOLD, 0)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.writer)
def test_a_folder_as_a_writer_lays_it_out_is_a_batch(tmp_path: Path, layout: Layout) -> None:
    store = LocalStore(tmp_path)
    for key in layout.keys:
        store.put(f"clickstream/{key}", b"{}\n")
    settled = find_batches(store, settle=7200.0, now=LATER)
    at_once = find_batches(store, settle=None, now=LATER)
    assert [one.batch_id for one in settled.complete] == [layout.batch]
    assert [one.batch_id for one in at_once.complete] == ([] if layout.settle else [layout.batch])


@pytest.mark.parametrize("judgments", JUDGMENTS, ids=lambda judgments: judgments.name)
def test_judgments_say_the_same_in_every_format(tmp_path: Path, judgments: JudgmentsFormat) -> None:
    store = LocalStore(tmp_path)
    for name, text in judgments.files.items():
        store.put(f"judgments/{name}", text.encode())
    found = read_judgments(store, "judgments/", CATALOGUE, tmp_path, stop=threading.Event())
    assert [(one.query, CATALOGUE.ids[one.item], one.grade) for one in found] == JUDGED
