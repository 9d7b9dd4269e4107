"""Inputs of a model, prepared once and known by number."""

import os
import tempfile
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.training.model import Kind, Model, ReadFile, Row, Tower, no_files
from bluetune_trainer.training.parts_of_items import MAX_PARTS, SplitItem

Ints = NDArray[np.int64]
LARGE = 16 << 10
"""Bytes from which on a row (a picture) lies on disk instead of in memory."""


BLOCK = 4096
"""Inputs prepared together: a tokenizer keeps kilobytes for each until all are done."""
_ELSEWHERE, _NOT_YET = -1, -2
"""Instead of where a row's tokens begin: it is no row of tokens, or it is not prepared yet."""


@dataclass(frozen=True)
class _OnDisk:
    """Where a large row lies."""

    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Rows:
    """Rows by number: tokens one after the other, as an object for each would take more than they do; large rows in a
    file without a name, which ends with the process.
    """

    def __init__(self) -> None:
        self._tokens = array("i")
        self._begins = array("q")
        self._sizes = array("i")
        self._others: dict[int, Row | _OnDisk] = {}
        self._file: IO[bytes] | None = None

    def reserve(self) -> None:
        """A next row, which is put later."""
        self._begins.append(_NOT_YET)
        self._sizes.append(0)

    def put(self, number: int, row: Row) -> None:
        """The row that was reserved."""
        if row.nbytes >= LARGE:
            self._begins[number], self._others[number] = _ELSEWHERE, self._written(row)
        elif row.ndim == 1 and row.dtype == np.int32 and len(row):
            self._begins[number], self._sizes[number] = len(self._tokens), len(row)
            self._tokens.frombytes(row.tobytes())
        else:
            self._begins[number], self._others[number] = _ELSEWHERE, row

    def _written(self, row: Row) -> _OnDisk:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="bluetune-rows-")  # noqa: SIM115 - lives as long
        at = _OnDisk(self._file.seek(0, os.SEEK_END), row.shape, row.dtype)
        self._file.write(np.ascontiguousarray(row).data)
        self._file.flush()
        return at

    def missing(self, numbers: Ints) -> Ints:
        """Those of these that are not put yet, each once, ascending."""
        if not len(self._begins):
            return numbers[:0]
        return np.unique(numbers[np.frombuffer(self._begins, np.int64)[numbers] == _NOT_YET])

    def __getitem__(self, number: int) -> Row:
        begin = self._begins[number]
        if begin >= 0:
            size = self._sizes[number]
            return np.frombuffer(self._tokens, np.int32, size, begin * self._tokens.itemsize).copy()
        row = self._others[number]
        if not isinstance(row, _OnDisk):
            return row
        assert self._file is not None  # noqa: S101 - a row lies in it
        size = row.dtype.itemsize * int(np.prod(row.shape))
        return np.frombuffer(os.pread(self._file.fileno(), size, row.begin), row.dtype).reshape(row.shape)

    def __len__(self) -> int:
        return len(self._begins)


