"""What a file is: by the end of its name, and by its first bytes where these say more."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zstandard

Format = Literal["lines", "json", "csv", "tsv", "parquet", "qrels", "topics"]
"""JSON lines; JSON lines or documents; comma- and tab-separated values; Parquet; judgments and topics of TREC."""

READABLE = "*.jsonl, *.ndjson, *.json, *.csv and *.tsv (each also .gz or .zst), and *.parquet"
"""What can be read, for a message."""
PACKED = (".gz", ".gzip", ".zst", ".zstd")
SUFFIXES: dict[str, Format] = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".qrels": "qrels",
    ".topics": "topics",
}
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
"""First bytes of such a file."""
BY_CONTENT = (".log",)
"""Ends of names that say nothing either: Vector writes them, whatever it writes."""
MAX_LAYERS = 3
"""Compressions around each other: a `.gz` that was stored with a Content-Encoding has two."""
HEAD_BYTES = 64 << 10
"""Bytes that are looked at to find out what a file holds."""
ZSTD_INPUT_BYTES = 1 << 10
"""Small, because a frame may grow by a factor of 30,000: 32 MiB are in memory at most."""
ZSTD_WINDOW_BYTES = 128 << 20
"""Largest window, as the zstd program's own limit."""
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)
"""What a compressed file raises that is cut off or damaged."""


class UnknownFormat(Exception):
    """A file of a kind that is not read."""


def format_of(path: Path, key: str) -> Format:
    """What a file holds. A name without an end, as Firehose gives it, or with `.log` says nothing: the content does.

    Raises:
        UnknownFormat: it is of no kind that is read.
    """
    name = key.rpartition("/")[2].lower()
    end = next((end for end in PACKED if name.endswith(end)), "")
    name = name.removesuffix(end)
    suffix = name[name.rfind(".") :] if "." in name else ""
    found = SUFFIXES.get(suffix) if suffix and suffix not in BY_CONTENT else _by_content(path)
    if found is None or (end and found == "parquet"):
        raise UnknownFormat
    return found


def _by_content(path: Path) -> Format | None:
    with path.open("rb") as raw:
        if raw.read(len(PARQUET)) == PARQUET:
            return "parquet"
    return "json" if head(path)[:1] in (b"{", b"[") else None


def head(path: Path) -> bytes:
    """The first bytes of what a file holds, without a byte order mark and white space; none of a damaged file."""
    with path.open("rb") as raw:
        try:
            return unpacked(raw).read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
        except DAMAGED:
            return b""


def unpacked(raw: BinaryIO) -> BinaryIO:
    """A file without its compression, whatever its name says of it."""
    file: BinaryIO = raw
    for _ in range(MAX_LAYERS):
        start = file.peek(len(ZSTD)) if isinstance(file, io.BufferedReader) else b""
        if start.startswith(GZIP):
            file = io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), 1 << 18)
        elif start.startswith(ZSTD):
            file = io.BufferedReader(_ZstdFrames(file), 1 << 18)
        else:
            break
    return file


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
