"""Broken batches by the thousand, each from its seed alone."""

import csv
import datetime
import decimal
import gzip
import io
import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.parquet
import zstandard

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
OTHER_SUFFIXES = (".json", ".json", ".JSON.gz", ".ndjson", ".csv", ".tsv", ".qrels", ".topics", "", ".zst")
IDS = ("a", "b", "c")
QUERIES = (0, 1, 11, 3, 25, 4, 30, 5, 6, 7, 8, 12)
"""Of these, 11, 25 and 30 are split off for validation, so that a batch with few broken lines is fine."""
TEXTS = (
    *("", " ", "\t\n", "a/b", "../../etc/passwd", "a\nb", "a\x00b", "\x00", "\ud800", "x\udfff", "\u202eabc", "😀" * 3),
    *("שלום", "a" * 5000, "NaN", "null", "\ufeff", "\u2028", "%00", "{}", "\x1b[31m", "ﷺ", "a\u0301" * 40),
)
NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**300, 10**4000, 1e308, -1e308, 5e-324, 0.1, -0.0),
    *(1e11, 1e14, 253402300800, float("nan"), float("inf"), float("-inf")),
)
TIMES = (
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01", "2026-02-30", "2026-W01-1", "24:00"),
    *("2026-01-01T00:00:00.123456789Z", "1969-12-31T23:59:59Z", "yesterday", "2026-01-01T00:00:00+99:99"),
)
FIELDS = ("session_id", "search_query", "created_at", "search_results", "events", "is_irrelevant")
UBI_FIELDS = ("query_id", "user_query", "action_name", "timestamp", "event_attributes", "query_response_hit_ids")
DEEP = tuple(
    b'{"session_id":"s","search_query":"q","created_at":0,"search_results":' + b"[" * n + b"]" * n + b"}"
    for n in (900, 3000, 20_000)
) + tuple(b'{"item_id":"a","title":' + b'{"x":' * n + b"1" + b"}" * n + b"}" for n in (900, 3000, 20_000))


def session(number: int) -> dict[str, Any]:
    """A good session."""
    return {
        "session_id": f"s{number}",
        "search_query": f"query {QUERIES[number]}",
        "created_at": "2026-03-02T10:00:00Z",
        "search_results": [{"object_id": item, "rank": rank} for rank, item in enumerate(IDS)],
        "events": [{"event_id": "e", "object_id": "b", "event_type": "click"}],
    }


def ubi(number: int) -> dict[str, Any]:
    """A good query or event of UBI."""
    search, kind = divmod(number, 4)
    common = {"query_id": f"q{search}", "application": "shop", "timestamp": "2026-03-02T10:00:00Z"}
    if kind == 0:
        return common | {"user_query": f"query {QUERIES[search]}", "query_response_hit_ids": list(IDS)}
    attributes = {"object": {"object_id": IDS[kind - 1]}, "position": {"ordinal": kind}}
    return common | {"action_name": "click" if number % 5 else "impression", "event_attributes": attributes}


def item(number: int) -> dict[str, Any]:
    """A good item."""
    return {"item_id": IDS[number % 3] if number < 3 else f"i{number}", "title": f"title {number}", "description": "d"}


def judgment(number: int) -> dict[str, Any]:
    """A good judgment."""
    return {"query": f"query {QUERIES[number]}", "object_id": IDS[number % 3], "grade": number % 2}


def deep(random: random.Random) -> Any:
    """Lists and objects in each other, more or fewer than a parser allows."""
    value: Any = 0
    for _ in range(random.choice((10, 100, 500, 900))):
        value = [value] if random.random() < 0.5 else {"object_id": value}
    return value


def anything(random: random.Random, depth: int = 0) -> Any:
    """Any JSON value, the nasty ones first."""
    kind = random.randrange(10 if depth < 3 else 5)
    if kind < 2:
        return random.choice(TEXTS)
    if kind == 2:
        return random.choice(NUMBERS)
    if kind == 3:
        return random.choice((None, True, False, *TIMES))
    if kind == 4:
        return random.choice(IDS)
    if kind < 7:
        return [anything(random, depth + 1) for _ in range(random.randrange(4))]
    if kind < 9:
        keys = (*FIELDS, *UBI_FIELDS, "object_id", "rank", "ordinal", "item_id", "title", "_source", "hits", "", "\x00")
        return {random.choice(keys): anything(random, depth + 1) for _ in range(random.randrange(4))}
    return deep(random)


