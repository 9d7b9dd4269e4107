"""Whether a batch is worth training on: sentences that say what to do, from what was counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bluetune_api import store_layout
from bluetune_api.method import Settings
from bluetune_api.records import MethodPlan, PinnedObject
from bluetune_trainer.data.event_types import EventTypes, types_of
from bluetune_trainer.data.formats import READABLE
from bluetune_trainer.data.measurable import metric_problems
from bluetune_trainer.data.notes import named, of_other_types
from bluetune_trainer.data.splits import clicked_sessions, informative_sessions
from bluetune_trainer.data.tally import CatalogueTally, Lines, SessionTally
from bluetune_trainer.data.types import Split

MIN_SESSIONS = 20
"""Preset of settings.minSessions."""
MIN_COVERAGE = 0.5
"""Preset of settings.minCoverage."""
MAX_BROKEN = 0.1
"""A larger share of broken lines says that whatever wrote them is broken."""
MAX_DUPLICATES = 0.1
"""A larger share of lines that were logged before says that whatever writes them writes twice."""
NAMED_FILES = 5
"""Files that a problem names."""
MAX_CLICKED = 0.9
"""A larger share of clicked results, where there was a choice, says that what was shown is taken for a click."""


@dataclass(frozen=True)
class Observed:
    """All that was seen of a batch and its catalogue."""

    batches: Sequence[str]
    """Newest first."""
    items_path: str
    incomplete: tuple[str, str] | None
    """The first batch that is not complete, and why; None: all are."""
    batch: list[PinnedObject]
    items: list[PinnedObject]
    sessions: SessionTally
    catalogue: CatalogueTally
    split: Split
    transaction_logs: list[str] = field(default_factory=list)
    """Folders beside which not all files are current."""


def batch_problems(seen: Observed) -> list[str]:
    """What is wrong with the batch as a set of objects; if anything is, its content says nothing more."""
    if seen.transaction_logs:
        return [delta_problem(log) for log in seen.transaction_logs]
    if not seen.batch:
        folders = ", ".join(store_layout.batch(batch) for batch in seen.batches[:NAMED_FILES])
        return [f"there are no sessions in {folders}: put {READABLE} files there"]
    if seen.incomplete is not None:
        batch, why = seen.incomplete
        marker = store_layout.batch_marker(batch)
        return [
            f"the batch is not complete ({why}): {marker} is missing; write it (empty) after the batch's"
            " last file, or set clickstream.settle of the method"
        ]
    if not seen.items:
        return [f"there is no catalogue at {seen.items_path}: put the items there, or set the method's items.path"]
    return []


def delta_problem(log: str) -> str:
    """What to do with a Delta table, or with a commit of Databricks that cannot be read."""
    if not log.endswith("/"):
        return (
            f'{log} cannot be read as the record of a commit of Databricks ({{"added": [...], "removed": [...]}}), so'
            " which files beside it are current is not known; write the rows again, into a folder of their own"
        )
    return (
        f"{log} is the log of a Delta table: files that it removed still lie beside those that are current, and would"
        " be read as well; write the table's rows into a folder of their own (Spark: read.format('delta') and"
        " write.parquet)"
    )


def useless_problem(lines: Lines) -> str:
    """What to do with files of which nothing can be used, whatever their share of the lines."""
    keys = lines.useless()
    first = next((offence for offence in lines.offences if offence.key in keys), None)
    return (
        f"nothing can be used of {_named(keys)}: all lines are broken"
        + (f" ({first.problem})" if first is not None else "")
        + "; correct what writes them, or move them out of the folder"
    )


def _named(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMED_FILES} more" if len(keys) > NAMED_FILES else ""
    return ", ".join(keys[:NAMED_FILES]) + more


def unread_problem(keys: Sequence[str]) -> str:
    """What to do with files that are not read."""
    return (
        f"not read: {_named(keys)}; files must be {READABLE}: convert them, or move what is no"
        " data out of the folder, or give it a name that begins with _"
    )


def broken_problems(name: str, lines: Lines) -> list[str]:
    """What to do with too many broken lines."""
    total = lines.broken + lines.read
    if not total or lines.broken / total <= MAX_BROKEN:
        return []
    return [
        f"{lines.broken} of {total} lines of {name} are broken, more than {MAX_BROKEN:.0%}; see the first of"
        " them, and correct what writes them"
    ]


def catalogue_problems(items: CatalogueTally) -> list[str]:
    """What is wrong with a catalogue that is read by itself, or a part of it."""
    return [
        *items.broken_files,
        *([unread_problem(items.unread)] if items.unread else []),
        *([useless_problem(items)] if items.read and items.useless() else []),
        *broken_problems("the catalogue", items),
    ]


def data_problems(seen: Observed, method: MethodPlan) -> list[str]:
    """What is wrong with the content of batch and catalogue."""
    tally, items, settings = seen.sessions, seen.catalogue, method.settings
    problems = [*tally.broken_files, *items.broken_files]
    problems.extend(unread_problem(lines.unread) for lines in (tally, items) if lines.unread)
    problems.extend(useless_problem(lines) for lines in (tally, items) if lines.read and lines.useless())
    problems.extend(broken_problems("the batch", tally))
    problems.extend(broken_problems("the catalogue", items))
    if tally.read and tally.duplicates / tally.read > MAX_DUPLICATES:
        problems.append(
            f"{tally.duplicates} of {tally.read} lines of the batch repeat a session word for word (session_id, query,"
            f" results, time and clicks), more than {MAX_DUPLICATES:.0%}: a file may be there twice; correct what"
            " writes the batch"
        )
    if not items.items:
        problems.append(
            f"the catalogue at {seen.items_path} has no item that can be read; check the method's items.idField"
            " and items.textFields"
        )
    if not tally.read:
        problems.append("no session of the batch can be read")
    problems.extend(tally.problems)
    if items.items and tally.read:
        types = types_of(method.clickstream)
        problems.extend(
            _coverage_problems(tally, settings)
            or _nothing_to_tell_apart(tally)
            or _too_few(seen, types, settings)
            or metric_problems(seen.split, settings.objective)
        )
    return problems


def _coverage_problems(tally: SessionTally, settings: Settings) -> list[str]:
    least = MIN_COVERAGE if settings.min_coverage is None else settings.min_coverage
    if not tally.results:
        return ["no session of the batch shows any result: search_results is empty everywhere"]
    if tally.coverage >= least and tally.known:
        return []
    unknown = ", ".join(repr(text) for text in tally.unknown[:3])
    return [
        f"the catalogue knows {tally.known} of {tally.results} shown results ({tally.coverage:.0%}),"
        f" settings.minCoverage is {least:.0%}; unknown are for example {unknown}: check that object_id in the sessions"
        " and the items' id field speak of the same ids, or bring the catalogue up to date"
    ]


def _nothing_to_tell_apart(tally: SessionTally) -> list[str]:
    """Clicks that say nothing, because everything or nothing beside them was clicked."""
    if tally.choices and tally.chosen / tally.choices > MAX_CLICKED:
        events = named(tally.events.types.most_common())
        return [
            f"{tally.chosen} of {tally.choices} results of sessions with a click are clicked, more than"
            f" {MAX_CLICKED:.0%}: what was only shown counts as clicked, and nothing can be learned or measured; events"
            f" are {events}; name the types that are clicks in clickstream.eventTypes, and write all results of a"
            " search into search_results"
        ]
    if tally.usable and not tally.informative:
        return [
            f"none of {tally.usable} sessions with a click has a known result that was not clicked"
            f" ({tally.one_result} have one result, in {tally.all_clicked} all results are clicked): no model can be"
            " told from another by them; write all results that a search showed into search_results, not only those"
            " that were clicked"
        ]
    return []


def _too_few(seen: Observed, types: EventTypes, settings: Settings) -> list[str]:
    tally = seen.sessions
    least = MIN_SESSIONS if settings.min_sessions is None else settings.min_sessions
    if tally.usable < least:
        others = of_other_types(tally.events, types)
        do = f", or name the types that are clicks in clickstream.eventTypes: {others} do not count" if others else ""
        return [
            f"{tally.usable} of {tally.sessions} sessions have a click on a known item, settings.minSessions is"
            f" {least}; collect more clicks into one batch{do}"
        ]
    empty = [
        name
        for name, count in (
            ("training", clicked_sessions(seen.split.train)),
            ("validation", informative_sessions(seen.split.validation)),
        )
        if not count
    ]
    if empty:
        return [
            f"no session with a click, and with a result that was not clicked, is left for {' and '.join(empty)}:"
            f" sessions are split by query, and the batch has only {tally.queries} different"
            f" {'query' if tally.queries == 1 else 'queries'}; collect clicks on more queries"
        ]
    return []
