"""Sessions: from records to columns, with everything counted that a check reports."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bluetune_api.clickstream import Clickstream
from bluetune_trainer.data.clicks import BrokenSession, Session, session_of
from bluetune_trainer.data.counting import count
from bluetune_trainer.data.event_types import EventTypes, types_of
from bluetune_trainer.data.hygiene import NOBODY, Hygiene, without_busy_clients
from bluetune_trainer.data.rows import Rows, cap, merge
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.errors import PluginFailed

Transform = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The plugin's hook `session`."""
Retrieve = Callable[[dict[str, Any]], str | None]
"""The plugin's hook `query`."""


def read_sessions(
    records: Iterable[tuple[str, int, dict[str, Any]]],
    catalogue: Catalogue,
    tally: SessionTally,
    transform: Transform | None = None,
    retrieve: Retrieve | None = None,
    *,
    clickstream: Clickstream | None = None,
) -> Sessions:
    """Collect the sessions that show at least one item of the catalogue; all others are only counted.

    Sessions with the same ids, query and results are the same search, logged more than once: they become one, with the
    clicks of all. A search without results has what was clicked as its list. Results that the catalogue does not know
    are left out; `shown_rank` keeps the place at which each of the others was shown.

    A session that a hook gives up with BrokenSession is a broken line.

    Raises:
        PluginFailed: a hook returned what is no session, or no query.
    """
    clickstream = clickstream or Clickstream()
    types = types_of(clickstream)
    builder, hygiene = _Builder(catalogue, tally, types, clickstream.max_results), Hygiene(clickstream)
    for session, search in logged(records, types, tally, transform, retrieve):
        problem = hygiene.problem(session.query, len(session.clicked))
        if problem is None:
            builder.add(session, search)
        else:
            tally.set_aside[problem] += 1
    rows, tally.of_busy_clients = without_busy_clients(
        builder.rows(), builder.clients(), clickstream.max_searches_per_client
    )
    rows, tally.duplicates, tally.merged = merge(rows)
    rows = cap(rows, clickstream.max_results)
    count(rows, tally)
    return _known(rows, builder.gains())


def logged(
    records: Iterable[tuple[str, int, dict[str, Any]]],
    types: EventTypes,
    tally: SessionTally,
    transform: Transform | None = None,
    retrieve: Retrieve | None = None,
) -> Iterator[tuple[Session, int]]:
    """Each session as it was logged, and a hash of what makes two lines one search. What cannot be read is counted.

    Raises:
        PluginFailed: a hook returned what is no session, or no query.
    """
    for key, line, raw in records:
        try:
            record = raw if transform is None else _transformed(transform, raw)
            if record is not None and retrieve is not None:
                record = _with_query(retrieve, record)
            if record is None:
                tally.left_out += 1
                continue
            session = session_of(record, types, tally.events)
            search = _hash(session)
        except BrokenSession as error:
            tally.offend(key, line, str(error))
            continue
        except UnicodeEncodeError:
            tally.offend(key, line, "an id or search_query holds half of a surrogate pair, which is no character")
            continue
        tally.use(key)
        yield session, search


