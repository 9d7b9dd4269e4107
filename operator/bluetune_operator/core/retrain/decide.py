"""Whether a run of spec.retrain is due, what holds it back, and what becomes of its runs: pure functions of the status.

A run that is due is written into the status first, and its task is made after that, with a name that follows from model
and batch: whoever dies between the two, or does it twice, makes one task. A batch is open until a run has taken it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bluetune_api.base import seconds_of
from bluetune_api.batch_window import CompleteBatch
from bluetune_api.reasons import Reason
from bluetune_api.retrain import Outcome, Retrain, RetrainRun, RetrainStatus
from bluetune_operator.core.retrain.slots import ScheduleInvalid, check_schedules, last_slot, next_slot
from bluetune_operator.core.times import moment_of, stamp

WEEK = timedelta(days=7)
OFF: frozenset[Reason] = frozenset({"Suspended", "PausedAfterRefusals", "PausedAfterFailures"})
"""While one of these holds, the times of a schedule pass and are not made up for."""


@dataclass(frozen=True)
class Due:
    """A run is to be made."""

    batch_id: str
    trigger: Literal["NewBatch", "Schedule"]
    slot: datetime | None = None
    """Times up to this one are dealt with by it."""


@dataclass(frozen=True)
class Ask:
    """The batches of the store decide."""


@dataclass(frozen=True)
class Wait:
    """No run is to be made now."""

    reason: Reason
    message: str
    until: datetime | None = None
    """When there may be one; None: something else changes first, or a batch comes."""
    slot: datetime | None = None
    """Times up to this one passed without a run."""


@dataclass(frozen=True)
class Paused:
    """No run is to be made until a person does something."""

    reason: Reason
    message: str


Decision = Due | Ask | Wait | Paused


def decide(
    spec: Retrain,
    state: RetrainStatus,
    now: datetime,
    batches: Sequence[CompleteBatch] | None = None,
    *,
    held: Wait | None = None,
    busy: str | None = None,
) -> Decision:
    """What to do now.

    Args:
        spec: what the model declares.
        state: the status, as `begun` and `settled` left it.
        now: the time.
        batches: those that are open; None: the store was not asked yet.
        held: why a run would be in vain now, whatever is due.
        busy: the task of somebody else that holds the model.
    """
    if spec.suspend:
        return Paused("Suspended", "spec.retrain.suspend is true; unset it to go on")
    try:
        check_schedules(spec.triggers, now)
    except ScheduleInvalid as error:
        return Paused("ScheduleInvalid", str(error))
    if (paused := _paused(spec, state)) is not None:
        return paused
    at_work = next((run for run in state.runs or () if run.outcome is None), None)
    if at_work is not None:
        return Wait("RunInProgress", f"task {at_work.task} learns from batch {at_work.batch_id!r}")
    if busy is not None:
        return Wait("RunInProgress", f"task {busy} holds the model; the next run waits for its end")
    slot = last_slot(spec.triggers, _judged(state, now), now)
    new_batch = any(trigger.new_batch is not None for trigger in spec.triggers)
    brake = held or _brake(spec, state, now)
    if brake is not None:
        until = brake.until
        if until is not None and not new_batch:
            until = next_slot(spec.triggers, until - timedelta(seconds=1))
        return Wait(brake.reason, brake.message, until, slot)
    if not new_batch and slot is None:
        return _scheduled(spec, now)
    if batches is None:
        return Ask()
    if not batches:
        waiting = _scheduled(spec, now) if not new_batch else None
        return Wait(
            waiting.reason if waiting else "WaitingForBatch",
            (waiting.message if waiting else "a run begins when a batch is complete that nothing has learned from"),
            next_slot(spec.triggers, now),
            slot,
        )
    newest = max(batches, key=lambda batch: (batch.completed, batch.batch_id))
    return Due(newest.batch_id, "NewBatch" if slot is None else "Schedule", slot)


def _scheduled(spec: Retrain, now: datetime) -> Wait:
    until = next_slot(spec.triggers, now)
    text = f"the next time of the schedule is {stamp(until)}" if until is not None else "the schedule has no more times"
    return Wait("Scheduled", text, until)


def _paused(spec: Retrain, state: RetrainStatus) -> Paused | None:
    go_on = "see what its tasks say, then change spec.retrain.resume (any text, such as today's date)"
    refusals, failures = spec.brakes.pause_after_refusals, spec.brakes.pause_after_failures
    if state.failures >= failures:
        text = f"{state.failures} runs in a row failed (brakes.pauseAfterFailures={failures}); {go_on}"
        return Paused("PausedAfterFailures", text)
    if refusals is not None and state.refusals >= refusals:
        text = f"the gate refused {state.refusals} runs in a row (brakes.pauseAfterRefusals={refusals}); {go_on}"
        return Paused("PausedAfterRefusals", text)
    return None


def _brake(spec: Retrain, state: RetrainStatus, now: datetime) -> Wait | None:
    """The brake that holds longest."""
    brakes, found = spec.brakes, list[Wait]()
    made = sorted(moment_of(run.created_at) for run in state.runs or ())
    within = [moment for moment in made if moment > now - WEEK]
    if len(within) >= brakes.max_runs_per_week:
        until = within[-brakes.max_runs_per_week] + WEEK
        text = f"{len(within)} runs began in the last seven days (brakes.maxRunsPerWeek={brakes.max_runs_per_week})"
        found.append(Wait("BudgetSpent", f"{text}; the next may begin at {stamp(until)}", until))
    if brakes.gpu_hours_per_week is not None and (spent := gpu_hours(state, now)) >= brakes.gpu_hours_per_week:
        until = _hours_free_at(state, now, brakes.gpu_hours_per_week)
        text = (
            f"runs of the last seven days took {spent:.1f} hours of GPUs"
            f" (brakes.gpuHoursPerWeek={brakes.gpu_hours_per_week:g})"
        )
        found.append(Wait("BudgetSpent", f"{text}; the next may begin at {stamp(until)}", until))
    if brakes.cooldown is not None and made:
        until = made[-1] + timedelta(seconds=seconds_of(brakes.cooldown))
        if until > now:
            text = f"the last run began at {stamp(made[-1])} (brakes.cooldown={brakes.cooldown})"
            found.append(Wait("CoolingDown", f"{text}; the next may begin at {stamp(until)}", until))
    return max(found, key=lambda wait: wait.until or now, default=None)


def _spent(state: RetrainStatus, now: datetime) -> list[tuple[datetime, float]]:
    ended = ((moment_of(run.ended_at), run.gpu_hours or 0.0) for run in state.runs or () if run.ended_at is not None)
    return sorted((moment, hours) for moment, hours in ended if moment > now - WEEK)


def gpu_hours(state: RetrainStatus, now: datetime) -> float:
    """Hours of GPUs that runs took that ended in the last seven days."""
    return sum(hours for _, hours in _spent(state, now))


def _hours_free_at(state: RetrainStatus, now: datetime, limit: float) -> datetime:
    left = gpu_hours(state, now)
    for moment, hours in _spent(state, now):
        left -= hours
        if left < limit:
            return moment + WEEK
    return now


def _judged(state: RetrainStatus, now: datetime) -> datetime:
    return moment_of(state.judged) if state.judged is not None else now


def begun(spec: Retrain, state: RetrainStatus | None, now: datetime, before: str | None) -> RetrainStatus:
    """The status to decide by: what is new in the spec is noted, and runs that no brake counts any more are dropped.

    Args:
        spec: what the model declares.
        state: the status as written last.
        now: the time.
        before: reason of `Retraining` as written last.
    """
    state = state or RetrainStatus()
    triggers = hashlib.sha256(json.dumps([t.wire() for t in spec.triggers]).encode()).hexdigest()[:16]
    if spec.resume != state.resume:
        state = state.model_copy(update={"resume": spec.resume, "refusals": 0, "failures": 0})
    goes_on = before in OFF and not spec.suspend and _paused(spec, state) is None
    if state.judged is None or state.triggers != triggers or goes_on:
        state = state.model_copy(update={"judged": stamp(now), "triggers": triggers})
    runs = sorted(state.runs or (), key=lambda run: (run.created_at, run.task))
    kept = [run for run in runs if counts(run, now) or run is runs[-1]]  # a cooldown may be longer than a week
    return state.model_copy(update={"runs": kept or None})


def counts(run: RetrainRun, now: datetime) -> bool:
    """Whether a run is at work, or of the last seven days."""
    moments = [moment_of(text) for text in (run.created_at, run.ended_at) if text is not None]
    return run.outcome is None or max(moments) > now - WEEK


def shown(state: RetrainStatus, decision: Decision, now: datetime) -> RetrainStatus:
    """The status with what people see of a decision."""
    runs = state.runs or ()
    until = decision.until if isinstance(decision, Wait) else None
    update: dict[str, object] = {
        "next_run_time": stamp(until) if until is not None else None,
        "last_run_time": runs[-1].created_at if runs else None,
        "last_task": runs[-1].task if runs else None,
        "runs_this_week": sum(moment_of(run.created_at) > now - WEEK for run in runs),
        "gpu_hours_this_week": round(gpu_hours(state, now), 3),
    }
    state = state.model_copy(update=update)
    return with_slot(state, decision.slot) if isinstance(decision, Wait) else state


def with_run(state: RetrainStatus, due: Due, *, task: str, gpus: int, now: datetime) -> RetrainStatus:
    """With a run that is due, whose task is to be made."""
    run = RetrainRun(task=task, batch_id=due.batch_id, trigger=due.trigger, created_at=stamp(now), gpus=gpus)
    return with_slot(state.model_copy(update={"runs": [*(state.runs or ()), run]}), due.slot)


def with_slot(state: RetrainStatus, slot: datetime | None) -> RetrainStatus:
    """With the times up to one dealt with."""
    return state if slot is None else state.model_copy(update={"judged": stamp(slot)})


def with_uid(state: RetrainStatus, task: str, uid: str) -> RetrainStatus:
    """With a run's task made."""
    runs = [run.model_copy(update={"uid": uid}) if run.task == task else run for run in state.runs or ()]
    return state.model_copy(update={"runs": runs})


