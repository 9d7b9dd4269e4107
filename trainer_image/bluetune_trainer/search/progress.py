"""How far a search is, from what is known of its trials. Time is given, so that tests need no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bluetune_api.records import Progress, Trial
from bluetune_api.task import TrialSummary

TOP = 10


@dataclass(frozen=True)
class Work:
    """What a search has done and has before it, in full trainings."""

    done: float
    seconds: float
    """Seconds that `done` took."""
    left: float


def by_quality(finished: Sequence[Trial], waiting: Sequence[Trial] = ()) -> list[Trial]:
    """Trials that have a quality, by their rank."""
    ranked = [*((trial.rank(), trial) for trial in finished), *((trial.rank(ended=False), trial) for trial in waiting)]
    ranked.sort(key=lambda each: each[0])
    return [trial for _, trial in ranked if trial.status == "ok" and trial.quality is not None]


def summarize(trial: Trial) -> TrialSummary:
    """What a task's status says of a trial."""
    return TrialSummary(trial=trial.trial, quality=trial.quality or 0.0, params=trial.params)


def search_progress(
    finished: Sequence[Trial],
    waiting: Sequence[Trial],
    total: int,
    work: Work,
    *,
    trial: int | None,
    epoch: int | None,
    baseline: float | None,
    now: datetime | None = None,
) -> Progress:
    """Progress of a search with `total` trials, of which `trial` runs.

    `best` is the best of those that trained to their end, which only rises: what a trial had at a rung may fall as it
    trains on, and one that halving took out is not to be published. In `top_trials` both follow, by what they had at
    their last rung. The time left is what the work left
    takes at the pace so far, once a fiftieth of a training says what that is.
    """
    ranked = by_quality(finished, waiting)
    best = next((trial for trial in by_quality(finished) if not trial.pruned), None)
    whole = work.done + work.left
    return Progress(
        stage="Searching",
        percent=int(100 * work.done / whole) if work.left > 0 else 100,
        eta_seconds=round(work.seconds / work.done * work.left) if work.done > 0.02 else None,
        trials_done=len(finished),
        trials_total=total,
        trial=trial,
        epoch=epoch,
        baseline=baseline,
        best=summarize(best) if best else None,
        top_trials=[summarize(t) for t in ranked[:TOP]],
        updated_at=(now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
