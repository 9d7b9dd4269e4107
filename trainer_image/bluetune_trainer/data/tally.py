"""What is counted while a batch and a catalogue are read, and the first things that are wrong with them."""

from dataclasses import dataclass, field

from bluetune_api.records import Offence

FIRST = 10
"""How many offences and unknown ids are kept."""
PROBLEM_CHARACTERS = 300


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

    def offend(self, key: str, line: int, problem: str) -> None:
        """Count a broken line."""
        self.broken += 1
        if len(self.offences) < FIRST:
            self.offences.append(Offence(key=key, line=max(line, 1), problem=problem[:PROBLEM_CHARACTERS]))


@dataclass
class SessionTally(Lines):
    """What a batch holds."""

    duplicates: int = 0
    with_clicks: int = 0
    """Sessions with a click on a shown result."""
    usable: int = 0
    """Of these, with a click on a result that the catalogue knows: what can be learned from."""
    positives: int = 0
    results: int = 0
    known: int = 0
    """Results that the catalogue knows."""
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
