"""What is counted while a batch and a catalogue are read, and the first things that are wrong with them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from bluetune_api.records import Offence

FIRST = 10
"""How many offences and unknown ids are kept."""
PROBLEM_CHARACTERS = 300
MAX_TYPES = 1000
"""Different types of events that are told apart; whoever logs more writes something else into the field."""
TYPE_CHARACTERS = 64


@dataclass
class Lines:
    """Lines of a set of files."""

    read: int = 0
    """Lines that could be used."""
    broken: int = 0
    """Lines that could not."""
    left_out: int = 0
    """Lines that the plugin left out."""
    offences: list[Offence] = field(default_factory=list)
    """The first of them."""
    broken_files: list[str] = field(default_factory=list)
    """Files that could not be read to their end, with what is wrong."""
    unread: list[str] = field(default_factory=list)
    """Files of a kind that is not read."""

    useful: set[str] = field(default_factory=set)
    """Files of which something could be used."""
    spoilt: dict[str, int] = field(default_factory=dict)
    """Broken lines of each file that has any."""

    def use(self, key: str) -> None:
        """Count a line that can be used."""
        self.read += 1
        self.useful.add(key)

    def useless(self) -> list[str]:
        """Files of which nothing could be used, though they have lines."""
        return [key for key in self.spoilt if key not in self.useful]

    def offend(self, key: str, line: int, problem: str) -> None:
        """Count a broken line."""
        self.broken += 1
        self.spoilt[key] = self.spoilt.get(key, 0) + 1
        if len(self.offences) < FIRST:
            self.offences.append(Offence(key=key, line=max(line, 1), problem=problem[:PROBLEM_CHARACTERS]))


@dataclass
class CatalogueTally(Lines):
    """What a catalogue holds."""

    items: int = 0
    updates: int = 0
    """Lines of an item that came before."""
    deletions: int = 0
    """Lines that remove an item."""
    absent_fields: list[str] = field(default_factory=list)
    """Fields of the text that no line has."""


@dataclass
class EventTally:
    """Events as they were logged, those of repeated sessions included."""

    types: Counter[str] = field(default_factory=Counter)
    """Events by type."""
    without_object: int = 0
    """Events of a type that counts, without an object."""
    with_dwell: int = 0
    """Events of a type that counts that say how long the user stayed; counted only where that matters."""
    left_soon: int = 0
    """Events after which the user stayed for less than clickstream.minDwell."""

    def count(self, name: str, events: int = 1) -> None:
        """Count events of a type."""
        name = name[:TYPE_CHARACTERS]
        if name in self.types or len(self.types) < MAX_TYPES:
            self.types[name] += events
        else:
            self.types["(other)"] += events


@dataclass
class SessionTally(Lines):
    """What a batch holds. Sessions are counted after those that were logged more than once were made one."""

    format: Literal["Sessions", "UBI", "Events"] = "Sessions"
    """How the batch was read."""
    problems: list[str] = field(default_factory=list)
    """What the reader of the format found wrong with the batch as a whole."""
    notes: list[str] = field(default_factory=list)
    """What it made of the batch."""
    events: EventTally = field(default_factory=EventTally)
    set_aside: Counter[str] = field(default_factory=Counter)
    """Sessions that hygiene left out, by the reason in words."""
    of_busy_clients: int = 0
    """Sessions of clients with more of them than the method allows."""
    sessions: int = 0
    duplicates: int = 0
    """Lines that repeat a session, its time and its clicks."""
    merged: int = 0
    """Lines that repeat a session with another time or other clicks."""
    with_clicks: int = 0
    """Sessions with a click on a shown result."""
    usable: int = 0
    """Sessions with a click on a result that the catalogue knows: what can be learned from."""
    informative: int = 0
    """Usable sessions with a known result that was not clicked: what can be measured."""
    all_clicked: int = 0
    """Sessions of several results that were all clicked."""
    one_result: int = 0
    """Sessions of one result, which was clicked."""
    positives: int = 0
    """Clicked results."""
    choices: int = 0
    """Results of sessions with a click and more than one result."""
    chosen: int = 0
    """Results that were clicked."""
    results: int = 0
    known: int = 0
    """Results that the catalogue knows."""
    clicks_by_place: list[int] = field(default_factory=list)
    clicks_not_shown: int = 0
    clicks_without_list: int = 0
    capped: int = 0
    """Sessions with more results than are kept."""
    ranks_ignored: int = 0
    """Sessions whose ranks are of no use."""
    queries: int = 0
    """Different ones."""
    most_frequent: int = 0
    """Sessions of the most frequent query."""
    unknown: list[str] = field(default_factory=list)
    """The first ids that it does not know."""
    first: float | None = None
    last: float | None = None

    @property
    def coverage(self) -> float:
        """Share of shown results that the catalogue knows; 0 where nothing was shown."""
        return self.known / self.results if self.results else 0.0

    def unknown_id(self, object_id: str) -> None:
        """Remember one of the first ids that the catalogue lacks."""
        if len(self.unknown) < FIRST and object_id not in self.unknown:
            self.unknown.append(object_id[:256])