def without_run(state: RetrainStatus, task: str) -> RetrainStatus:
    """Without a run whose task was never made."""
    return state.model_copy(update={"runs": [run for run in state.runs or () if run.task != task] or None})


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    outcome: Outcome
    at: datetime
    training_seconds: float = 0.0


def settled(state: RetrainStatus, task: str, ended: Ended) -> RetrainStatus:
    """With a run's end. One that trained nothing for want of sessions counts as no run."""
    if ended.outcome == "TooFewSessions":
        return without_run(state, task)

    def with_end(run: RetrainRun) -> RetrainRun:
        hours = round(ended.training_seconds / 3600 * run.gpus, 3)
        return run.model_copy(update={"outcome": ended.outcome, "ended_at": stamp(ended.at), "gpu_hours": hours})

    runs = [with_end(run) if run.task == task else run for run in state.runs or ()]
    refusals, failures = state.refusals, state.failures
    if ended.outcome in ("Promoted", "Published"):
        refusals, failures = 0, 0
    elif ended.outcome == "Refused":
        refusals, failures = refusals + 1, 0
    elif ended.outcome == "Undecided":
        failures = 0
    elif ended.outcome == "Failed":
        failures += 1
    return state.model_copy(update={"runs": runs, "refusals": refusals, "failures": failures})


