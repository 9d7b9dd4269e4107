"""What a check found that is no problem, in sentences: what was left out, or read otherwise than it stands."""

from collections.abc import Sequence

from bluetune_api.clickstream import Clickstream
from bluetune_api.records import EventCount
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.tally import CatalogueTally, EventTally, SessionTally

MAX_COUNTS = 50
"""Types of events that check.json lists."""
NAMED = 5
"""Types of events that a sentence names."""
DOMINANT = 0.5
"""A query with a larger share of the sessions may be a program's."""


def notes(tally: SessionTally, types: EventTypes, clickstream: Clickstream) -> list[str]:
    """Sentences about a batch, without a full stop."""
    events, most = tally.events, clickstream.max_results
    others = of_other_types(events, types)
    share = tally.most_frequent / tally.sessions if tally.sessions else 0
    read = f"the batch was read as {tally.format}" + ("" if clickstream.format else ", as it looks")
    return [
        *([read] if tally.format != "Sessions" else []),
        *tally.notes,
        *([f"events that do not count as clicks: {others}; clickstream.eventTypes says which count"] if others else []),
        *(
            ["no event says how long the user stayed, so clickstream.minDwell changes nothing"]
            if clickstream.min_dwell is not None and events.types and not events.with_dwell
            else []
        ),
        *counted(
            ("sessions that the plugin left out", tally.left_out),
            *tally.set_aside.items(),
            (
                f"sessions of clients with more than {clickstream.max_searches_per_client}"
                " (clickstream.maxSearchesPerClient), which were left out",
                tally.of_busy_clients,
            ),
            (
                f"clicks after which the user stayed for less than {clickstream.min_dwell} (clickstream.minDwell),"
                " which do not count",
                events.left_soon,
            ),
            ("events without an object_id, which do nothing", events.without_object),
            ("clicks on what is not among the search's results, which do nothing", tally.clicks_not_shown),
            (
                "clicks of searches without results, where what was clicked is taken as the list",
                tally.clicks_without_list,
            ),
            ("lines that repeat a session word for word, and were dropped", tally.duplicates),
            ("lines that repeat a search with another time or other clicks, and were united with it", tally.merged),
            (
                f"sessions of more than {most} results (clickstream.maxResults), of which those clicked and the first"
                " others were kept",
                tally.capped,
            ),
            (
                "sessions with ranks that are no different whole numbers from 0, where the order of the results counts",
                tally.ranks_ignored,
            ),
            ("sessions of several results that were all clicked, by which nothing is measured", tally.all_clicked),
            ("sessions of one result, which was clicked, by which nothing is measured", tally.one_result),
        ),
        *(
            [f"one query is {share:.0%} of the sessions; there are {tally.queries} different queries"]
            if share > DOMINANT
            else []
        ),
    ]


def catalogue_notes(tally: CatalogueTally) -> list[str]:
    """Sentences about a catalogue, without a full stop."""
    return [
        *counted(
            ("lines of items that came before, of which the last counts", tally.updates),
            ("lines that remove an item", tally.deletions),
        ),
        *(f"no line of the catalogue has the field {name!r} of items.textFields" for name in tally.absent_fields),
    ]


def counted(*found: tuple[str, int]) -> list[str]:
    """What there is any of, with its number."""
    return [f"{text}: {count}" for text, count in found if count]


def event_counts(events: EventTally, types: EventTypes) -> list[EventCount]:
    """Events by type, the most frequent first."""
    return [
        EventCount(type=_printable(name), events=count, gain=types.gain(name))
        for name, count in events.types.most_common(MAX_COUNTS)
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
