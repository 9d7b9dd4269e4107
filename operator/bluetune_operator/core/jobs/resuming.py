"""Jobs that others suspend: the operator resumes such a Job a few times, later each time, and then leaves it alone.

Kueue with `manageJobsWithoutQueueName` suspends every Job that has no queue. Without an end, the two would write the
Job for as long as both live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bluetune_operator.core.kinds import name_of
from bluetune_operator.core.times import moment_of, seconds_since, stamp

RESUMED = "bluetune.dev/resumed"
"""Annotation of a Job that the operator has resumed, and not suspended since: how often in a row, and when last. On a
Job that is suspended, it tells that somebody else suspended it."""
MAX_RESUMES = 6
"""Maximum number of resumes in a row: the first one, and five after others have suspended the Job."""
FIRST_SECONDS = 10.0
"""Wait before the second resume; each further one waits twice as long."""


@dataclass(frozen=True)
class Undone:
    """Somebody else has suspended the Job."""

    message: str
    left: float | None
    """Seconds until it may be resumed again; None: never by the operator."""


def undone(job: Mapping[str, Any], now: datetime) -> Undone | None:
    """What to do about a suspended Job that should run: None is to resume it now."""
    times, last = _resumed(job)
    if times == 0:
        return None
    name = name_of(job)
    said = f"another controller has suspended Job {name!r}, as Kueue does with Jobs that have no queue"
    if times >= MAX_RESUMES:
        advice = f"cancel the task and give a new one a queueName, or resume it: {resume_command(name)}"
        return Undone(f"{said}; it was resumed {times} times, and is left alone now: {advice}", None)
    left = FIRST_SECONDS * 2 ** (times - 1) - seconds_since(last, now)
    again = "it is resumed again, later each time; set spec.queueName of the model or the task if Kueue is to run it"
    return Undone(f"{said}; {again}", left) if left > 0 else None


def resume_command(job: str) -> str:
    """How a person resumes a Job."""
    return f"kubectl patch job {job} --type=merge -p " + """'{"spec":{"suspend":false}}'"""


def resumed_once_more(job: Mapping[str, Any], now_stamp: str) -> str:
    """The annotation's value for a Job that is being resumed."""
    times, _ = _resumed(job)
    return f"{times + 1} {now_stamp}"


def _resumed(job: Mapping[str, Any]) -> tuple[int, str]:
    times, _, last = str((job["metadata"].get("annotations") or {}).get(RESUMED) or "").partition(" ")
    try:
        return int(times), stamp(moment_of(last))
    except ValueError:  # somebody edited it
        return 0, ""
