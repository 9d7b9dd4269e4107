"""Shapes of files, compressions, folders of batches and judgments: what the tests go through with the logs of
`log_table.py`, and docs/formats.md is written from."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow
import pyarrow.parquet
import zstandard

from unit.trainer_data.log_table import LOGS, Row


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _bulk(rows: Sequence[Row]) -> bytes:
    return _lines([line for row in rows for line in ({"index": {"_index": "ubi", "_id": "1"}}, row)])


def _hits(rows: Sequence[Row]) -> list[Row]:
    return [{"_index": "i", "_id": str(number), "_score": 1.0, "_source": row} for number, row in enumerate(rows)]


def _response(rows: Sequence[Row]) -> bytes:
    return json.dumps({"took": 1, "hits": {"total": {"value": len(rows)}, "hits": _hits(rows)}}, indent=1).encode()


def _delimited(rows: Sequence[Row], delimiter: str) -> bytes:
    """Values that are lists or objects as JSON, as warehouses write them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, delimiter=delimiter)
    writer.writeheader()
    writer.writerows({n: json.dumps(v) if isinstance(v, list | dict) else v for n, v in row.items()} for row in rows)
    return text.getvalue().encode()


def _parquet(rows: Sequence[Row], compression: str = "snappy") -> bytes:
    file = io.BytesIO()
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.Table.from_pylist([dict.fromkeys(names) | row for row in rows])
    pyarrow.parquet.write_table(table, file, compression=compression)
    return file.getvalue()


@dataclass(frozen=True)
class Shape:
    """How rows are written into a file."""

    name: str
    files: Sequence[str]
    """Names that such a file may have."""
    write: Callable[[Sequence[Row]], bytes]
    of: str = ""
    """How the names of the logs begin that are written so."""


SHAPES = (
    Shape(
        "JSON lines", ("part.jsonl", "part.ndjson", "part.json", "part-1-2026-03-02-10", "1772445600-4f0c.log"), _lines
    ),
    Shape("JSON array", ("part.json",), lambda rows: json.dumps(list(rows)).encode()),
    Shape(
        "JSON, one after the other",
        ("part-1-2026-03-02-10", "1772445600-4f0c.log"),
        lambda rows: _lines(rows).replace(b"\n", b""),
    ),
    Shape("`_search`", ("part.json",), _response),
    Shape("hits a line", ("part.json", "part.jsonl"), lambda rows: _lines(_hits(rows))),
    Shape("`_bulk`", ("part.ndjson", "part.json"), _bulk, of="UBI"),
    Shape("CSV", ("part.csv",), lambda rows: _delimited(rows, ",")),
    Shape("TSV", ("part.tsv",), lambda rows: _delimited(rows, "\t")),
    Shape("Parquet", ("part.parquet", "part-0"), _parquet),
)

PACKINGS: dict[str, tuple[Callable[[bytes], bytes], Sequence[str]]] = {
    "none": (bytes, ("", ".gz")),
    "Gzip": (gzip.compress, ("", ".gz")),
    "gzip twice": (lambda data: gzip.compress(gzip.compress(data)), (".gz",)),
    "Zstandard": (zstandard.ZstdCompressor().compress, ("", ".zst")),
}
"""Of files other than Parquet: how, and what may end their names."""
CODECS = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")
"""Of Parquet's columns."""


def parquet_with(codec: str) -> bytes:
    """The sessions as Parquet, compressed so."""
    return _parquet(LOGS[0].rows, codec)


@dataclass(frozen=True)
class Layout:
    """How something that writes logs lays out its folders."""

    writer: str
    keys: Sequence[str]
    """Below `clickstream/`."""
    batch: str
    """What is found."""
    settle: bool = False
    """Whether it writes no marker, so that `clickstream.settle` is needed."""


LAYOUTS = (
    Layout("a folder of one's own", ("2026-03-02/part.jsonl", "2026-03-02/_SUCCESS"), "2026-03-02"),
    Layout(
        "Hive, Spark: one partition a day", ("dt=2026-03-02/part-0.parquet", "dt=2026-03-02/_SUCCESS"), "dt=2026-03-02"
    ),
    Layout(
        "Hive, by day and hour",
        ("dt=2026-03-02/hour=05/p.parquet", "dt=2026-03-02/hour=05/_SUCCESS"),
        "dt=2026-03-02/hour=05",
    ),
    Layout(
        "Spark's `partitionBy` within a batch", ("b1/_SUCCESS", "b1/dt=1/hour=0/p.parquet", "b1/dt=2/p.parquet"), "b1"
    ),
    Layout("Spark, appending partitions side by side", ("dt=1/p.parquet", "_SUCCESS"), "dt=1"),
    Layout("folders of dates", ("2026/03/02/part.jsonl", "2026/03/02/_SUCCESS"), "2026/03/02"),
    Layout("Databricks", ("d/_started_12", "d/_committed_12", "d/part-0.parquet"), "d"),
    Layout("Firehose", ("2026/03/02/10/shop-1-2026-03-02-10-00-00-4f0c",), "2026/03/02/10", settle=True),
    Layout("Vector", ("date=2026-03-02/1772445600-4f0c.log.gz",), "date=2026-03-02", settle=True),
)

Graded = tuple[str, str, float]
JUDGED: list[Graded] = [("red lamp", "a", 2.0), ("red lamp", "b", 0.0)]


@dataclass(frozen=True)
class JudgmentsFormat:
    """A format of judgments, with files of it that say `JUDGED`."""

    name: str
    files: Mapping[str, str]


JUDGMENTS = (
    JudgmentsFormat(
        "records",
        {"j.jsonl": "".join(json.dumps({"query": q, "object_id": i, "grade": g}) + "\n" for q, i, g in JUDGED)},
    ),
    JudgmentsFormat("TREC's qrels and topics", {"j.qrels": "401 0 a 2\n401 0 b 0\n", "j.topics": "401\tred lamp\n"}),
    JudgmentsFormat("qrels whose topics are the queries", {"j.qrels": "red lamp\t0\ta\t2\nred lamp\t0\tb\t0\n"}),
    JudgmentsFormat("Quepid's CSV", {"j.csv": "query,docid,rating\nred lamp,a,2\nred lamp,b,0\n"}),
    JudgmentsFormat(
        "the export of the Search Relevance Workbench",
        {
            "j.json": json.dumps(
                {
                    "name": "J",
                    "type": "IMPORT_JUDGMENT",
                    "judgmentRatings": [
                        {"query": "red lamp", "ratings": [{"docId": i, "rating": f"{g:.3f}"} for _, i, g in JUDGED]}
                    ],
                }
            )
        },
    ),
)
