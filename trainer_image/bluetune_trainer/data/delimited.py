"""Comma- and tab-separated values as records: the first row names the fields."""

import csv
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from bluetune_trainer.data.records import MAX_LINE_BYTES, BrokenFile, Record

NESTED = ("search_results", "events")
"""Columns that hold JSON: a row has no lists."""
TRUTHS = {"true": True, "false": False}


def delimited(file: BinaryIO, delimiter: str) -> Iterator[Record]:
    """Read rows.

    An empty value is an absent one. Where the first row has semicolons and no comma, they separate, as spreadsheets in
    half of Europe write them.

    Raises:
        BrokenFile: it is not UTF-8, the first row names no fields, or a quote is not closed.
    """
    lines = _lines(file)
    first = next(lines, "")
    if delimiter == "," and ";" in first and "," not in first:
        delimiter = ";"
    names = _names(first, delimiter)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = rows.line_num + 2
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise BrokenFile(f"its row at line {number} cannot be read ({error})") from error
        if row is None:
            return
        if not row:
            continue
        if len(row) != len(names):
            yield number, f"{len(row)} values are here, and {len(names)} fields in the first row"
        else:
            yield number, {name: _value(name, text) for name, text in zip(names, row, strict=True)}


def _names(first: str, delimiter: str) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        raise BrokenFile(f"its first row cannot be read ({error})") from error
    if len(set(names)) != len(names) or not all(names):
        raise BrokenFile("its first row must name the fields, each once")
    return names


def _value(name: str, text: str) -> Any:
    if not text:
        return None
    if name in NESTED:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # what reads it says what it should be
    return TRUTHS.get(text.lower(), text) if name == "is_irrelevant" else text


def _lines(file: BinaryIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise BrokenFile(f"its line {number} is longer than {MAX_LINE_BYTES >> 20} MiB")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise BrokenFile(f"its line {number} is not UTF-8 text (byte {error.start + 1})") from error
