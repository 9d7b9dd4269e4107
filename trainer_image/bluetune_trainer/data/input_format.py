"""How a batch is written: as sessions, or as UBI's queries and events, of which sessions are made."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import Literal

from bluetune_api.clickstream import Clickstream
from bluetune_trainer.data import event_table, ubi
from bluetune_trainer.data.event_types import types_of
from bluetune_trainer.data.tally import SessionTally

LOOKED_AT = 100
"""Records from the first that may show the format; one of them does, unless all are broken."""


def sessions_of(
    records: Iterable[ubi.Line],
    clickstream: Clickstream,
    known: Collection[str],
    tally: SessionTally,
    *,
    find: bool = True,
) -> Iterator[ubi.Line]:
    """A batch as one record a session; `tally.format` says how it was read.

    Args:
        records: as they stand in the files.
        clickstream: the method's.
        known: ids of the catalogue.
        tally: what is counted on the way.
        find: whether to find out a format that the method does not name; not where a plugin makes sessions of records.
    """
    lines = iter(records)
    tally.format = clickstream.format or "Sessions"
    if clickstream.format is None and find:
        first = list(islice(lines, LOOKED_AT))
        tally.format = found(first)
        lines = chain(first, lines)
    if tally.format == "UBI":
        return ubi.sessions(lines, known, types_of(clickstream), tally)
    if clickstream.events is not None:
        return event_table.sessions(lines, clickstream.events, types_of(clickstream), tally)
    return lines


def found(first: Iterable[ubi.Line]) -> Literal["Sessions", "UBI"]:
    """What the first records are: UBI if one of them is, and none before it is a session."""
    for _, _, record in first:
        if "search_results" in record or "search_query" in record:
            return "Sessions"
        if ubi.is_ubi(record):
            return "UBI"
    return "Sessions"
