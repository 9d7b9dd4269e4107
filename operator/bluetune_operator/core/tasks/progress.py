"""The trainer's progress as people see it, and whether it is worth a write."""

from bluetune_api.base import Metrics
from bluetune_api.records import Progress, Result
from bluetune_api.task import FineTuningTaskStatus, TaskProgress, TrialSummary
from bluetune_operator.core.times import moment_of
from bluetune_operator.core.untrusted import NAME_CHARACTERS, clean, count, parameters

TOP_TRIALS = 10
POLL_SECONDS, POLLS_A_SECOND = 2.0, 10.0
"""How often progress is read: of one trainer, and of all of them together."""
HEARTBEAT_SECONDS = 60.0
"""`updatedAt` alone is written this often at most."""
ETA_CHANGE = 0.25
"""An estimate that changed by less than this share is the same to people."""


def poll_seconds(running: int) -> float:
    """How long until a trainer's progress is read again, so that `running` of them cost no more than a few."""
    return max(POLL_SECONDS, running / POLLS_A_SECOND)


def duration_text(seconds: int) -> str:
    """45s, 3m, 2h10m"""
    if seconds < 60:
        return f"{seconds}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def task_progress(progress: Progress) -> TaskProgress:
    """What of a trainer's progress goes into the status."""
    eta = count(progress.eta_seconds) if progress.eta_seconds is not None else None
    done, total = count(progress.trials_done), count(progress.trials_total)
    left = f", {duration_text(eta)} left" if eta is not None and progress.percent < 100 else ""
    return TaskProgress(
        percent=progress.percent,
        eta_seconds=eta,
        trials_done=done,
        trials_total=total,
        epoch=count(progress.epoch) if progress.epoch is not None else None,
        stage=progress.stage,
        trials=f"{done}/{total}" if total else None,
        summary=f"{progress.percent}%{left}",
        updated_at=progress.updated_at,
    )


def shown(trial: TrialSummary | None) -> TrialSummary | None:
    """A trial as people read it; the store keeps every digit."""
    if trial is None:
        return None
    return TrialSummary(trial=count(trial.trial), quality=round(trial.quality, 4), params=parameters(trial.params))


def shown_metrics(metrics: Metrics | None) -> Metrics | None:
    """Metrics as people read them."""
    return {clean(name, NAME_CHARACTERS): round(value, 4) for name, value in metrics.items()} if metrics else None


def _top(trials: list[TrialSummary]) -> list[TrialSummary] | None:
    return [each for trial in trials[:TOP_TRIALS] if (each := shown(trial)) is not None] or None


def is_visible_change(old: TaskProgress | None, new: TaskProgress) -> bool:
    """Whether people would see a difference, or `updatedAt` is too old to be believed."""
    if old is None:
        return True
    same = ("percent", "trials_done", "trials_total", "epoch", "stage")
    if any(getattr(old, field) != getattr(new, field) for field in same):
        return True
    if (old.eta_seconds is None) != (new.eta_seconds is None):
        return True
    if old.eta_seconds is not None and new.eta_seconds is not None:
        larger = max(old.eta_seconds, new.eta_seconds)
        if larger > 30 and abs(old.eta_seconds - new.eta_seconds) > ETA_CHANGE * larger:
            return True
    return (moment_of(new.updated_at) - moment_of(old.updated_at)).total_seconds() >= HEARTBEAT_SECONDS


def with_progress(status: FineTuningTaskStatus, progress: Progress) -> FineTuningTaskStatus:
    """The status with a trainer's progress; the same object if nothing that people see has changed."""
    new = task_progress(progress)
    best, top = shown(progress.best), _top(progress.top_trials)
    trials_changed = (best is not None and best != status.best) or (top is not None and top != status.top_trials)
    if not trials_changed and not is_visible_change(status.progress, new):
        return status
    return status.model_copy(
        update={"progress": new, "best": best or status.best, "top_trials": top or status.top_trials}
    )


def without_time_left(progress: TaskProgress) -> TaskProgress:
    """Progress of a task that has ended: how far it came."""
    return progress.model_copy(update={"eta_seconds": 0, "summary": f"{progress.percent}%"})


def came_further(first: Progress | None, last: Progress | None) -> bool:
    """Whether a run is further at the end of a later attempt than at that of an earlier one."""
    if last is None:
        return False
    return first is None or (last.trials_done, last.percent) > (first.trials_done, first.percent)


def finished_progress(status: FineTuningTaskStatus, result: Result, now: str) -> TaskProgress:
    """100 %, with the result's count of trials."""
    done = count(result.trials_done)
    total = max(done, status.progress.trials_total if status.progress else 0)
    return TaskProgress(
        percent=100,
        eta_seconds=0,
        trials_done=done,
        trials_total=total,
        stage="Done",
        trials=f"{done}/{total}",
        summary="100%",
        updated_at=now,
    )


def best_of(result: Result) -> tuple[TrialSummary | None, list[TrialSummary] | None]:
    """Best and top trials of a result."""
    return shown(result.best), _top(result.top_trials)
