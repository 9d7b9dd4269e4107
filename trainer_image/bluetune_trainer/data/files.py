"""A file of any format as a stream of records."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bluetune_trainer.data import json_documents, trec
from bluetune_trainer.data.delimited import delimited
from bluetune_trainer.data.formats import DAMAGED, Format, format_of, head, unpacked
from bluetune_trainer.data.records import BrokenFile, Record, json_lines, parquet


def records(path: Path, key: str) -> Iterator[Record]:
    """Read a file, record by record. Of a hit of a search index its document is the record, with the hit's `_id`.

    Args:
        path: where it lies.
        key: the object's key, whose end says the format. Compression is recognised by the content.

    Raises:
        UnknownFormat: it is of no kind that is read.
        BrokenFile: it is cut off, or not what its name says. What came before has been yielded by then.
    """
    found = format_of(path, key)
    if found == "parquet":
        yield from parquet(path)
        return
    start = head(path) if found == "json" else b""
    with path.open("rb") as raw:
        last = 0
        try:
            for last, record in _read(unpacked(raw), found, start):
                yield last, record if isinstance(record, str) else json_documents.document_of(record)
        except DAMAGED as error:
            raise BrokenFile(f"its compressed data breaks off or is damaged after line {last} ({error})") from error


def _read(file: BinaryIO, found: Format, start: bytes) -> Iterator[Record]:
    if found in ("csv", "tsv"):
        return delimited(file, "," if found == "csv" else "\t")
    if found in ("qrels", "topics"):
        return trec.qrels(file) if found == "qrels" else trec.topics(file)
    if start.startswith(b"["):
        return json_documents.array(file)
    if json_documents.is_response(start):
        return json_documents.responses(file)
    if found == "json" and start and not json_documents.is_lines(start):
        return json_documents.documents(file)
    return json_lines(file)
