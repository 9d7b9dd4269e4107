"""Steps that end a run: cancel, the result, the gate, the rollout."""

import logging

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModel
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, RecordProblem, read_record
from bluetune_api.reasons import Reason
from bluetune_api.records import Result, Trial, digest_of
from bluetune_api.task import TaskMetrics, TrialSummary
from bluetune_operator.adapters.store import StoreProblem
from bluetune_operator.core.kinds import (
    JOBS,
    MODELS,
    PODS,
    TASK_UID_LABEL,
    TASKS,
    labels_of,
    uid_of,
)
from bluetune_operator.core.references import Problem, parsed
from bluetune_operator.core.rollout.choice import compared_with_another
from bluetune_operator.core.tasks.cancel import best_trial, cancel_message, cancel_verdict
from bluetune_operator.core.tasks.gate import promotion
from bluetune_operator.core.tasks.progress import best_of, finished_progress, shown, shown_metrics
from bluetune_operator.core.times import stamp
from bluetune_operator.reconciler.tasks.admission import expired, still_held
from bluetune_operator.reconciler.tasks.batch import remember
from bluetune_operator.reconciler.tasks.key import forfeit
from bluetune_operator.reconciler.tasks.run import JOB_NAMES, Run, Stay, own_job
from bluetune_operator.reconciler.tasks.store import store_of, store_trouble, too_new
from bluetune_operator.reconciler.tasks.troubles import delete_unfinished

logger = logging.getLogger(__name__)

ROLLOUT_SECONDS = 15.0
"""The model's events tell how its rollout goes; this is for what gets lost."""
KEY_SECONDS = 60.0
"""How soon to try again to forfeit a result in a store that does not answer."""
BEST_FOLDERS = 8
"""A trainer keeps one model, and for a moment two; whoever writes more is no trainer."""
STOPPING_SECONDS = 5.0
"""The end of a pod is an event; this is for one that never comes."""


async def ended(run: Run) -> Stay | None:
    """A task that has ended does nothing but forfeit its result, if it failed, and go when its time is over.

    A Job that was created just when the task was cancelled goes too: it would never release the lock.
    """
    if not run.draft.ended:
        return None
    left = expired(run)
    for stage in JOB_NAMES:
        await delete_unfinished(run, stage)
    if run.draft.holds("Failed") and run.task.spec.idempotency_key is not None:
        try:
            await forfeit(run)
        except (StoreProblem, StoreError):
            if left != 0:  # a store that is gone for good keeps no task
                return Stay(KEY_SECONDS if left is None else min(left, KEY_SECONDS))
    if left == 0:
        await run.context.kube.delete(TASKS, run.namespace, run.name, uid=run.uid)
        return Stay()
    return Stay(left)


async def cancelled(run: Run) -> Stay | None:
    """Cancel: stop the Jobs (the trainer saves the best trial in its grace period), keep the record."""
    if not run.task.spec.cancel:
        return None
    asked = run.draft.reason_of("Promoted") == "RolloutRequested"
    model = await _live_model(run) if asked else None
    if isinstance(model, Problem):  # whether blue serves the version cannot be told
        run.draft.now_doing("Deploying", "Cancelling", f"cancelled by spec.cancel; {model.message}", stalled=True)
        return Stay(ROLLOUT_SECONDS)
    for stage in JOB_NAMES:
        job = await own_job(run, stage)
        if job is not None:
            await run.context.kube.delete(JOBS, run.namespace, run.child(stage), uid=uid_of(job))
    pods = run.context.cache.of_task(PODS, run.namespace, run.name)
    verdict = cancel_verdict(
        task_uid=run.uid,
        asked=asked,
        version=run.draft.status.best_model_id,
        model=model.status if model is not None else None,
        pods=[pod for pod in pods if labels_of(pod).get(TASK_UID_LABEL) == run.uid],
        now=run.draft.now,
    )
    if verdict == "TooLate":
        return None  # blue serves the version: `promote` ends the task as the success that it is
    if verdict == "GoingBack":
        run.draft.now_doing("Deploying", "Cancelling", "cancelled by spec.cancel; blue goes back to its version before")
        return Stay(ROLLOUT_SECONDS)
    if verdict == "Stopping":
        run.draft.now_doing("Running", "Cancelling", "cancelled by spec.cancel; the trainer saves what it has")
        return Stay(STOPPING_SECONDS)
    if asked:
        run.draft.say("Promoted", False, "Cancelled", "cancelled before the rollout was done")
        message = f"cancelled by spec.cancel; {run.draft.status.best_model_id} is published and was not rolled out"
        run.draft.fail("Cancelled", message, phase="Cancelled")
        return Stay()
    trained = run.draft.reason_of("Trained") is not None
    best, kept_at = await _best_kept(run) if trained else (None, None)
    if best is not None:
        run.draft.set(best=shown(best))
    message = cancel_message(trained=trained, best=best, kept_at=kept_at)
    run.draft.fail("Cancelled", message, phase="Cancelled")
    return Stay()


async def _live_model(run: Run) -> EmbeddingModel | Problem | None:
    """Live: a version that was promoted a moment ago must not be called cancelled."""
    raw = await run.context.kube.get(MODELS, run.namespace, run.model_name)
    if raw is None:
        return None
    run.context.cache.put_ahead(MODELS, raw)
    return parsed(EmbeddingModel, raw)


async def _best_kept(run: Run) -> tuple[TrialSummary | None, str | None]:
    """The best finished trial whose model is in the store, and where it is; (None, None) if the store does not tell."""
    if run.raw_model is None:
        return None, None
    try:
        store = await store_of(run, run.raw_model)
        folders = [name for name in await store.folders(store_layout.best(run.uid)) if name.isdecimal()]
        records = [await store.get_or_none(store_layout.trial(run.uid, int(name))) for name in folders[:BEST_FOLDERS]]
        best = best_trial([read_record(Trial, data, "operator") for data in records if data is not None])
    except (StoreProblem, StoreError, RecordProblem) as error:
        logger.warning("what %s leaves in the store is not known: %s", run.name, error)
        return None, None
    return best, store.uri(store_layout.best(run.uid) + (f"{best.trial}/" if best is not None else ""))


