"""JSON that is not one record a line: an array of records, records over several lines, `_search` responses.

A record at a time is in memory.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from bluetune_trainer.data.records import MAX_LINE_BYTES, BrokenFile, Record, shortened

CHUNK_BYTES = 256 << 10
RESPONSE = re.compile(rb'\{\s*"(took|timed_out|_scroll_id|pit_id|_shards|hits)"\s*:')
"""How a response of `_search` begins."""
BESIDE_SOURCE = ("sort", "fields", "highlight", "matched_queries", "inner_hits", "ignored_field_values")
"""Names in a hit that do not begin with `_`, by which a hit that stands alone is known."""
_HITS = re.compile(r'"hits"\s*:\s*\[')
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\]]', re.DOTALL)
"""A text (perhaps one that goes on beyond what was read), or the start or end of an object or array."""
_SPACE = re.compile(r"[\s,]*")


def is_response(head: bytes) -> bool:
    """Whether a file that begins like this is a response of `_search`."""
    return RESPONSE.match(head) is not None and re.search(rb'"hits"\s*:\s*\{', head) is not None


def document_of(record: dict[str, Any]) -> dict[str, Any]:
    """The document of a hit that stands alone, as tools that export an index write it. Any other record is returned as
    it is."""
    if all(name.startswith("_") or name in BESIDE_SOURCE for name in record):
        return document_in(record)
    return record


def document_in(hit: dict[str, Any]) -> dict[str, Any]:
    """The document of a member of `hits.hits`, with the hit's id as `_id`; the hit itself if it has none."""
    source = hit.get("_source")
    if type(source) is not dict:
        return hit
    return {"_id": hit["_id"]} | source if "_id" in hit else source


def is_lines(head: bytes) -> bool:
    """Whether a file that begins like this holds one record a line."""
    line, newline, _ = head.partition(b"\n")
    text = line.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return not (newline and text.rstrip().endswith(("{", "[", ",")))
    return not text[end:].lstrip().startswith("{")  # Firehose puts records together as they come


def array(file: BinaryIO) -> Iterator[Record]:
    """The records of one array."""
    text = _Text(file)
    text.skip("[")
    yield from _values(text, end="]")
    if not text.ended():
        raise BrokenFile("it goes on after its array; write one array, or one record a line")


def documents(file: BinaryIO) -> Iterator[Record]:
    """Records one after the other, each over as many lines as it takes."""
    yield from _values(_Text(file), end="")


def responses(file: BinaryIO) -> Iterator[Record]:
    """The documents that responses of `_search` found: `hits.hits[]._source`."""
    text, number = _Text(file), 0
    while not text.ended():
        text.skip_to(_HITS)
        for _, hit in _values(text, end="]"):
            number += 1
            source = {} if isinstance(hit, str) else hit.get("_source", {})
            if isinstance(source, dict):
                yield number, hit if isinstance(hit, str) else document_in(hit)
            else:
                yield number, _no_record(source)
        text.leave(depth=2)


def _values(text: "_Text", end: str) -> Iterator[Record]:
    number = 0
    while not text.at(end):
        number += 1
        value = text.value(number)
        yield number, value if type(value) is dict else _no_record(value)


def _no_record(value: object) -> str:
    return value.problem if isinstance(value, _Refused) else f"a JSON object is expected, this is {shortened(value)}"


class _Refused:
    """What Python reads and JSON does not know."""

    def __init__(self, name: str) -> None:
        self.problem = f"not JSON: {name} is not JSON"


class _Text:
    """A file as text, of which no more than a record and a chunk are in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._more = "", 0, True
        self._refused: list[_Refused] = []
        self._json = json.JSONDecoder(parse_constant=self._refuse)

    def _refuse(self, name: str) -> None:
        self._refused.append(_Refused(name))

    def _fill(self) -> bool:
        """Read on; whether there was anything."""
        if not self._more:
            return False
        data = self._file.read(CHUNK_BYTES)
        self._more = bool(data)
        try:
            read = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise BrokenFile(f"it is not UTF-8 text ({error.reason})") from error
        self._text, self._at = self._text[self._at :] + read, 0
        return self._more

    def _next(self) -> str:
        """The next character that is no white space or comma; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def ended(self) -> bool:
        """Whether nothing follows."""
        return not self._next()

    def at(self, end: str) -> bool:
        """Whether the next is the end of an array (or, for an empty text, of the file), which is then passed."""
        found = self._next()
        if found == end:
            self._at += len(end)
            return True
        if not found:
            raise BrokenFile(f"it breaks off before its closing {end}")
        return False

    def skip(self, start: str) -> None:
        """Pass a character that is there."""
        if self._next() == start:
            self._at += 1

    def skip_to(self, pattern: re.Pattern[str]) -> None:
        """Pass what a pattern matches, and all before it."""
        while not (found := pattern.search(self._text, self._at)):
            if len(self._text) - self._at > MAX_LINE_BYTES or not self._fill():
                raise BrokenFile("it begins like a response of _search, and has no hits.hits")
        self._at = found.end()

    def leave(self, depth: int) -> None:
        """Pass the ends of the objects that are open, and what else they hold."""
        while depth:
            found = _NESTING.search(self._text, self._at)
            if found is None or (found[0][0] == '"' and found.end() == len(self._text)):
                self._at = len(self._text) if found is None else found.start()
                if len(self._text) - self._at > MAX_LINE_BYTES or not self._fill():
                    raise BrokenFile("the response breaks off after its hits")
                continue
            self._at = found.end()
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)

    def value(self, number: int) -> Any:
        """The next JSON value, or a `_Refused`."""
        while True:
            self._refused.clear()
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise BrokenFile(f"record {number} is nested too deeply") from error
            except ValueError as error:
                if len(self._text) - self._at > MAX_LINE_BYTES:
                    raise BrokenFile(
                        f"record {number} is longer than {MAX_LINE_BYTES >> 20} MiB, or no JSON"
                    ) from error
                if not self._fill():
                    raise BrokenFile(f"record {number} is no JSON ({str(error)[:100]})") from error
                continue
            if end == len(self._text) and self._fill():
                continue  # a number may go on
            self._at = end
            return self._refused[0] if self._refused else value
