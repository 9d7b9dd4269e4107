"""Sessions: from records to columns, with everything counted that a check reports."""

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from bluetune_trainer.data.clicks import BrokenSession, session_of
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
) -> Sessions:
    """Collect the sessions that show at least one item of the catalogue; all others are only counted.

    A session_id seen before makes a session a duplicate, which is dropped. Results that the catalogue does not know
    are left out; `shown_rank` keeps the place at which each of the others was shown.

    A session that a hook gives up with BrokenSession is a broken line.

    Raises:
        PluginFailed: a hook returned what is no session, or no query.
    """
    queries: list[str] = []
    items, ranks, clicks, lengths = array("i"), array("i"), bytearray(), array("q")
    times = array("d")
    seen: set[bytes] = set()
    interned: dict[str, str] = {}
    lookup = catalogue.position.get
    for key, line, raw in records:
        try:
            record = raw if transform is None else _transformed(transform, raw)
            if record is not None and retrieve is not None:
                record = _with_query(retrieve, record)
            if record is None:
                tally.left_out += 1
                continue
            session_id, query, created, results, clicked = session_of(record)
            fingerprint = blake2b(session_id.encode(), digest_size=8).digest()
            query.encode()
        except BrokenSession as error:
            tally.offend(key, line, str(error))
            continue
        except UnicodeEncodeError:
            tally.offend(key, line, "session_id or search_query holds half of a surrogate pair, which is no character")
            continue
        if fingerprint in seen:
            tally.duplicates += 1
            continue
        seen.add(fingerprint)
        tally.read += 1
        tally.first = created if tally.first is None else min(created, tally.first)
        tally.last = created if tally.last is None else max(created, tally.last)
        tally.results += len(results)
        places = [lookup(object_id, -1) for object_id in results]
        marks = [object_id in clicked for object_id in results] if clicked else [False] * len(results)
        positives = sum(marks)
        tally.positives += positives
        tally.with_clicks += positives > 0
        shown: Iterable[int] = range(len(results))
        if -1 in places:
            for object_id, at in zip(results, places, strict=True):
                if at < 0:
                    tally.unknown_id(object_id)
            shown = [rank for rank, at in enumerate(places) if at >= 0]
            marks = [mark for mark, at in zip(marks, places, strict=True) if at >= 0]
            places = [at for at in places if at >= 0]
        tally.usable += True in marks
        if places:
            items.extend(places)
            ranks.extend(shown)
            clicks.extend(marks)
            lengths.append(len(places))
            queries.append(interned.setdefault(query, query))
            times.append(created)
    tally.known = len(items)
    offsets = np.zeros(len(queries) + 1, np.int64)
    np.cumsum(np.frombuffer(lengths, np.int64) if lengths else np.zeros(0, np.int64), out=offsets[1:])
    return Sessions(
        queries=queries,
        items=np.array(items, np.int32),
        clicked=np.frombuffer(bytes(clicks), np.bool_),
        offsets=offsets,
        shown_rank=np.array(ranks, np.int32),
        created=np.array(times, np.float64),
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
