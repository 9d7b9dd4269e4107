"""Files of JSON lines (plain, gzip, Zstandard) and Parquet as a stream of records, with bounded memory."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow
import pyarrow.parquet
import zstandard

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""What can be read, by the end of an object's key."""
MAX_LINE_BYTES = 4 << 20
"""A longer line is counted as broken, and never held in memory."""
PARQUET_ROWS = 64
"""Rows in memory at a time; few, because one text of a dictionary page may stand in each of them."""
ZSTD_INPUT_BYTES = 1 << 10
"""Small, because a frame may grow by a factor of 30,000: 32 MiB are in memory at most."""
ZSTD_WINDOW_BYTES = 128 << 20
"""Largest window, as the zstd program's own limit."""

Record = tuple[int, dict[str, Any] | str]
"""Line or row number from 1, and the record; or what is wrong with the line, as text."""


class BrokenFile(Exception):
    """A file that cannot be read to its end; the message says why and what to do."""


def records(path: Path, key: str) -> Iterator[Record]:
    """Read a file, line by line.

    Args:
        path: where it lies.
        key: the object's key, whose end says the format.

    Raises:
        BrokenFile: it is cut off, or not what its name says. What came before has been yielded by then.
    """
    if key.endswith(".parquet"):
        yield from _parquet(path)
        return
    with path.open("rb") as raw:
        last = 0
        try:
            for last, record in _json_lines(_decompressed(raw, key)):
                yield last, record
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise BrokenFile(f"its compressed data breaks off or is damaged after line {last} ({error})") from error


class _ZstdFrames(io.RawIOBase):
    """Concatenated Zstandard frames as a raw stream. The library's own stream reader takes a cut-off file for whole."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._frame = self._decompressor.decompressobj()
        self._started = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._started = self._decompressor.decompressobj(), False
            data = rest or self._raw.read(ZSTD_INPUT_BYTES)
            if not data:
                if self._started:
                    raise EOFError("the last frame is not complete")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(data))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _decompressed(raw: BinaryIO, key: str) -> BinaryIO:
    if key.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 18)
    if key.endswith(".zst"):
        return io.BufferedReader(_ZstdFrames(raw), 1 << 18)
    return raw


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_not_a_number).decode
"""JSON without the NaN and Infinity that Python adds to it."""


def _json_lines(file: BinaryIO) -> Iterator[Record]:
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


def _parquet(path: Path) -> Iterator[Record]:
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
    """A value as it looks in JSON, cut for a message, safe to print and to store."""
    text = value.decode(errors="replace").strip() if isinstance(value, bytes) else repr(value)
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
