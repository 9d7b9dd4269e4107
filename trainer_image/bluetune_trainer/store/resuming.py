"""Going on from an earlier run: what it finished is copied into the run's own folder, once, before anything is trained.

A copy stays whatever becomes of the earlier run's folder. The record of it is written last: an attempt that dies before
that copies again, and no trial of the run's own has begun.
"""

import logging
import tempfile
from contextlib import suppress
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectNotFound, ObjectStore
from bluetune_api.records import CheckReport, Plan, Resumed, Trial
from bluetune_api.resuming import differences
from bluetune_api.task import EarlierRun
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.runs import StoredTrials, create, read, read_check

log = logging.getLogger(__name__)

INPUTS = ("batch", "replay", "items")
"""What trials were trained on, as the check has pinned it."""
QRELS = ".qrels"


def take_over(store: ObjectStore, plan: Plan, checked: CheckReport) -> Resumed | None:
    """Copy what the run that a plan goes on from has finished; None if it goes on from none.

    Raises:
        PlanInvalid: that run followed another plan or other data, or is not in the store.
        StoreDamaged: its trials cannot be read, or its best model is not whole.
    """
    if plan.resume_from is None:
        return None
    uid = plan.owner.uid
    done = read(store, store_layout.resumed(uid), Resumed)
    if done is not None:
        return done
    earlier = _with_trials(store, plan, plan.resume_from)
    _same_data(store, plan, checked, earlier)
    for key in (store_layout.lineage, store_layout.precision):
        with suppress(ObjectNotFound):
            store.create(key(uid), store.get(key(earlier.uid)))
    theirs, ours = StoredTrials(store, earlier.uid), StoredTrials(store, uid)
    ended, waiting = theirs.finished(), theirs.waiting()
    with tempfile.TemporaryDirectory(prefix="bluetune-resume-") as temporary:
        for number in _checkpoints(store, earlier) - {trial.trial for trial in ended}:
            path = Path(temporary) / f"{number}.safetensors"
            theirs.fetch_checkpoint(number, path)
            if path.exists():
                ours.keep_checkpoint(number, path)
                path.unlink()
        for trial in waiting:
            ours.record_rung(trial)
        best = _best(ended)
        for trial in ended:
            model = None
            if trial is best:
                model = Path(temporary) / "best"
                model.mkdir()
                theirs.fetch_best(trial.trial, model)
            ours.record(trial, model)
    record = Resumed(earlier=earlier, trials=len(ended), waiting=len(waiting))
    record = create(store, store_layout.resumed(uid), record)
    log.info(
        "goes on from an earlier run",
        extra={"task": earlier.task, "run": earlier.uid, "trials": record.trials, "waiting": record.waiting},
    )
    return record


def _best(ended: list[Trial]) -> Trial | None:
    """The trial whose model the earlier run keeps."""
    ranked = sorted((trial for trial in ended if trial.quality is not None), key=lambda trial: trial.rank())
    return ranked[0] if ranked else None


def _with_trials(store: ObjectStore, plan: Plan, earlier: EarlierRun) -> EarlierRun:
    """The run whose folder has the trials: one that died before it had taken over another's has none of them."""
    seen: set[str] = set()
    while True:
        stored = read(store, store_layout.plan(earlier.uid), Plan)
        if stored is None or earlier.uid in seen:
            where = store.uri(store_layout.plan(earlier.uid))
            raise _refused(f"task {earlier.task!r} left nothing to go on from: {where} does not exist")
        if found := differences(stored, plan):
            raise _refused(f"the run of task {earlier.task!r} followed another plan: {found}")
        before = stored.resume_from
        if before is None or store.stat(store_layout.resumed(earlier.uid)) is not None:
            return earlier
        seen.add(earlier.uid)
        earlier = before


def _same_data(store: ObjectStore, plan: Plan, checked: CheckReport, earlier: EarlierRun) -> None:
    """Raises PlanInvalid if trials of the earlier run have learned from other data."""
    then = read_check(store, earlier.uid)
    if then is None:
        where = store.uri(store_layout.check(earlier.uid))
        raise _refused(f"what task {earlier.task!r} was trained on is not known: {where} does not exist")
    for name in INPUTS:
        before, now = getattr(then, name) or [], getattr(checked, name) or []
        if before != now:
            key = next(iter({one.key for one in before} ^ {one.key for one in now}), None)
            key = key or next(b.key for b, n in zip(before, now, strict=True) if b != n)
            raise _refused(f"{store.uri(key)} has changed since task {earlier.task!r} read it")
    path = plan.gate.judgments
    kept = store.stat(store_layout.plan(earlier.uid))
    if path is None or kept is None:
        return
    for info in store.list(path.removesuffix(QRELS)):
        if info.modified > kept.modified:
            raise _refused(f"{store.uri(info.key)} (gate.judgments) has changed since task {earlier.task!r} began")


def _checkpoints(store: ObjectStore, earlier: EarlierRun) -> set[int]:
    names = (Path(info.key).stem for info in store.list(store_layout.checkpoints(earlier.uid)))
    return {int(name) for name in names if name.isdecimal()}


def _refused(why: str) -> PlanInvalid:
    return PlanInvalid(f"spec.resumeFrom: {why}; start a task without resumeFrom", reason="ResumeRefused")
