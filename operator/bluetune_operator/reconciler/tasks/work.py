"""Steps that run the trainer: the check on a CPU, then the training; their progress, their troubles, their ends."""

from dataclasses import replace

from bluetune_api import store_layout
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.reasons import Reason
from bluetune_api.records import CheckReport, Plan
from bluetune_operator.adapters.store import StoreProblem
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.errors import ApiError, Conflict, ForeignObject, Leftover, WebhookFailed
from bluetune_operator.core.jobs.build import TrainerJob, plan_config_map, trainer_job
from bluetune_operator.core.jobs.pod_refusal import SILENT_SECONDS, next_look
from bluetune_operator.core.jobs.resuming import undone
from bluetune_operator.core.jobs.state import OUTLIVED_SECONDS, JobState, job_state
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job, pods_of
from bluetune_operator.core.kinds import (
    CONFIG_MAPS,
    JOB_LABEL,
    JOBS,
    LEASES,
    PODS,
    TASK_UID_LABEL,
    Object,
    is_deleting,
    name_of,
    uid_of,
)
from bluetune_operator.core.lock.rules import is_held
from bluetune_operator.core.tasks.jobs import (
    as_checked,
    attempts,
    check_job,
    check_plan,
    is_kueues,
    suspension,
    train_job,
    train_plan,
    with_record,
)
from bluetune_operator.core.tasks.pending import pending, timeout_message
from bluetune_operator.core.tasks.progress import poll_seconds
from bluetune_operator.core.tasks.run_record import RECORD, RunRecord, plan_verdict, record_of, run_record
from bluetune_operator.core.times import seconds_since, stamp
from bluetune_operator.reconciler.tasks.admission import still_held, still_there
from bluetune_operator.reconciler.tasks.run import JobName, Run, Stay, known_job
from bluetune_operator.reconciler.tasks.store import STORE_SECONDS, store_trouble, too_new
from bluetune_operator.reconciler.tasks.troubles import (
    MENDED_SECONDS,
    Stage,
    delete_unfinished,
    gets_nowhere,
    make_again,
    outage,
    read_progress,
    store_problem,
    without_store,
)

LEFTOVER_SECONDS = 2.0
"""How soon to look whether what an earlier object of this name left behind is gone."""
QUIET_SECONDS = 30.0
"""Where an event will tell, this is for what gets lost, and for messages that depend on the time."""
REFUSALS = frozenset({400, 403, 422})
"""A quota, a policy, or a podTemplate that Kubernetes does not take: for a person to mend."""


async def check(run: Run) -> Stay | None:
    """Check the batch on a CPU before a GPU is asked for."""
    return _in_time(run, "DataValid", await _check(run))


async def train(run: Run) -> Stay | None:
    """Run the training Job and follow it."""
    return _in_time(run, "Trained", await _train(run))


def _in_time(run: Run, kind: Stage, stay: Stay | None) -> Stay | None:
    """What a step came to, unless the task has waited for its pod for too long."""
    doing, limit = run.draft.doing, run.task.spec.pending_timeout_seconds
    if stay is None or doing is None or run.draft.ended:
        return stay
    wait = pending(doing[0], run.draft.status.pending_since, limit, run.draft.now)
    run.draft.set(pending_since=wait.since)
    if wait.left is None:
        return stay
    if wait.left == 0:
        return _lost(run, kind, "PendingTimeout", shortened(timeout_message(limit, ": ".join(doing))))
    return Stay(wait.left if stay.seconds is None else min(stay.seconds, wait.left))


