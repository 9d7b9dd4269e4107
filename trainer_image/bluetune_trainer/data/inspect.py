"""Whether a batch is worth training on: sentences that say what to do, from what was counted."""

from dataclasses import dataclass

from bluetune_api import store_layout
from bluetune_api.method import Settings
from bluetune_api.records import CheckReport, PinnedObject
from bluetune_trainer.data.clicks import rfc3339
from bluetune_trainer.data.measurable import metric_problems
from bluetune_trainer.data.splits import clicked_sessions
from bluetune_trainer.data.tally import FIRST, Lines, SessionTally
from bluetune_trainer.data.types import Split

MIN_SESSIONS = 20
"""Preset of settings.minSessions."""
MIN_COVERAGE = 0.5
"""Preset of settings.minCoverage."""
MAX_BROKEN = 0.1
"""A larger share of broken lines says that whatever wrote them is broken."""


@dataclass(frozen=True)
class Observed:
    """All that was seen of a batch and its catalogue."""

    batch_id: str
    items_path: str
    marker: bool
    """Whether `_SUCCESS` is there."""
    batch: list[PinnedObject]
    items: list[PinnedObject]
    sessions: SessionTally
    catalogue: Lines
    split: Split
    gate_metric: str | None = None
    """serving.gate.metric, where the gate judges by clicks."""


def report(seen: Observed, settings: Settings) -> CheckReport:
    """check.json of a batch."""
    problems = batch_problems(seen) or data_problems(seen, settings)
    tally = seen.sessions
    return CheckReport(
        valid=not problems,
        problems=problems,
        batch_id=seen.batch_id,
        batch=seen.batch,
        items=seen.items,
        sessions=tally.read,
        sessions_with_clicks=tally.with_clicks,
        positives=tally.positives,
        results=tally.results,
        coverage=round(tally.coverage, 4),
        duplicates=tally.duplicates,
        broken_lines=tally.broken + seen.catalogue.broken,
        offences=(tally.offences + seen.catalogue.offences)[:FIRST],
        unknown_items=[text.encode(errors="replace").decode() for text in tally.unknown],
        catalogue_size=seen.catalogue.read,
        first=None if tally.first is None else rfc3339(tally.first),
        last=None if tally.last is None else rfc3339(tally.last),
    )


def batch_problems(seen: Observed) -> list[str]:
    """What is wrong with the batch as a set of objects; if anything is, its content says nothing more."""
    folder = store_layout.batch(seen.batch_id)
    if not seen.batch:
        return [f"there are no sessions in {folder}: put *.jsonl, *.jsonl.gz, *.jsonl.zst or *.parquet files there"]
    if not seen.marker:
        marker = store_layout.batch_marker(seen.batch_id)
        return [f"the batch is not complete: {marker} is missing; write it (empty) after the batch's last file"]
    if not seen.items:
        return [f"there is no catalogue at {seen.items_path}: put the items there, or set the method's items.path"]
    return []


def data_problems(seen: Observed, settings: Settings) -> list[str]:
    """What is wrong with the content of batch and catalogue."""
    tally, items = seen.sessions, seen.catalogue
    problems = [*tally.broken_files, *items.broken_files]
    for name, lines in (("the batch", tally), ("the catalogue", items)):
        total = lines.broken + lines.read
        if total and lines.broken / total > MAX_BROKEN:
            problems.append(
                f"{lines.broken} of {total} lines of {name} are broken, more than {MAX_BROKEN:.0%}; see the first of"
                " them, and correct what writes them"
            )
    if not items.read:
        problems.append(
            f"the catalogue at {seen.items_path} has no item that can be read; check the method's items.idField"
            " and items.textFields"
        )
    if not tally.read:
        problems.append("no session of the batch can be read")
    if items.read and tally.read:
        problems.extend(
            _coverage_problems(tally, settings)
            or _too_few(seen, settings)
            or metric_problems(seen.split, settings.objective, seen.gate_metric)
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


def _too_few(seen: Observed, settings: Settings) -> list[str]:
    usable = seen.sessions.usable
    least = MIN_SESSIONS if settings.min_sessions is None else settings.min_sessions
    if usable < least:
        return [
            f"{usable} of {seen.sessions.read} sessions have a click on a known item, settings.minSessions is {least};"
            " collect more clicks into one batch"
        ]
    empty = [
        name
        for name, part in (("training", seen.split.train), ("validation", seen.split.validation))
        if not clicked_sessions(part)
    ]
    if empty:
        queries = len(set(seen.split.train.queries) | set(seen.split.validation.queries) | set(seen.split.gate.queries))
        return [
            f"no session with a click is left for {' and '.join(empty)}: sessions are split by query, and the batch"
            f" has only {queries} different {'query' if queries == 1 else 'queries'}; collect clicks on more queries"
        ]
    return []


def in_one_line(checked: CheckReport) -> str:
    """Counts of a batch, in one line."""
    return (
        f"{checked.sessions} sessions, {checked.sessions_with_clicks} with clicks, {checked.duplicates} duplicates,"
        f" {checked.broken_lines} broken lines, {checked.coverage:.0%} of results known"
    )


def in_short(checked: CheckReport) -> str:
    """A failed check as a message: problems, counts and the first offences."""
    lines = [". ".join(problem[0].upper() + problem[1:] for problem in checked.problems) + "."]
    lines.append(f"Batch {checked.batch_id}: {in_one_line(checked)}.")
    if checked.offences:
        lines.append("First broken lines:")
        lines.extend(f"  {o.key}:{o.line}: {o.problem}" for o in checked.offences)
    return "\n".join(lines)