def spoil(random: random.Random, record: dict[str, Any]) -> Any:
    """A record with something wrong."""
    kind = random.randrange(9)
    field = random.choice(list(record))
    if kind == 0:
        return anything(random)
    if kind == 1:
        return {name: value for name, value in record.items() if name != field}
    if kind == 2 and "search_results" in record:
        results = [dict(result) for result in record["search_results"]] * random.choice((1, 2, 50))
        results[random.randrange(len(results))] = anything(random)
        return {**record, "search_results": results}
    if kind == 3 and "search_results" in record:
        results = [{"object_id": anything(random), "rank": anything(random)} for _ in range(3)]
        return {**record, "search_results": results, "events": [{"object_id": anything(random)}]}
    if kind == 4 and "created_at" in record:
        return {**record, "created_at": random.choice((*TIMES, *NUMBERS))}
    return {**record, field: anything(random)}


def as_line(random: random.Random, record: Any) -> bytes:
    """A line of JSON, now and then of something else."""
    kind = random.randrange(100)
    try:
        text = json.dumps(record, ensure_ascii=random.random() < 0.7)
    except RecursionError:
        text = "[" * 5000
    line = text.encode(errors="surrogatepass")
    if kind == 0:
        return line[: random.randrange(len(line) + 1)]
    if kind == 1:
        return random.randbytes(random.randrange(80))
    if kind == 2:
        at = random.randrange(len(line) + 1)
        return line[:at] + random.randbytes(1) + line[at + 1 :]
    if kind == 3:
        return random.choice(
            (
                b"[" * 100_000,
                b'{"a":' * 20_000,
                b"9" * 10_000,
                b'{"session_id":' + b"1" * 10_000 + b"}",
                b"",
                b"  ",
                *DEEP,
            )
        )
    if kind == 4:
        return text.encode("utf-16", errors="surrogatepass")
    if kind == 5:
        return b"\xef\xbb\xbf" + line
    if kind == 6:
        return line + b"\r"
    if kind == 7:
        return b'{"session_id": 1e999, "search_query": NaN, "created_at": -Infinity}'
    return line


def parquet(random: random.Random, records: list[Any]) -> bytes:
    """A Parquet file: of these records, of others, or damaged."""
    out, kind = io.BytesIO(), random.randrange(6)
    good = [record for record in records if isinstance(record, dict)]
    if kind == 0:
        columns: dict[str, Any] = {
            "session_id": pyarrow.array([b"\xff\xfe", b"x", None]),
            "search_query": pyarrow.array([1.5, float("nan"), None]),
            "created_at": pyarrow.array(
                random.choice(([2**62, -(2**62), 0], [1, 10**18, -1])),
                pyarrow.timestamp(random.choice(("us", "ns")), random.choice((None, "UTC", "Mars/Olympus"))),
            ),
            "search_results": pyarrow.array([[("object_id", "a")], None, []], pyarrow.map_("string", "string")),
            "events": pyarrow.array([decimal.Decimal("1.5"), None, decimal.Decimal(7)]),
            "item_id": pyarrow.array([datetime.date(2026, 1, 1), None, datetime.date(1, 1, 1)]),
            "title": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
        }
        names = random.sample(sorted(columns), random.randrange(1, len(columns) + 1))
        pyarrow.parquet.write_table(pyarrow.table({name: columns[name] for name in names}), out)
    else:
        try:
            table = pyarrow.Table.from_pylist(good)
            pyarrow.parquet.write_table(table, out, compression=random.choice(("snappy", "zstd", "none")))
        except (pyarrow.ArrowException, OverflowError, ValueError, TypeError, RecursionError):
            pyarrow.parquet.write_table(pyarrow.table({"other": [1, 2, 3]}), out)
    return out.getvalue()


def documents(random: random.Random, records: list[Any]) -> bytes:
    """Records as one array, over several lines, as a response of `_search`, or as a `_bulk` body."""
    kind, indent = random.randrange(4), random.choice((None, 1))
    try:
        if kind == 0:
            text = json.dumps(records, indent=indent)
        elif kind == 1:
            text = random.choice(("", "\n")).join(json.dumps(record, indent=1) for record in records)
        elif kind == 2:
            hits = [{"_id": "1", "_source": record} for record in records]
            text = json.dumps({"took": 1, "hits": {"hits": hits}, "aggregations": anything(random)}, indent=indent)
        else:
            action = json.dumps({"index": {"_index": "ubi_events"}})
            text = "\n".join(part for record in records for part in (action, json.dumps(record)))
    except RecursionError:
        text = "[" * 5000
    return text.encode()


