"""What a check found that is no problem, in sentences: what was left out, or read otherwise than it stands."""

from collections.abc import Sequence

from bluetune_api.clickstream import Clickstream
from bluetune_api.records import EventCount
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.tally import CatalogueTally, EventTally, SessionTally

MOST_COUNTS = 50
"""Types of events that check.json lists."""
NAMED = 5
"""Types of events that a sentence names."""
DOMINANT = 0.5
"""A query with a larger share of the sessions may be a program's."""


def notes(tally: SessionTally, types: EventTypes, clickstream: Clickstream) -> list[str]:
    """Sentences about a batch, without a full stop."""
    events = tally.events
    others = of_other_types(events, types)
    share = tally.most_frequent / tally.sessions if tally.sessions else 0
    found = (
        (bool(others), f"events that do not count as clicks: {others}; clickstream.eventTypes says which count"),
        (events.without_object, "events name no object_id, and do nothing"),
        (tally.clicks_not_shown, "clicks are on what is not among the search's results, and do nothing"),
        (tally.clicks_without_list, "clicks are of searches without results; what was clicked is taken as their list"),
        (tally.duplicates, "lines repeat a session word for word, and were dropped"),
        (tally.merged, "lines repeat a search with another time or other clicks; the clicks were united"),
        (
            tally.capped,
            f"sessions have more than {clickstream.max_results} results; those clicked and the first of the others were"
            " kept (clickstream.maxResults)",
        ),
        (
            tally.ranks_ignored,
            "sessions have ranks that are no different whole numbers from 0; the order of search_results counts",
        ),
        (tally.all_clicked, "sessions have several results that were all clicked; nothing is measured by them"),
        (tally.one_result, "sessions have one result, which was clicked; nothing is measured by them"),
        (share > DOMINANT, f"one query is {share:.0%} of the sessions; there are {tally.queries} different queries"),
    )
    as_read = [f"the batch was read as {tally.format}" + ("" if clickstream.format else ", as it looks")]
    return [
        *(as_read if tally.format != "Sessions" else []),
        *tally.notes,
        *(text if count is True else f"{count} {text}" for count, text in found if count),
    ]


def catalogue_notes(tally: CatalogueTally) -> list[str]:
    """Sentences about a catalogue, without a full stop."""
    found = (
        (tally.updates, "lines of the catalogue are of items that came before; the last line of an item counts"),
        (tally.deletions, "lines of the catalogue remove an item"),
    )
    absent = [f"no line of the catalogue has the field {name!r} of items.textFields" for name in tally.absent_fields]
    return [f"{count} {text}" for count, text in found if count] + absent


def event_counts(events: EventTally, types: EventTypes) -> list[EventCount]:
    """Events by type, the most frequent first."""
    return [
        EventCount(type=_printable(name), events=count, gain=types.gain(name))
        for name, count in events.types.most_common(MOST_COUNTS)
    ]


def of_other_types(events: EventTally, types: EventTypes) -> str:
    """The most frequent types that do not count, with their numbers; empty if there are none."""
    return named([(name, count) for name, count in events.types.most_common() if not types.gain(name)])


def named(counts: Sequence[tuple[str, int]]) -> str:
    """The first types of events, with their numbers, and how many other types there are."""
    first = ", ".join(f"{_printable(name)} ({count})" for name, count in counts[:NAMED])
    return first + (f" and {len(counts) - NAMED} other types" if len(counts) > NAMED else "")


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()