def batch_digest(batch_id: str) -> str:
    """What names a batch in keys of the store."""
    return hashlib.sha256(batch_id.encode()).hexdigest()


def task_name(model: str, model_uid: str, batch_id: str, min_sessions: int | None) -> str:
    """Name of the task that learns from a batch. A model that was made again has other ones.

    The minimum is part of it: a batch that was too small is tried again once the minimum is smaller.
    """
    parts = json.dumps([model_uid, batch_id, min_sessions])
    return f"{model}-{hashlib.sha256(parts.encode()).hexdigest()[:9]}"


@dataclass(frozen=True)
class Handled:
    """What runs of spec.retrain have done with batches, by the digests of their ids."""

    done: frozenset[str] = frozenset()
    """The batches that a run has taken."""
    small: Mapping[str, int] | None = None
    """Informative sessions of those that were too small."""

    def closes(self, batch_id: str, min_sessions: int | None) -> bool:
        """Whether a batch is not open."""
        digest = batch_digest(batch_id)
        sessions = (self.small or {}).get(digest)
        return digest in self.done or (sessions is not None and min_sessions is not None and sessions < min_sessions)


def open_batches(
    complete: Iterable[CompleteBatch],
    learned: frozenset[str],
    handled: Handled,
    taken: frozenset[str],
    min_sessions: int | None,
) -> list[CompleteBatch]:
    """Batches that a run may learn from.

    Args:
        complete: of the store.
        learned: what the live version has learned from.
        handled: what earlier runs have done.
        taken: batches of tasks that people made, which are at work or ended well.
        min_sessions: `spec.retrain.minSessions`.
    """
    return [
        batch
        for batch in complete
        if batch.batch_id not in learned
        and batch.batch_id not in taken
        and not handled.closes(batch.batch_id, min_sessions)
    ]