def separated(random: random.Random, records: list[Any], delimiter: str) -> bytes:
    """Records as rows, some of another length or with a quote that is not closed."""
    rows = [record for record in records if isinstance(record, dict)]
    names = list(rows[0]) if rows else ["session_id"]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(names)
    for row in rows:
        values = [row.get(name) for name in names]
        try:
            texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        except RecursionError:
            texts = ["[" * 5000]
        writer.writerow(texts[: len(texts) - (random.random() < 0.05)])
    text = out.getvalue() + random.choice(("", "", '"', "\x00", '1,"2'))
    return text.encode(errors="surrogatepass")


def damage(random: random.Random, data: bytes) -> bytes:
    """Bytes as a disk or a network may leave them."""
    kind = random.randrange(4)
    if not data or kind == 0:
        return data[: random.randrange(len(data) + 1)]
    if kind == 1:
        at = random.randrange(len(data))
        return data[:at] + random.randbytes(random.randrange(1, 9)) + data[at + 1 :]
    if kind == 2:
        return data + random.randbytes(random.randrange(1, 40))
    spoilt = bytearray(data)
    for _ in range(random.randrange(1, 20)):
        spoilt[random.randrange(len(spoilt))] = random.randrange(256)
    return bytes(spoilt)


def file_of(
    random: random.Random, make: Callable[[int], dict[str, Any]], *, broken: bool, other: bool = False
) -> tuple[str, bytes]:
    """The end of a file's name, and its content; `other` takes the formats that are neither lines nor Parquet."""
    suffix = random.choice(OTHER_SUFFIXES if other else (*SUFFIXES, *SUFFIXES[:3]))
    count = 48 if make is ubi else 12
    records: list[Any] = [make(random.randrange(12) if random.random() < 0.05 else n) for n in range(count)]
    if broken:
        share = random.choice((0.05, 0.05, 0.5, 1.0))
        records = [spoil(random, record) if random.random() < share else record for record in records]
    if suffix == ".parquet" and random.random() < 0.9:
        data = parquet(random, records)
    elif other and suffix in (".csv", ".tsv") and random.random() < 0.9:
        data = separated(random, records, "," if suffix == ".csv" else "\t")
    elif other and random.random() < 0.7:
        data = documents(random, records)
        data = gzip.compress(data, 1) if suffix.endswith(".gz") else data
    else:
        line = as_line if broken else (lambda _random, record: json.dumps(record).encode())
        data = b"\n".join(line(random, record) for record in records) + random.choice((b"", b"\n", b"\r\n"))
        named, kind = suffix, random.randrange(12)
        if broken and kind == 0:
            named = random.choice(SUFFIXES)  # not what the name says
        if named.endswith(".gz"):
            half = random.randrange(len(data) + 1) if kind == 1 else len(data)
            data = gzip.compress(data[:half], 1) + (gzip.compress(data[half:], 1) if half < len(data) else b"")
        elif named.endswith(".zst"):
            data = zstandard.ZstdCompressor(level=1).compress(data)
    if broken and random.random() < 0.15:
        data = damage(random, data)
    if broken and random.random() < 0.03:
        data = b""
    return suffix, data


def other_files_of(seed: int) -> dict[str, bytes]:
    """As `files_of`, in the other formats and shapes: UBI, arrays, responses, rows."""
    chosen = random.Random(f"other {seed}")
    make = chosen.choice((ubi, ubi, session))
    files = {}
    for number in range(chosen.randrange(1, 3)):
        suffix, data = file_of(chosen, make, broken=chosen.random() < 0.9, other=chosen.random() < 0.7)
        files[f"clickstream/b1/part-{number}{suffix}"] = data
    for folder, of in (("items/items", item), ("judgments/j", judgment)):
        suffix, data = file_of(chosen, of, broken=chosen.random() < 0.5, other=True)
        files[f"{folder}{suffix}"] = data
    return files


def files_of(seed: int) -> dict[str, bytes]:
    """A batch, its catalogue and judgments: one at least is broken."""
    chosen = random.Random(seed)
    broken = chosen.choice(("batch", "batch", "items", "both"))
    files = {}
    for number in range(chosen.randrange(1, 3)):
        suffix, data = file_of(chosen, session, broken=broken != "items")
        name = chosen.choice((f"part-{number}", f"part {number}", f"p\n{number}", f"é{number}", f"deep/er/{number}"))
        files[f"clickstream/b1/{name}{chosen.choice((suffix,) * 9 + ('.csv',))}"] = data
    suffix, data = file_of(chosen, item, broken=broken != "batch")
    files[f"items/items{suffix}"] = data
    suffix, data = file_of(chosen, judgment, broken=True)
    files[f"judgments/j{suffix}"] = data
    return files
