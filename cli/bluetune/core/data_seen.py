"""What the beginnings of files say about a catalogue and about clicks, so that manifests can name their fields."""

import csv
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BEGINNING = 256 * 1024
"""Bytes of a file that are looked at."""
MAX_ROWS = 500
MAX_UNPACKED = 8 * BEGINNING
LONG_TEXT = 20
"""Characters on average from which a field of an unknown name is taken for text."""
MAX_NAMED = 12
"""Fields, and types of events, that a finding names."""
ID_NAMES = ("item_id", "id", "_id", "sku", "product_id", "objectID", "object_id", "doc_id", "document_id", "asin")
TEXT_NAMES = (
    *("title", "name", "product_title", "product_name", "headline"),
    *("description", "product_description", "abstract", "summary", "text", "body", "content"),
)
MAX_TEXT_FIELDS = 3
EVENT_LISTS = ("events", "clicks")
EVENT_TYPES = ("event_type", "action_name", "event_name", "event", "type", "action")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ItemsSeen:
    """Fields of a catalogue. What no row shows is None or empty."""

    fields: tuple[str, ...] = ()
    id_field: str | None = None
    text_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClicksSeen:
    """Fields of a batch of clicks, and its types of events with how often they occur in the beginning."""

    fields: tuple[str, ...] = ()
    event_types: Mapping[str, int] = field(default_factory=dict)


def rows_of(name: str, data: bytes) -> list[Row] | None:
    """The rows that a file begins with, a hit of a search as its source with `_id`.

    Args:
        name: the file's, whose ending says what it holds.
        data: its first bytes; the last row may be cut.

    Returns:
        At most MAX_ROWS rows; None for a file that is not JSON, CSV or TSV, maybe in gzip.
    """
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, MAX_UNPACKED)
        except zlib.error:
            return []
    text = data.decode("utf-8-sig", errors="replace")
    if ending.endswith((".csv", ".tsv")):
        return list(_table_rows(text, "\t" if ending.endswith(".tsv") else ","))
    if ending.endswith((".jsonl", ".ndjson", ".json")):
        return list(_json_rows(text))
    return None


def _table_rows(text: str, delimiter: str) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    whole = lines if text.endswith("\n") else lines[:-1]
    for row in csv.DictReader(io.StringIO("".join(whole[: MAX_ROWS + 1])), delimiter=delimiter):
        yield {str(name): value for name, value in row.items() if name is not None}


def _json_rows(text: str) -> Iterator[Row]:
    """Objects one after the other, whether a line each, in an array or in the hits of an answer."""
    decoder, at, count = json.JSONDecoder(), 0, 0
    hits = text.find('"hits"')
    if text.lstrip()[:1] == "[":
        at = text.index("[") + 1
    elif hits >= 0 and '"_shards"' in text[:hits]:  # an answer of _search: hits.hits is an array
        at = text.find("[", hits) + 1 or len(text)
    while count < MAX_ROWS:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            found, at = decoder.raw_decode(text, at)
        except ValueError:  # cut here, or no JSON
            return
        if not isinstance(found, dict):
            return
        if set(found) <= {"index", "create"} and "_source" not in found:  # the line before a document of _bulk
            continue
        count += 1
        source = found.get("_source")
        yield {"_id": found.get("_id"), **source} if isinstance(source, dict) else found


def items_seen(rows: Sequence[Row]) -> ItemsSeen:
    """Which field identifies an item, and which say what it is."""
    fields = tuple(dict.fromkeys(name for row in rows for name in row))
    identifying = [name for name in fields if _identifies(name, rows)]
    by_name = [name for name in ID_NAMES if name in identifying]
    id_field = next(iter([*by_name, *(name for name in identifying if name.lower().endswith("id"))]), None)
    texts = [name for name in fields if name != id_field and _is_text(name, rows)]
    known = [name for name in TEXT_NAMES if name in texts]
    long = [name for name in texts if _average_length(name, rows) >= LONG_TEXT]
    return ItemsSeen(fields, id_field, tuple((known or long)[:MAX_TEXT_FIELDS]))


def _identifies(name: str, rows: Sequence[Row]) -> bool:
    values = [row.get(name) for row in rows]
    return all(isinstance(v, str | int) and v != "" for v in values) and len({str(v) for v in values}) == len(rows)


def _is_text(name: str, rows: Sequence[Row]) -> bool:
    values = [row[name] for row in rows if row.get(name) is not None]
    return bool(values) and all(isinstance(value, str) for value in values)


def _average_length(name: str, rows: Sequence[Row]) -> float:
    lengths = [len(row[name]) for row in rows if isinstance(row.get(name), str)]
    return sum(lengths) / len(lengths) if lengths else 0.0


def clicks_seen(rows: Sequence[Row]) -> ClicksSeen:
    """Which fields sessions or events have, and which types of events there are."""
    types: Counter[str] = Counter()
    for row in rows:
        lists = [row[name] for name in EVENT_LISTS if isinstance(row.get(name), list)]
        for event in [event for events in lists for event in events] if lists else [row]:
            kind = next((event[n] for n in EVENT_TYPES if event.get(n)), None) if isinstance(event, dict) else None
            if isinstance(kind, str):
                types[kind] += 1
    return ClicksSeen(tuple(dict.fromkeys(name for row in rows for name in row)), dict(types.most_common()))


def some(names: Sequence[str]) -> str:
    """Names for a sentence, the first of many."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