async def publish(run: Run) -> Stay | None:
    """Take the result over and decide whether it may go into production."""
    if run.draft.holds("Published"):
        return None
    key = store_layout.result(run.uid)
    try:
        data = await run.store.get_or_none(key)
        if data is None:
            return _unusable(run, "ResultMissing", f"the Job completed, but {run.store.uri(key)} does not exist")
        result = read_record(Result, data, "operator")
        manifest = await run.store.get_or_none(store_layout.manifest(result.version))
    except FormatTooNew as error:
        return too_new(run, f"{run.store.uri(key)} cannot be read: {error}")
    except RecordInvalid as error:
        return _unusable(run, "ResultInvalid", f"{run.store.uri(key)} cannot be read: {error}")
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if not await still_held(run):
        run.draft.now_doing("Running", "LockLost", "the result waits until the Lease names this task again")
        return Stay(1.0)
    if result.owner.uid != run.uid:
        return _unusable(run, "ResultInvalid", f"{run.store.uri(key)} belongs to another run ({result.owner.name})")
    if manifest is None or digest_of(manifest) != result.digest:
        where = run.store.uri(store_layout.manifest(result.version))
        return _unusable(run, "ResultInvalid", f"{where} is not the manifest that the result names")
    answer = promotion(
        wanted=run.task.spec.deploy_as_blue,
        result=result,
        live_version=run.draft.status.live_version,
        serving=run.model.spec.serving,
        model=run.model.status,
    )
    try:
        await remember(run, result, answer)
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    _record(run, result)
    run.draft.say("Promoted", answer.promoted, answer.reason, answer.message)
    if answer.promoted == "Unknown":
        run.draft.now_doing("Deploying", answer.reason, answer.message)
        return Stay(ROLLOUT_SECONDS)
    run.draft.succeed("Completed" if answer.reason == "NotRequested" else answer.reason, answer.message)
    return Stay()


def _record(run: Run, result: Result) -> None:
    best, top = best_of(result)
    gate = result.gate
    run.draft.set(
        best_model_id=result.version,
        # addresses are what they must be, not what a record in the store says
        best_model_url=run.store.uri(store_layout.version(result.version)),
        digest=result.digest,
        report_url=run.store.uri(store_layout.report(run.uid)) if result.report_url else None,
        best=best or run.draft.status.best,
        top_trials=top or run.draft.status.top_trials,
        metrics=TaskMetrics(
            baseline=shown_metrics(gate.baseline if gate else result.baseline),
            candidate=shown_metrics(gate.candidate if gate else result.candidate),
        ),
        progress=finished_progress(run.draft.status, result, stamp(run.draft.now)),
    )
    trials = f"{result.trials_done} trials" + (f", {result.trials_failed} failed" if result.trials_failed else "")
    run.draft.say("Trained", True, "Trained", trials)
    run.draft.say("Published", True, "Published", f"version {result.version} at {run.draft.status.best_model_url}")


def _unusable(run: Run, reason: Reason, message: str) -> Stay:
    run.draft.say("Trained", False, reason, message)
    run.draft.fail(reason, message)
    return Stay()


async def promote(run: Run) -> Stay | None:
    """Follow the rollout that the model's reconciler drives; the lock is held until it is over."""
    status, model = run.draft.status, run.model.status
    serving = run.model.spec.serving
    rollout = model.rollout if model else None
    ours = rollout if rollout is not None and rollout.task_uid == run.uid else None
    if ours is not None:
        run.draft.set(rollout=ours)
    current = model.current if model else None
    if current is not None and current.version == status.best_model_id:
        message = f"blue serves {current.version}"
        run.draft.say("Promoted", True, "Promoted", message)
        run.draft.succeed("Promoted", message)
        return Stay()
    if ours is not None and ours.step == "Failed":
        message = f"{ours.reason or 'RolloutFailed'}: {ours.message or 'the rollout failed'}"
        if ours.reason == "Pinned":  # somebody set rollbackTo meanwhile: that is no failure of the run
            run.draft.say("Promoted", False, "Pinned", message)
            run.draft.succeed("Pinned", message)
            return Stay()
        run.draft.say("Promoted", False, "RolloutFailed", message)
        run.draft.fail("RolloutFailed", message)
        return Stay()
    if ours is None and serving is not None and compared_with_another(run.raw, current):
        message = (
            f"blue served {status.live_version or 'nothing'} when this run was compared, and serves another version"
        )
        message += f" now ({current.version if current is not None else 'none'}); run again"
        run.draft.say("Promoted", False, "GateStale", message)
        run.draft.succeed("GateStale", message)
        return Stay()
    if ours is None and (serving is None or serving.rollback_to is not None):
        reason: Reason = "NoServing" if serving is None else "Pinned"
        message = f"{status.best_model_id} is published; " + (
            "the model has no spec.serving any more"
            if serving is None
            else f"the model stays with {serving.rollback_to}"
        )
        run.draft.say("Promoted", False, reason, message)
        run.draft.succeed(reason, message)
        return Stay()
    doing = f"{ours.step}: {ours.message or 'rolling out'}" if ours else "waiting for the model's rollout to begin"
    step: Reason = ours.step if ours else "RolloutRequested"
    run.draft.now_doing("Deploying", "RolloutQueued" if ours and ours.queued_since else step, doing)
    return Stay(ROLLOUT_SECONDS)
