"""A shard's items on disk, by bucket: of a catalogue of any size one bucket is in memory."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.indexing.places import BUCKETS

_LENGTHS = struct.Struct("<ii")
_REMOVED = -1
"""Length of the text of a line that removes its item."""
DIGEST_BYTES = 32


class Buckets:
    """One file a bucket, written from its beginning to its end, and then read."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = [folder / f"{name}-{number:03d}" for number in range(BUCKETS)]
        self._stack = ExitStack()
        self._files: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def append(self, bucket: int, data: bytes) -> None:
        """Add to a bucket's end."""
        if bucket not in self._files:
            self._files[bucket] = self._stack.enter_context(self._paths[bucket].open("wb"))
        self._files[bucket].write(data)

    def take(self, bucket: int) -> bytes:
        """A bucket's content; it is removed from the disk. Nothing can be added to any bucket any more."""
        self._stack.close()
        path = self._paths[bucket]
        if not path.exists():
            return b""
        data = path.read_bytes()
        path.unlink()
        return data


class ItemSpool:
    """Lines of the catalogue: of several of an item the last one counts."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self.lines = 0
        """Lines with a text."""

    def add(self, bucket: int, item_id: str, text: str | None) -> None:
        """The next line; a text that is None removes the item. Raises UnicodeEncodeError for what is no text."""
        key, value = item_id.encode(), b"" if text is None else text.encode()
        self._buckets.append(bucket, _LENGTHS.pack(len(key), _REMOVED if text is None else len(value)) + key + value)
        self.lines += text is not None

    def take(self, bucket: int) -> list[tuple[str, str]]:
        """Id and text of a bucket's items, by id; how many lines they were written in does not show."""
        data, at = memoryview(self._buckets.take(bucket)), 0
        texts: dict[str, str] = {}
        while at < len(data):
            of_key, of_text = _LENGTHS.unpack_from(data, at)
            at += _LENGTHS.size
            item_id = str(data[at : at + of_key], "utf-8")
            at += of_key
            if of_text == _REMOVED:
                texts.pop(item_id, None)
                continue
            texts[item_id] = str(data[at : at + of_text], "utf-8")
            at += of_text
        return sorted(texts.items())


class VectorSpool:
    """Vectors of the index before, by the digest of the text that they stand for."""

    def __init__(self, buckets: Buckets, dimension: int) -> None:
        self._buckets = buckets
        self._row = np.dtype([("digest", f"V{DIGEST_BYTES}"), ("vector", "<f4", (dimension,))])

    def add(self, bucket: int, digest: bytes, vector: NDArray[np.float32]) -> None:
        """A text's vector."""
        self._buckets.append(bucket, digest + vector.astype("<f4", copy=False).tobytes())

    def take(self, bucket: int) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
        """Digest and vector of a bucket's texts."""
        rows = np.frombuffer(self._buckets.take(bucket), self._row)
        for row in rows:
            yield row["digest"].tobytes(), row["vector"]
