"""Sessions from OpenSearch User Behavior Insights (UBI): queries and events, joined by `query_id`.

Schemas 1.0 to 1.3: https://github.com/o19s/ubi. What was seen (`impression` events) is preferred to what was returned
(`query_response_hit_ids`): of that, nobody saw the end, and it would be taken for passed over.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.clicks import SOON, BrokenSession, event_of, fields_of, left_soon, seconds_of, whole
from bluetune_trainer.data.event_types import EventTypes, plain
from bluetune_trainer.data.json_documents import document_in
from bluetune_trainer.data.notes import counted
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import SessionTally

Line = tuple[str, int, dict[str, Any]]
BULK_ACTIONS = ("index", "create", "update", "delete")
TYPED_AHEAD = ("typeahead", "autocomplete", "autosuggest", "suggest", "suggestions", "searchasyoutype")
"""Applications whose queries are prefixes of what somebody was about to type."""
HITS = ("query_response_hit_ids", "query_response_object_ids")
"""Ids of what a query returned: since 1.3, and in logs of 2024."""
IMPRESSION = 0
"""Number of the type `impression`; the types that count have the numbers from 1."""
NO_ORDINAL = 2**31 - 1
MIN_COMPARED = 5
"""Searches with hits and events that show whether the two speak of the same ids."""
MAX_BY_CHANCE = 0.1
"""Share of them in which an internal number may equal an item's id by chance."""


def is_ubi(record: Mapping[str, Any]) -> bool:
    """Whether a record is a query, an event or a `_bulk` action of UBI."""
    for document in documents(record):
        if "search_results" in document:
            return False
        if "action_name" in document or "user_query" in document or any(name in document for name in HITS):
            return True
    action = _bulk_action(record)
    return action is not None and str(action.get("_index")).startswith("ubi_")


