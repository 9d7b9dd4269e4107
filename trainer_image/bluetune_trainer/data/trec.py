"""Judgments and topics as the Text REtrieval Conference (TREC) writes them.

Format of qrels: https://trec.nist.gov/data/qrels_eng/.
"""

from collections.abc import Iterator
from typing import BinaryIO

from bluetune_trainer.data.records import MAX_LINE_BYTES, Record, shortened


def qrels(file: BinaryIO) -> Iterator[Record]:
    """Read `topic iteration item grade`, separated by tabs or else by spaces; a negative grade counts as 0."""
    for number, text in _lines(file):
        parts = text.split("\t") if "\t" in text else text.split()
        grade = _grade(parts[3]) if len(parts) == 4 else None
        if grade is None:
            yield number, f"topic, iteration, item and grade are expected, this is {shortened(text)}"
        else:
            yield number, {"topic": parts[0].strip(), "object_id": parts[2].strip(), "grade": max(grade, 0.0)}


def topics(file: BinaryIO) -> Iterator[Record]:
    """Read a topic's id and its text, separated by a tab or else by the first space."""
    for number, text in _lines(file):
        topic, _, query = text.partition("\t" if "\t" in text else " ")
        if query.strip():
            yield number, {"topic": topic.strip(), "query": query.strip()}
        else:
            yield number, f"a topic and its text are expected, this is {shortened(text)}"


def _grade(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        text = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode(errors="replace").strip()
        if text:
            yield number, text
