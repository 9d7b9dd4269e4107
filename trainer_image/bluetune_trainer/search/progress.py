"""How far a search is, from what is known of its trials. Time is given, so that tests need no clock."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bluetune_api.records import Progress, Trial
from bluetune_api.task import TrialSummary

TOP = 10


def by_quality(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that have a quality, best first; equal ones by number."""
    scored = [trial for trial in trials if trial.status == "ok" and trial.quality is not None]
    return sorted(scored, key=lambda trial: (-(trial.quality or 0.0), trial.trial))


def summarize(trial: Trial) -> TrialSummary:
    """What a task's status says of a trial."""
    return TrialSummary(trial=trial.trial, quality=trial.quality or 0.0, params=trial.params)


def search_progress(
    finished: Sequence[Trial],
    total: int,
    *,
    trial: int | None,
    share: float,
    epoch: int | None,
    elapsed: float,
    baseline: float | None,
    now: datetime | None = None,
) -> Progress:
    """Progress of a search with `total` trials, of which `trial` is at `share` of its steps after `elapsed` seconds.

    Trials end early by halving, so what is left is estimated by the mean time of those that ended.
    """
    done = len(finished)
    ranked = by_quality(finished)
    seconds = [t.seconds for t in finished]
    eta = None
    if seconds:
        mean = sum(seconds) / done
        eta = (
            round(max(mean - elapsed, 0.0) + mean * max(total - done - 1, 0))
            if trial is not None
            else round(mean * (total - done))
        )
    elif share > 0.02:
        eta = round(elapsed / share * (total - share))
    position = min((done + (share if trial is not None else 0.0)) / max(total, 1), 1.0)
    return Progress(
        stage="Searching",
        percent=int(100 * position),
        eta_seconds=eta,
        trials_done=done,
        trials_total=total,
        trial=trial,
        epoch=epoch,
        baseline=baseline,
        best=summarize(ranked[0]) if ranked else None,
        top_trials=[summarize(t) for t in ranked[:TOP]],
        updated_at=(now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