async def _check(run: Run) -> Stay | None:
    if run.draft.holds("DataValid"):
        await delete_unfinished(run, "check")
        return None
    job = known_job(run, "check")
    if job is None:
        if (held_up := await _held_up(run, "check")) is not None:
            return held_up
        begun = _as_of_now(run)
        if begun is None:
            return _without_method(run)
        plan, record = begun
        return await _start(
            run, "DataValid", check_job(run.raw, run.task, run.model, record, run.context.config), plan, record
        )
    _say_whether_edited(run, job)
    if (paused := await _pause_or_resume(run, job, "DataValid", "check")) is not None:
        return paused
    state = await _state(run, job, "check")
    if state.state == "Failed":
        return _failed(run, "DataValid", state)
    if (nowhere := await gets_nowhere(run, state)) is not None:
        return _lost(run, "DataValid", "NoProgress", nowhere)
    if state.outlived_by is not None and state.state == "Running":
        return await make_again(run, job, state)
    if state.state != "Complete":
        waiting = await _working(run, job, "DataValid", "Checking", "the batch is being checked", state)
        if state.state != "Running":
            return waiting
        away = await store_problem(run)
        return Stay(STORE_SECONDS) if away is None else without_store(run, "DataValid", away)
    try:
        data = await run.store.get_or_none(store_layout.check(run.uid))
        report = read_record(CheckReport, data, "operator") if data is not None else None
    except FormatTooNew as error:
        return too_new(run, f"{run.store.uri(store_layout.check(run.uid))} cannot be read: {error}")
    except RecordInvalid as error:
        where = run.store.uri(store_layout.check(run.uid))
        return _lost(run, "DataValid", "CheckInvalid", f"{where} cannot be read: {error}")
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if report is None:
        where = run.store.uri(store_layout.check(run.uid))
        return _lost(run, "DataValid", "CheckMissing", f"the check Job completed, but {where} does not exist")
    if not report.valid:
        return _lost(
            run, "DataValid", "DataInvalid", "; ".join(report.problems) or "the batch is not worth training on"
        )
    run.draft.say(
        "DataValid",
        True,
        "DataValid",
        f"batch {report.batch_id}: {report.sessions} sessions, {report.sessions_with_clicks} with clicks,"
        f" {report.coverage:.0%} of shown results known, {report.broken_lines} broken lines dropped"
        + (
            f"; container {state.outlived_by!r} ran on after the trainer, so the Job is deleted"
            if state.outlived_by
            else ""
        ),
    )
    run.draft.set(pending_since=None)  # the training waits for a pod of its own
    if (fewest := run.task.spec.min_sessions) is not None and report.informative_sessions < fewest:
        message = (
            f"batch {report.batch_id} has {report.informative_sessions} informative sessions, with a result that was"
            f" clicked and one that was not; spec.minSessions={fewest}, so nothing is trained"
        )
        run.draft.succeed("TooFewSessions", message)
        return Stay()
    run.draft.now_doing("Running", "Starting", "the batch is valid; training begins")
    return Stay(0)


async def _train(run: Run) -> Stay | None:
    if run.draft.holds("Trained"):
        await delete_unfinished(run, "train")
        return None
    job = known_job(run, "train")
    if job is None:
        if (held_up := await _held_up(run, "train")) is not None:
            return held_up
        checked = await run.context.kube.get(CONFIG_MAPS, run.namespace, run.child("check"))
        try:
            begun = as_checked(checked, _as_of_now(run))
        except FormatTooNew as error:
            return too_new(run, f"the plan in ConfigMap {run.child('check')} cannot be read: {error}")
        if begun is None:
            return _without_method(run)
        plan, record = begun
        check_run = run.context.cache.get(JOBS, run.namespace, run.child("check"))
        wanted = train_job(run.raw, run.task, run.model, record, run.context.config, check=check_run)
        return await _start(run, "Trained", wanted, train_plan(plan), record)
    _say_whether_edited(run, job)
    if (paused := await _pause_or_resume(run, job, "Trained", "train")) is not None:
        return paused
    state, before = await _state(run, job, "train"), run.draft.status
    run.draft.set(attempt=attempts(before.attempt, before.pod_name, state), pod_name=state.pod_name or before.pod_name)
    if state.state == "Failed":
        return _failed(run, "Trained", state)
    if (nowhere := await gets_nowhere(run, state)) is not None:
        return _lost(run, "Trained", "NoProgress", nowhere)
    if state.state == "Complete":
        run.draft.set(pending_since=None)
        return None
    if state.outlived_by is not None:
        return await make_again(run, job, state)
    away = await read_progress(run, state)
    waiting = await _working(run, job, "Trained", "Training", "training", state)
    if state.state != "Running":
        return waiting
    if away is not None:
        without_store(run, "Trained", away)
    return Stay(poll_seconds(sum(map(is_held, run.context.cache.all(LEASES)))))


async def _state(run: Run, job: Object, stage: JobName) -> JobState:
    pods = pods_of(job, stage, run.context.cache.of_task(PODS, run.namespace, run.name))
    state = job_state(job, pods, run.draft.now)
    if state.state == "Suspended":
        return state  # with how its last pod ended; `_working` asks its queue
    refused = await run.context.job_events.why_no_pod(job, pods, run.draft.now)
    return replace(state, trouble=refused) if refused is not None else state