class InputTable:
    """Different inputs of both towers, by number; each has one row, or several if it is an item that was split.

    Prompts are part of a text, so a query and an item never mix up; where the towers share their weights and there are
    no prompts, equal texts are one input. Inputs of two towers never are.

    Inputs of a tower that works `on_demand` are prepared when their lengths or rows are first asked for: the first step
    does not wait for a catalogue to be tokenized, nor is memory taken for what no batch ever shows. Whether an item is
    cut into parts only its tokens tell, so where items may be, all are prepared at once.
    """

    def __init__(self, model: Model, files: ReadFile = no_files, split: SplitItem | None = None) -> None:
        self.model = model
        self._files = files
        self._split = split
        self._rows = _Rows()
        self._texts: list[str | None] = []
        """By row: what it is prepared from, while it is not."""
        self._costs = array("q")
        self._of_query = bytearray()
        """By row: whether it belongs to a query tower of its own."""
        self._first = array("q", [0])
        """By number: its first row; one more at the end."""
        self._numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def add(self, inputs: Iterable[str], kind: Kind) -> Ints:
        """Number of each input; new ones are prepared together."""
        inputs = list(inputs)
        tower = self.model.tower(kind)
        own = kind == "query" and not self.model.shared
        known = self._numbers[own]
        numbers = array("q")
        new: list[str] = []
        texts: list[str] = []
        size = len(self)
        for text, prompted in zip(inputs, tower.prompted(inputs, kind), strict=True):
            number = known.setdefault(prompted, size + len(new))
            if number == size + len(new):
                new.append(prompted)
                texts.append(text)
            numbers.append(number)
        if tower.on_demand and self._split is None:
            for prompted in new:
                self._reserve(own, prompted)
                self._first.append(len(self._rows))
            return np.array(numbers, np.int64)
        for begin in range(0, len(new), BLOCK):
            block = slice(begin, begin + BLOCK)
            for text, row in zip(texts[block], tower.prepare(new[block], self._files), strict=True):
                rows = [row]
                if self._split is not None and kind == "item" and tower.cut(row):
                    rows = self._parts(tower, text)
                for part in rows:
                    self._put(self._reserve(own, None), part, tower)
                self._first.append(len(self._rows))
        return np.array(numbers, np.int64)

    def _reserve(self, own: bool, text: str | None) -> int:
        self._rows.reserve()
        self._texts.append(text)
        self._costs.append(0)
        self._of_query.append(own)
        return len(self._rows) - 1

    def _put(self, number: int, row: Row, tower: Tower) -> None:
        self._rows.put(number, row)
        self._costs[number] = tower.cost(row)

    def _ready(self, rows: Ints) -> None:
        """Prepare those of these rows that are not."""
        missing = self._rows.missing(rows)
        if not len(missing):
            return
        own = np.frombuffer(self._of_query, np.bool_)[missing]
        sides = ((self.model.tower("item"), missing[~own]), (self.model.tower("query"), missing[own]))
        for tower, numbers in sides:
            for begin in range(0, len(numbers), BLOCK):
                block = numbers[begin : begin + BLOCK].tolist()
                texts = [text for number in block if (text := self._texts[number]) is not None]
                for number, row in zip(block, tower.prepare(texts, self._files), strict=True):
                    self._put(number, row, tower)
                    self._texts[number] = None

    def _parts(self, tower: Tower, text: str) -> list[Row]:
        assert self._split is not None  # noqa: S101 - asked by the caller

        def fits(part: str) -> bool:
            return not tower.cut(next(iter(tower.prepare(tower.prompted([part], "item"), self._files))))

        parts: object = self._split(text, fits)
        if not isinstance(parts, list | tuple) or not parts or not all(isinstance(part, str) for part in parts):
            raise PluginFailed(f"split_item must return a list of texts, it returned {parts!r:.200}")
        return list(tower.prepare(tower.prompted(parts[:MAX_PARTS], "item"), self._files))

    def rows_of(self, numbers: Ints) -> tuple[Ints, list[int] | None]:
        """Rows of these inputs, one input after the other, and how many each has; None if each has one."""
        first = np.frombuffer(self._first, np.int64)
        counts = first[numbers + 1] - first[numbers]
        if len(self) == len(self._rows):
            return numbers, None
        begins = np.cumsum(counts) - counts
        rows = np.repeat(first[numbers] - begins, counts) + np.arange(counts.sum())
        return rows, None if (counts == 1).all() else counts.tolist()

    def first_rows(self, numbers: Ints) -> Ints:
        """The first row of each of these inputs."""
        return np.frombuffer(self._first, np.int64)[numbers]

    def rows(self, rows: Ints) -> list[Row]:
        """The prepared inputs of rows."""
        self._ready(rows)
        return [self._rows[row] for row in rows.tolist()]

    def lengths(self, rows: Ints) -> Ints:
        """Positions (tokens, patches) that each row takes."""
        self._ready(rows)
        return np.frombuffer(self._costs, np.int64)[rows] if len(self._costs) else np.zeros(0, np.int64)

    def of_query_tower(self, rows: Ints) -> NDArray[np.bool_]:
        """Which rows belong to a query tower of its own; none where the towers share their weights."""
        return np.frombuffer(self._of_query, np.bool_)[rows]

    def fingerprint(self) -> int:
        """The same for tables that hold the same inputs under the same numbers, in as many parts."""
        found = zlib.crc32(self._first.tobytes(), zlib.crc32(self._of_query))
        for known in self._numbers:
            for text in known:
                found = zlib.crc32(text.encode(errors="surrogatepass"), found)
        return found

    def __len__(self) -> int:
        """Different inputs."""
        return len(self._first) - 1