class _Builder:
    """Columns that grow by a session at a time."""

    def __init__(self, catalogue: Catalogue, tally: SessionTally, types: EventTypes, most: int) -> None:
        self._lookup, self._tally, self._most = catalogue.position.get, tally, most
        self._level = {gain: level for level, gain in enumerate(types.levels)}
        self._queries: list[str] = []
        self._interned: dict[str, str] = {}
        self._items, self._ranks, self._levels = array("i"), array("i"), array("H")
        self._lengths, self._created = array("q"), array("d")
        self._searches, self._contents, self._clients = array("Q"), array("Q"), array("Q")
        self._ranked = bytearray()
        self._lowest: int | None = None

    def add(self, session: Session, search: int) -> None:
        """Append a session; of a long one, no more than can be needed."""
        results, ranks, clicked, tally = session.results, session.ranks, session.clicked, self._tally
        tally.ranks_ignored += session.ranks_ignored
        if not results:
            results = list(clicked)
            tally.clicks_without_list += len(results)
        elif clicked:
            tally.clicks_not_shown += len(clicked.keys() - set(results))
        places = ranks or range(len(results))
        if len(results) > self._most:
            tally.capped += 1
            kept = [i for i, result in enumerate(results) if i < self._most or result in clicked][: 2 * self._most]
            results, places = [results[i] for i in kept], [places[i] for i in kept]
        if ranks:
            self._lowest = ranks[0] if self._lowest is None else min(ranks[0], self._lowest)
        lookup, level = self._lookup, self._level
        for gain in clicked.values():
            level.setdefault(gain, len(level))
        items = [lookup(result, -1) for result in results]
        if -1 in items:
            for result, item in zip(results, items, strict=True):
                if item < 0:
                    tally.unknown_id(result)
        self._items.extend(items)
        self._ranks.extend(places)
        self._levels.extend(
            [level[clicked[r]] if r in clicked else 0 for r in results] if clicked else bytes(len(items))
        )
        self._lengths.append(len(items))
        self._ranked.append(ranks is not None)
        self._queries.append(self._interned.setdefault(session.query, session.query))
        self._created.append(session.created)
        self._searches.append(search)
        self._clients.append(NOBODY if session.client is None else _number(session.client, "replace"))
        self._contents.append(hash((session.created, frozenset(clicked.items()))) & 0xFFFF_FFFF_FFFF_FFFF)

    def clients(self) -> NDArray[np.uint64]:
        """A number of each session's client; NOBODY where it names none."""
        return np.array(self._clients, np.uint64)

    def gains(self) -> NDArray[np.float32]:
        """Different gains, ascending, from 0: those of the types, and those that a plugin made of them."""
        return np.array(sorted(self._level), np.float32)

    def rows(self) -> Rows:
        """All sessions. Ranks count from 1 if none is 0."""
        lengths, ranks = np.array(self._lengths, np.int64), np.array(self._ranks, np.int32)
        if self._lowest:
            ranks -= np.repeat(np.frombuffer(bytes(self._ranked), np.uint8), lengths)
        return Rows(
            queries=self._queries,
            created=np.array(self._created, np.float64),
            searches=np.array(self._searches, np.uint64),
            contents=np.array(self._contents, np.uint64),
            lengths=lengths,
            items=np.array(self._items, np.int32),
            ranks=ranks,
            levels=np.argsort(np.argsort(list(self._level))).astype(np.uint16)[np.array(self._levels, np.uint16)],
        )


def _hash(session: Session) -> int:
    """Hash of what makes two lines the same search. Raises UnicodeEncodeError if an id or the query is no text."""
    places = "" if session.ranks is None else ",".join(map(str, session.ranks))
    parts = "\0".join((session.search, session.query, places, *session.results))
    return _number(parts)


def _number(text: str, errors: str = "strict") -> int:
    return int.from_bytes(blake2b(text.encode(errors=errors), digest_size=8).digest(), "big")


def _known(rows: Rows, gains: NDArray[np.float32]) -> Sessions:
    """The results that the catalogue knows, and the sessions that have any; `gains` are those of the levels."""
    known = rows.items >= 0
    lengths = np.bincount(rows.owners()[known], minlength=len(rows.queries)).astype(np.int64)
    sessions = np.flatnonzero(lengths)
    rows = rows.only(sessions, known, lengths[sessions])
    offsets = np.zeros(len(sessions) + 1, np.int64)
    np.cumsum(rows.lengths, out=offsets[1:])
    return Sessions(
        queries=rows.queries,
        items=rows.items,
        clicked=rows.levels > 0,
        offsets=offsets,
        shown_rank=rows.ranks,
        created=rows.created,
        gains=np.zeros(0, np.float32) if gains.tolist() == [0, 1] else gains[rows.levels],
    )


def _transformed(transform: Transform, record: dict[str, Any]) -> dict[str, Any] | None:
    changed = transform(record)
    if changed is not None and not isinstance(changed, dict):
        raise PluginFailed(f"session must return a session or None, it returned {type(changed).__name__}")
    return changed


def _with_query(retrieve: Retrieve, record: dict[str, Any]) -> dict[str, Any] | None:
    query = retrieve(record)
    if query is None:
        return None
    if not isinstance(query, str):
        raise PluginFailed(f"query must return a text or None, it returned {type(query).__name__}")
    return {**record, "search_query": query}
