"""Sessions from a table of events: searches are found by user, time and query."""

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bluetune_api.clickstream import EventTable
from bluetune_trainer.data.clicks import SOON, BrokenSession, event_of, left_soon
from bluetune_trainer.data.event_types import EventTypes, plain
from bluetune_trainer.data.notes import counted
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.tracked import Tracked
from bluetune_trainer.data.trackers import tracker

Line = tuple[str, int, dict[str, Any]]
QUERY, SHOWN = 0, 1
"""Kinds of entries; the types that count have the numbers from 2."""
NO_PLACE = 2**31 - 1


def sessions(records: Iterable[Line], table: EventTable, types: EventTypes, tally: SessionTally) -> Iterator[Line]:
    """Read all events, then yield a session for each search.

    A search begins with an event that names a query, unless the same user's last one is the same. What the user is
    shown and clicks from then on belongs to it, until another query, another visit or a pause. Of events of the same
    time, queries come first, then what was shown. In memory are 36 bytes for each item of an event that is kept.

    Args:
        records: lines of the files.
        table: how to read them.
        types: which events count.
        tally: what is wrong with the lines is counted there.
    """
    track, log = tracker(table), _Log(table, types, tally)
    for key, line, record in records:
        try:
            log.add(key, line, track(record))
        except BrokenSession as error:
            tally.offend(key, line, str(error))
        else:
            tally.useful.add(key)
    yield from log.sessions()


class _Log:
    """Events in numbers, in the order in which they were read."""

    def __init__(self, table: EventTable, types: EventTypes, tally: SessionTally) -> None:
        self._types, self._tally, self._pause = types, tally, 60.0 * table.pause_minutes
        self._shown = set(map(plain, table.shown_types))
        self._dwell = (table.columns.dwell if table.columns else None) or "dwell"
        self._who: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._kinds: dict[str, int] = {"": QUERY, "\0": SHOWN}
        self._keys: dict[str, int] = {}
        self._user, self._kind, self._text, self._place = array("i"), array("i"), array("i"), array("i")
        self._time, self._key, self._line = array("d"), array("i"), array("q")
        self._without_search = self._of_other_lists = 0

    def add(self, key: str, line: int, event: Tracked) -> None:
        """Take in an event."""
        gain = self._types.gain(event.type)
        shown = not gain and plain(event.type) in self._shown
        self._of_other_lists += event.of_other_lists
        if event.query is not None:
            self._append(key, line, event, QUERY, event.query, None)
        for item, place in event.shown:
            self._append(key, line, event, SHOWN, item, place)
        if not gain:
            self._tally.events.count(event.type)
        elif not event.items and not event.of_other_lists:
            self._tally.events.count(event.type)
            self._tally.events.without_object += 1
        if gain or shown:
            soon = gain and event.items and left_soon(event.dwell, self._dwell, self._types, self._tally.events)
            name = event.type + (SOON if soon else "")
            kind = SHOWN if shown else self._kinds.setdefault(name, len(self._kinds))
            for item, place in event.items:
                self._append(key, line, event, kind, item, place)

    def _append(self, key: str, line: int, event: Tracked, kind: int, text: str, place: int | None) -> None:
        self._user.append(self._who.setdefault(event.who, len(self._who)))
        self._time.append(event.time)
        self._kind.append(kind)
        self._text.append(self._texts.setdefault(text, len(self._texts)))
        self._place.append(NO_PLACE if place is None else place)
        self._key.append(self._keys.setdefault(key, len(self._keys)))
        self._line.append(line)

    def sessions(self) -> Iterator[Line]:
        """A session for each search, user by user; notes come last."""
        texts, kinds, keys = list(self._texts), list(self._kinds), list(self._keys)
        users = [who.partition("\n")[0] for who in self._who]
        user, time = np.array(self._user, np.int32), np.array(self._time, np.float64)
        role = np.minimum(np.array(self._kind, np.int32), SHOWN + 1)
        open_: _Search | None = None
        number, last_user, last_time = 0, -1, 0.0
        for at in np.lexsort((role, time, user)).tolist():
            kind, text = self._kind[at], texts[self._text[at]]
            if self._user[at] != last_user or self._time[at] - last_time > self._pause:
                yield from _ended(open_)
                open_ = None
            last_user, last_time = self._user[at], self._time[at]
            if kind == QUERY:
                if open_ is None or open_.query != text:
                    yield from _ended(open_)
                    number += 1
                    open_ = _Search(keys[self._key[at]], self._line[at], number, text, last_time, users[last_user])
            elif open_ is None:
                self._without_search += 1
                if kind != SHOWN:
                    self._tally.events.count(kinds[kind].removesuffix(SOON))
            elif kind == SHOWN:
                open_.shown.setdefault(text, self._place[at])
            else:
                open_.events.append(event_of(text, kinds[kind]))
        yield from _ended(open_)
        self._tally.notes += counted(
            ("searches found by user, time and query", number),
            ("items of other lists than events.searchList, which do nothing", self._of_other_lists),
            ("items that were shown or clicked outside of a search, which do nothing", self._without_search),
        )


class _Search:
    """A search that may go on."""

    def __init__(self, key: str, line: int, number: int, query: str, created: float, user: str) -> None:
        self.key, self.line, self.number, self.query, self.created = key, line, number, query, created
        self.user = user
        self.shown: dict[str, int] = {}
        self.events: list[dict[str, Any]] = []


def _ended(search: _Search | None) -> Iterator[Line]:
    if search is None:
        return
    results = [
        {"object_id": item} | ({} if place == NO_PLACE else {"rank": place})
        for item, place in sorted(search.shown.items(), key=lambda shown: shown[1])
    ]
    record = {
        "session_id": str(search.number),
        "search_query": search.query,
        "user_id": search.user,
        "created_at": search.created,
        "search_results": results,
        "events": search.events,
    }
    yield search.key, search.line, record
