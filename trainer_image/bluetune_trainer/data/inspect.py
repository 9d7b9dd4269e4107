"""The check's report of a batch, and its messages."""

from bluetune_api.model import Gate
from bluetune_api.records import CheckReport, MethodPlan
from bluetune_trainer.data.clicks import rfc3339
from bluetune_trainer.data.event_types import types_of
from bluetune_trainer.data.notes import catalogue_notes, event_counts, notes
from bluetune_trainer.data.problems import Observed, batch_problems, data_problems
from bluetune_trainer.data.sight import sight_of
from bluetune_trainer.data.tally import FIRST


def report(seen: Observed, method: MethodPlan, gate: Gate) -> CheckReport:
    """check.json of a batch. `gate` is what will be asked of a model that learns from it."""
    problems = batch_problems(seen) or data_problems(seen, method)
    tally, types = seen.sessions, types_of(method.clickstream)
    sight = sight_of(seen.split, gate)
    return CheckReport(
        valid=not problems,
        problems=problems,
        notes=[*notes(tally, types, method.clickstream), *catalogue_notes(seen.catalogue), *sight.notes],
        batch_id=seen.batches[0],
        batches=list(seen.batches) if len(seen.batches) > 1 else None,
        format=tally.format,
        batch=seen.batch,
        items=seen.items,
        sessions=tally.sessions,
        sessions_with_clicks=tally.with_clicks,
        positives=tally.positives,
        results=tally.results,
        coverage=round(tally.coverage, 4),
        informative_sessions=tally.informative,
        all_clicked_sessions=tally.all_clicked,
        one_result_sessions=tally.one_result,
        queries=tally.queries,
        smallest_gain=sight.smallest_gain,
        largest_query_share=round(tally.most_frequent / tally.sessions, 4) if tally.sessions else 0,
        clicks_by_place=tally.clicks_by_place,
        event_types=event_counts(tally.events, types),
        events_without_object=tally.events.without_object,
        clicks_not_shown=tally.clicks_not_shown,
        clicks_without_list=tally.clicks_without_list,
        duplicates=tally.duplicates,
        merged=tally.merged,
        capped_sessions=tally.capped,
        ranks_ignored=tally.ranks_ignored,
        broken_lines=tally.broken + seen.catalogue.broken,
        offences=(tally.offences + seen.catalogue.offences)[:FIRST],
        unknown_items=[text.encode(errors="replace").decode() for text in tally.unknown],
        catalogue_size=seen.catalogue.items,
        item_updates=seen.catalogue.updates,
        item_deletions=seen.catalogue.deletions,
        first=None if tally.first is None else rfc3339(tally.first),
        last=None if tally.last is None else rfc3339(tally.last),
    )


def in_one_line(checked: CheckReport) -> str:
    """Counts of a batch, in one line."""
    gain = checked.smallest_gain
    sees = f"; the gate sees a gain of {gain:.3f} in NDCG@10 four times in five" if gain is not None else ""
    return (
        f"{checked.sessions} sessions, {checked.sessions_with_clicks} with clicks, {checked.duplicates} duplicates,"
        f" {checked.broken_lines} broken lines, {checked.coverage:.0%} of results known,"
        f" {checked.informative_sessions} informative sessions of {checked.queries} different queries{sees}"
    )


def in_short(checked: CheckReport) -> str:
    """A failed check as a message: problems, counts and the first offences."""
    lines = [". ".join(problem[0].upper() + problem[1:] for problem in checked.problems) + "."]
    named = f"Batch {checked.batch_id}"
    if checked.batches is not None:
        named += f" and {len(checked.batches) - 1} more"
    lines.append(f"{named}: {in_one_line(checked)}.")
    lines.extend(note[0].upper() + note[1:] + "." for note in checked.notes)
    if checked.offences:
        lines.append("First broken lines:")
        lines.extend(f"  {o.key}:{o.line}: {o.problem}" for o in checked.offences)
    return "\n".join(lines)