async def _held_up(run: Run, stage: JobName) -> Stay | None:
    """Why a Job must not be created now: suspended, or pods of a Job that somebody deleted still run."""
    if run.task.spec.suspend:
        run.draft.now_doing("Pending", "Suspended", "suspended, and the lock is kept; unset spec.suspend to go on")
        return Stay()
    if run.draft.status.job_name != run.child(stage):
        return None
    labels = {TASK_UID_LABEL: run.uid, JOB_LABEL: stage}
    pods = await run.context.kube.list(PODS, run.namespace, labels=labels)
    if not any(is_active_pod(pod) for pod in pods):
        return None
    run.draft.now_doing("Running", "JobDeleted", "the Job was deleted; it is made again when its pods are gone")
    return Stay(MENDED_SECONDS)


def _as_of_now(run: Run) -> tuple[Plan, RunRecord] | None:
    """Plan and record of a run that begins now; None without its method."""
    if run.method_problem is not None:
        return None
    plan = check_plan(run.task, run.draft.status, run.model, run.method)
    return plan, run_record(run.task, run.model, run.method, run.context.config)


def _without_method(run: Run) -> Stay:
    problem = run.method_problem
    assert problem is not None  # noqa: S101 - or there would be a plan
    run.draft.now_doing("Running", problem.reason, problem.message, stalled=True)
    return Stay(MENDED_SECONDS)


def _say_whether_edited(run: Run, job: Object) -> None:
    method = None if run.method_problem is not None else run.method
    verdict = plan_verdict(job, run.task, run.model, method)
    if verdict is not None:
        run.draft.say("PlanCurrent", verdict.current, "AsBegun" if verdict.current else "EditedSince", verdict.message)


async def _start(run: Run, kind: Stage, wanted: TrainerJob, plan: Plan, record: RunRecord) -> Stay:
    """Create the plan and the Job. Both have fixed names, so a second try finds them."""
    kube = run.context.kube
    try:
        written = plan_config_map(wanted, plan, **{RECORD: record.model_dump_json(by_alias=True, exclude_none=True)})
        kept = await kube.create_owned(CONFIG_MAPS, written, run.uid)
        # what an earlier try wrote counts, also if the method was edited since
        job = await kube.create_owned(JOBS, trainer_job(with_record(wanted, record_of(kept) or record)), run.uid)
    except Leftover as error:
        run.draft.now_doing("Running", "Starting", str(error))
        return Stay(LEFTOVER_SECONDS)
    except ForeignObject as error:
        run.draft.now_doing("Pending", "NameTaken", str(error), stalled=True)
        return Stay(MENDED_SECONDS)
    except FormatTooNew as error:
        return too_new(run, f"ConfigMap {wanted.name} cannot be read: {error}")
    except Conflict:
        raise
    except ApiError as error:
        if error.status not in REFUSALS and not isinstance(error, WebhookFailed):
            raise
        message = f"the API server refused Job {wanted.name}: {error.message}"
        run.draft.now_doing("Pending", "JobRefused", shortened(message), stalled=True)
        return Stay(MENDED_SECONDS)
    run.context.cache.put(JOBS, job)
    if wanted.command == "check" and run.draft.status.job_name is None:
        created = run.raw["metadata"].get("creationTimestamp")
        run.context.observer.first_job(seconds_since(created, run.context.clock()) if created else 0.0)
    run.draft.set(job_name=wanted.name)
    _starting(run, kind)
    return Stay(0)


def _starting(run: Run, kind: Stage) -> None:
    """From a Job's creation until its pod runs: one thing to a user, so one write."""
    run.draft.say(kind, "Unknown", "Starting", f"the pod of Job {run.draft.status.job_name} starts")
    run.draft.now_doing("Running", "Starting", f"the pod of Job {run.draft.status.job_name} starts")