def documents(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The documents of a line: itself, what a `_search` response found, or none if it is an action of `_bulk`."""
    hits = record.get("hits")
    if isinstance(hits, dict) and isinstance(hits.get("hits"), list):
        for hit in hits["hits"]:
            if isinstance(hit, dict):
                yield from documents(document_in(hit))
    elif _bulk_action(record) is None:
        yield record


def _bulk_action(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if len(record) != 1:
        return None
    name, action = next(iter(record.items()))
    return action if name in BULK_ACTIONS and isinstance(action, dict) else None


def sessions(records: Iterable[Line], known: Collection[str], types: EventTypes, tally: SessionTally) -> Iterator[Line]:
    """Read all queries and events, then yield a session for each search, in the order in which they came first.

    Events of types that do not count, events without an object and events without a `query_id` are only counted. In
    memory are the searches, and 18 bytes for each event that is kept.

    Args:
        records: lines of the files.
        known: ids of the catalogue.
        types: which events count.
        tally: what is wrong with the lines is counted there.
    """
    log = _Log(types, tally)
    for key, line, record in records:
        for document in documents(record):
            try:
                log.add(key, line, document)
                tally.useful.add(key)
            except BrokenSession as error:
                tally.offend(key, line, str(error))
    yield from log.sessions(known)


class _Search(NamedTuple):
    """The first record of a search."""

    query_id: str
    key: str
    line: int


class _Log:
    """Queries and events by search, in numbers."""

    def __init__(self, types: EventTypes, tally: SessionTally) -> None:
        self._types, self._tally = types, tally
        self._searches: list[_Search] = []
        self._numbers: dict[str, int] = {}
        self._texts: list[str | None] = []
        self._created, self._happened = array("d"), array("d")
        self._clients: dict[str, int] = {"": 0}
        self._client = array("i")
        self._hits: dict[int, dict[int, None]] = {}
        self._typed_ahead: set[int] = set()
        self._queried = bytearray()
        self._ids: dict[str, int] = {}
        self._kinds: dict[str, int] = {"impression": IMPRESSION}
        self._applications: dict[str, int] = {}
        self._lowest: dict[int, int] = {}
        self._search, self._item, self._ordinal = array("i"), array("i"), array("i")
        self._kind, self._application = array("i"), array("h")
        self._repeated = self._without_query = 0

    def add(self, key: str, line: int, document: Mapping[str, Any]) -> None:
        """Take in a query or an event. Raises BrokenSession if it is none, or broken."""
        # in a table of both, a query has an event's columns, too, and nothing in them
        if document.get("action_name") is not None or _holds(document.get("event_attributes")):
            self._add_event(key, line, document)
        elif "user_query" in document or "query_id" in document:
            self._add_query(key, line, document)
        else:
            raise BrokenSession(
                f"a query (user_query) or an event (action_name) of UBI is expected, fields are {fields_of(document)}"
            )

    def _number(self, query_id: str, key: str, line: int) -> int:
        number = self._numbers.get(query_id)
        if number is None:
            number = self._numbers[query_id] = len(self._searches)
            self._searches.append(_Search(query_id, key, line))
            self._texts.append(None)
            self._created.append(np.inf)
            self._happened.append(np.inf)
            self._queried.append(False)
            self._client.append(0)
        return number

    def _asked_by(self, number: int, record: Mapping[str, Any]) -> None:
        client = record.get("client_id")
        if type(client) is str and client:
            self._client[number] = self._clients.setdefault(client, len(self._clients))

    def _add_query(self, key: str, line: int, query: Mapping[str, Any]) -> None:
        query_id, hits = _text(query, "query_id"), _hits(query)
        if query_id is None:
            raise BrokenSession(f"query_id: an id is expected, fields are {fields_of(query)}")
        text, created = _text(query, "user_query"), _time(query)
        number = self._number(query_id, key, line)
        self._asked_by(number, query)
        self._repeated += self._queried[number]
        self._queried[number] = True
        self._texts[number] = text or self._texts[number]
        if created is not None:
            self._created[number] = min(created, self._created[number])
        if plain(_text(query, "application") or "") in TYPED_AHEAD:
            self._typed_ahead.add(number)
        if hits:
            self._hits.setdefault(number, {}).update(dict.fromkeys(map(self._id, hits)))

    def _add_event(self, key: str, line: int, event: Mapping[str, Any]) -> None:
        name = _text(event, "action_name")
        if name is None:
            raise BrokenSession(f"action_name: a text is expected, this is {shortened(event.get('action_name'))}")
        query_id, happened, (object_id, ordinal) = _text(event, "query_id"), _time(event), _object(event)
        gain = self._types.gain(name)
        seen = plain(name) == "impression" and not gain
        if not (seen or gain):
            self._tally.events.count(name)
        elif object_id is None:
            self._tally.events.count(name)
            self._tally.events.without_object += 1
        elif query_id is None:
            self._tally.events.count(name)
            self._without_query += 1
        else:
            number = self._number(query_id, key, line)
            self._asked_by(number, event)
            self._texts[number] = self._texts[number] or _text(event, "user_query")
            if happened is not None:
                self._happened[number] = min(happened, self._happened[number])
            application = self._applications.setdefault(_text(event, "application") or "", len(self._applications))
            if ordinal is not None:
                self._lowest[application] = min(ordinal, self._lowest.get(application, ordinal))
            self._search.append(number)
            self._item.append(self._id(object_id))
            self._ordinal.append(NO_ORDINAL if ordinal is None else ordinal)
            soon = gain and left_soon(_dwell(event), "event_attributes.dwell_time", self._types, self._tally.events)
            kind = name + (SOON if soon else "")
            self._kind.append(IMPRESSION if seen else self._kinds.setdefault(kind, len(self._kinds)))
            self._application.append(min(application, 2**15 - 1))
            if seen:
                self._tally.events.count(name)

    def _id(self, object_id: str) -> int:
        return self._ids.setdefault(object_id, len(self._ids))

    def sessions(self, known: Collection[str]) -> Iterator[Line]:
        """A session for each search; notes and problems of all of them come last."""
        ids, kinds, clients = list(self._ids), list(self._kinds), list(self._clients)
        search, item = np.array(self._search, np.int32), np.array(self._item, np.int32)
        kind, rank = np.array(self._kind, np.int32), self._ranks()
        order = np.lexsort((rank, search))
        search, item, kind, rank = search[order], item[order], kind[order], rank[order]
        bounds = np.searchsorted(search, np.arange(len(self._searches) + 1))
        from_impressions = from_hits = without_list = without_text = compared = same = 0
        for number, first in enumerate(self._searches):
            span = slice(bounds[number], bounds[number + 1])
            items, acts, ranks = item[span].tolist(), kind[span].tolist(), rank[span].tolist()
            hits = self._hits.get(number)
            if hits and items:
                compared += 1
                same += any(one in hits for one in items)
            text = self._texts[number]
            deeds = [(ids[one], kinds[act]) for one, act in zip(items, acts, strict=True) if act != IMPRESSION]
            if text is None or not text.strip() or number in self._typed_ahead:
                without_text += number not in self._typed_ahead
                for _, name in deeds:
                    self._tally.events.count(name.removesuffix(SOON))
                continue
            seen: dict[int, int] = {}
            for one, act, place in zip(items, acts, ranks, strict=True):
                if act == IMPRESSION:
                    seen.setdefault(one, place)
            shown: list[dict[str, Any]] = [
                {"object_id": ids[one]} | ({} if place == NO_ORDINAL else {"rank": place + 1})
                for one, place in seen.items()
            ] or [{"object_id": ids[one]} for one in hits or ()]
            from_impressions += bool(seen)
            from_hits += bool(hits) and not seen
            without_list += not shown
            created = self._created[number] if self._created[number] < np.inf else self._happened[number]
            yield (
                first.key,
                first.line,
                {
                    "session_id": first.query_id,
                    "search_query": text,
                    "client_id": clients[self._client[number]] or None,
                    "created_at": created if created < np.inf else None,
                    "search_results": shown,
                    "events": [event_of(object_id, name) for object_id, name in deeds],
                },
            )
        self._tally.notes += counted(
            ("lists of what was seen (impressions)", from_impressions),
            ("lists of what was returned (hits)", from_hits),
            ("searches with neither impressions nor hits", without_list),
            ("searches with events and no user_query, which were left out", without_text),
            ("searches of a type-ahead application, which were left out", len(self._typed_ahead)),
            ("queries that repeat a query_id, and were united", self._repeated),
            ("events without a query_id, which do nothing", self._without_query),
        )
        if from_hits and self._are_internal(ids, known, compared, same):
            example = ids[next(iter(next(iter(self._hits.values()))))]
            self._tally.problems.append(
                f"the hits of the queries are Lucene's internal numbers, for example {example!r}, and no ids of items:"
                " the UBI plugin logs these unless the search request names the field of the item's id in"
                " ext.ubi.object_id_field; set it, and use a batch that was logged since, or log impressions"
            )

    def _ranks(self) -> NDArray[np.int32]:
        """[events] ordinals from 0: each application begins with 0 or with 1."""
        ordinal, application = np.array(self._ordinal, np.int32), np.array(self._application, np.int32)
        begins = np.zeros(max(len(self._applications), 1), np.int32)
        for number, lowest in self._lowest.items():
            begins[number] = min(lowest, 1)
        return np.where(ordinal == NO_ORDINAL, ordinal, ordinal - begins[application])

    def _are_internal(self, ids: list[str], known: Collection[str], compared: int, same: int) -> bool:
        """Whether hits are whole numbers that events, or the catalogue, know nothing of."""
        hits = {ids[one] for found in self._hits.values() for one in found}
        if not all(map(str.isdecimal, hits)):
            return False
        if compared >= MIN_COMPARED:
            return same / compared < MAX_BY_CHANCE
        return not any(one in known for one in hits)


def _holds(value: object) -> bool:
    """Whether there is anything in it: a column of objects may have one of nulls for nothing."""
    return any(map(_holds, value.values())) if isinstance(value, Mapping) else value is not None


def _dwell(event: Mapping[str, Any]) -> object:
    attributes = event.get("event_attributes")
    return attributes.get("dwell_time") if isinstance(attributes, Mapping) else None


def _text(document: Mapping[str, Any], field: str) -> str | None:
    value = document.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BrokenSession(f"{field}: a text is expected, this is {shortened(value)}")
    return value


def _time(document: Mapping[str, Any]) -> float | None:
    value = document.get("timestamp")
    return None if value is None else seconds_of(value, "timestamp")


def _hits(query: Mapping[str, Any]) -> list[str]:
    for field in HITS:
        hits = query.get(field)
        if hits is None:
            continue
        if not isinstance(hits, list):
            raise BrokenSession(f"{field}: a list of ids is expected, this is {shortened(hits)}")
        found = [str(hit) if type(hit) is int else hit for hit in hits]
        if not all(isinstance(hit, str) and hit for hit in found):
            raise BrokenSession(f"{field}: a list of ids is expected, this is {shortened(hits)}")
        return found
    return []


def _object(event: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The id of what an event is about, and its place."""
    attributes = event.get("event_attributes")
    if attributes is None:
        return None, None
    if not isinstance(attributes, dict):
        raise BrokenSession(f"event_attributes: an object is expected, this is {shortened(attributes)}")
    what, where = attributes.get("object"), attributes.get("position")
    ordinal = whole(where.get("ordinal")) if isinstance(where, dict) else None
    return (_text(what, "object_id") if isinstance(what, dict) else None), ordinal
