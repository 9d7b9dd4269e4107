"""Records of files, with bounded memory: what all formats share, JSON lines, and Parquet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow
import pyarrow.parquet

from bluetune_trainer.data.personal import masked

MAX_LINE_BYTES = 4 << 20
"""A longer line is counted as broken, and never held in memory."""
PARQUET_ROWS = 64
"""Rows in memory at a time; few, because one text of a dictionary page may stand in each of them."""

Record = tuple[int, dict[str, Any] | str]
"""Line or row number from 1, and the record; or what is wrong with the line, as text."""


class BrokenFile(Exception):
    """A file that cannot be read to its end; the message says why and what to do."""


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_not_a_number).decode
"""JSON without the NaN and Infinity that Python adds to it."""


def json_lines(file: BinaryIO) -> Iterator[Record]:
    """Read a file of one JSON object a line."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace() or not line:
            continue
        try:
            record = _decode(line.decode())
        except UnicodeDecodeError as error:
            yield number, f"not UTF-8 text (byte {error.start + 1})"
        except json.JSONDecodeError as error:
            yield number, f"not JSON: {error.msg} at character {error.pos + 1} of {shortened(line)}"
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {error}"[:200]
        else:
            if type(record) is dict:
                yield number, record
            else:
                yield number, f"a JSON object is expected, this is {shortened(record)}"


def parquet(path: Path) -> Iterator[Record]:
    """Read the rows of a Parquet file. Raises BrokenFile if it is none, or damaged."""
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        # OverflowError: a time beyond what Python can say; KeyError: a time zone that is not known here
        raise BrokenFile(f"it cannot be read as Parquet after row {number} ({str(error)[:200]})") from error


def shortened(value: object, limit: int = 60) -> str:
    """A value as it looks in JSON, cut for a message, safe to print and to store: without personal data."""
    text = value.decode(errors="replace").strip() if isinstance(value, bytes) else repr(value)
    text = masked(text.encode(errors="replace").decode())
    return text if len(text) <= limit else text[: limit - 1] + "…"