async def _pause_or_resume(run: Run, job: Object, kind: Stage, stage: JobName) -> Stay | None:
    """Suspend or resume the Job as the task says; a suspended task keeps the lock. Kueue's Jobs are left alone.

    A Job whose pod ended for the store is suspended, too, until the operator can use the store: a pod that is started
    into an outage only fails again, and Kubernetes would wait longer and longer before the one that could work.

    A Job is created suspended. It is resumed only if the Lease, read after the Job was created, names the task. Two
    rules exclude that two tasks work at once, as in Dekker's mutual exclusion:

    - Taking the lock: write the Lease, then list Jobs. Starting a Job: create it, then read the Lease.
    - Freeing the lock: read the task, then list Jobs. Starting a Job: create it, then read the task.

    In each rule both sides write before they read, so at least one of them sees the other's write, however long either
    sleeps in between.
    """
    if is_deleting(job):
        run.draft.now_doing(
            "Running", "JobDeleted", "the Job is being deleted; it is made again when its pods are gone"
        )
        return Stay(MENDED_SECONDS)
    away = await outage(run, job, stage)
    suspend = run.task.spec.suspend or away is not None
    patch = suspension(job, suspend=suspend, now_stamp=stamp(run.draft.now))
    starts = patch is not None and not suspend
    if (lost := await _lost_before_its_start(run, job)) is not None:
        return lost
    if starts and (by_others := undone(job, run.draft.now)) is not None:
        run.draft.say(kind, "Unknown", "SuspendedByOthers", by_others.message)
        stalled = by_others.left is None
        run.draft.now_doing("Pending", "SuspendedByOthers", by_others.message, stalled=stalled)
        return Stay(by_others.left)
    if starts and not await still_held(run):
        run.draft.now_doing("Running", "LockLost", "the Job waits until the Lease names this task again")
        return Stay(1.0)
    if starts and not await still_there(run):
        return Stay()
    if patch is not None:
        name = job["metadata"]["name"]
        # the patch has no precondition: what it answers may hold others' changes too
        run.context.cache.put_ahead(JOBS, await run.context.kube.merge_patch(JOBS, run.namespace, name, patch))
    if run.task.spec.suspend and not is_finished_job(job) and not is_kueues(job):
        message = "the Job is suspended and the lock is kept; unset spec.suspend to go on"
        run.draft.say(kind, "Unknown", "Suspended", message)
        run.draft.now_doing("Pending", "Suspended", message)
        return Stay()
    if away is not None:
        return without_store(run, kind, away)
    if patch is None:
        return None
    _starting(run, kind)
    return Stay(SILENT_SECONDS)


async def _lost_before_its_start(run: Run, job: Object) -> Stay | None:
    """Delete a Job that Kueue has not started yet and that must not start: Kueue knows no Leases."""
    if not is_kueues(job) or not job["spec"].get("suspend") or is_finished_job(job):
        return None
    if await still_held(run):
        return None if await still_there(run) else Stay()
    await run.context.kube.delete(JOBS, run.namespace, name_of(job), uid=uid_of(job))
    message = "the Job was deleted before its queue admitted it; it is made again when the Lease names this task again"
    run.draft.now_doing("Running", "LockLost", message)
    return Stay(1.0)


async def _working(run: Run, job: Object, kind: Stage, doing: Reason, what: str, state: JobState) -> Stay:
    """The Job runs, or its pod does not start yet: say which, and why."""
    if state.state == "Suspended":
        why = await run.context.job_events.why_no_pod(job, (), run.draft.now)
        said = why.message if why else f"Job {run.draft.status.job_name} waits to be admitted by its queue"
        run.draft.say(kind, "Unknown", "Queued", said)
        run.draft.now_doing("Running", "Queued", said)
    elif state.trouble is not None and state.state == "Pending":
        run.draft.say(kind, "Unknown", state.trouble.reason, state.trouble.message)
        run.draft.now_doing("Running", state.trouble.reason, state.trouble.message)
    elif state.state in ("Running", "Ended"):
        again = ""
        if state.trouble is not None:
            again = f", attempt {max(state.attempt, run.draft.status.attempt or 0)}; the attempt before it ended: "
            again += state.trouble.message
        run.draft.say(kind, "Unknown", doing, f"{what}{again}")
        run.draft.now_doing("Running", doing, f"{what}{again}")
    else:
        _starting(run, kind)
    if run.task.spec.suspend:  # or it would have been suspended
        name = run.draft.status.job_name
        run.draft.now_doing(
            "Running",
            "KueueOwnsSuspend",
            f"spec.suspend does nothing to Job {name}, which Kueue queues: set spec.active=false on its Workload, or"
            " spec.cancel",
        )
    if state.state == "Ended":
        return Stay(OUTLIVED_SECONDS)
    return Stay(next_look(job, run.draft.now) if state.pod_uid is None else QUIET_SECONDS)


def _failed(run: Run, kind: Stage, state: JobState) -> Stay:
    trouble = state.trouble
    assert trouble is not None  # noqa: S101 - job_state always says why
    if trouble.reason == "DeadlineExceeded":  # the Job's own number is what earlier Jobs and suspensions left of it
        seconds = run.task.spec.active_deadline_seconds
        message = f"it ran longer than spec.activeDeadlineSeconds={seconds}; allow more, or search less"
        return _lost(run, kind, trouble.reason, message)
    return _lost(run, kind, trouble.reason, trouble.message)


def _lost(run: Run, kind: Stage, reason: Reason, message: str) -> Stay:
    run.draft.say(kind, False, reason, message)
    run.draft.fail(reason, message)
    return Stay()
