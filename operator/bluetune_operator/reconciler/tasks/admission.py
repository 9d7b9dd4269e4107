"""Steps up to the lock: references, suspension, the idempotency key, the queue."""

import logging
from datetime import timedelta

from bluetune_api import store_layout
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.objectstore import StoreError
from bluetune_api.reasons import Reason
from bluetune_api.task import Queue
from bluetune_operator.adapters.leases import live_work, read_lease, write_holder
from bluetune_operator.adapters.store import StoreProblem, problem_of
from bluetune_operator.core.conditions import find
from bluetune_operator.core.jobs.state import STUCK_SECONDS, stuck_pod
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    JOBS,
    LEASES,
    LOCK,
    METHODS,
    MODELS,
    PODS,
    TASKS,
    Key,
    is_deleting,
    lease_name,
    name_of,
    uid_of,
)
from bluetune_operator.core.lock.rules import (
    EXACT_POSITIONS,
    LETS_PASS,
    Inconsistent,
    Ours,
    Verdict,
    Wait,
    has_ended,
    holder_of,
    may_take,
    regains,
    shown_position,
    taken_as_it_is,
    waits,
)
from bluetune_operator.core.references import Problem, method_name, resolve_method, resolve_model
from bluetune_operator.core.tasks.jobs import suspension
from bluetune_operator.core.tasks.key_claim import same_work
from bluetune_operator.core.times import moment_of, seconds_since, stamp
from bluetune_operator.reconciler.tasks.batch import why_incomplete
from bluetune_operator.reconciler.tasks.resume import accepted as resumable
from bluetune_operator.reconciler.tasks.run import JOB_NAMES, Run, Stay, known_job
from bluetune_operator.reconciler.tasks.store import STORE_SECONDS, store_of

logger = logging.getLogger(__name__)

MODEL_GONE_SECONDS = 60.0
"""How long a model may be gone before a run that nobody can accept any more gives its GPU back."""
TOO_LONG_SECONDS = 600.0
"""How soon to list again what was too long to be listed."""
REMNANT_SECONDS = 5.0
"""How soon to look again whether pods that a former holder left behind are gone."""


async def references(run: Run) -> Stay | None:
    """Model, method and store, and what the task names in the store; the task goes on when a missing one appears."""
    found = await _referred(run)
    if isinstance(found, Problem):
        run.draft.say("Accepted", False, found.reason, found.message)
        if found.reason in LETS_PASS:
            run.draft.set(queue=None)
        will_pass = found.reason in ("ModelNotReady", "ResumeWaiting")
        phase = (run.draft.status.phase if run.draft.holds("LockAcquired") else None) or "Pending"
        paused = " Its Job is suspended meanwhile." if await _paused(run, found.reason) else ""
        run.draft.now_doing(phase, found.reason, f"{found.message}{paused}", stalled=not will_pass)
        return Stay(TOO_LONG_SECONDS if found.reason == "ListingTooLong" else STORE_SECONDS)
    if not run.draft.holds("Accepted"):
        run.draft.say("Accepted", True, "Accepted", "model, method and store can be used")
    return None


async def _paused(run: Run, reason: Reason) -> bool:
    """Whether the task's Job is suspended while nobody can take its result; it saves its state, and goes on later.

    A model that is made again within a minute, as tools of GitOps replace it, costs a run nothing.
    """
    said = find(run.draft.status.conditions, "Accepted")
    gone_for = seconds_since(said.last_transition_time, run.draft.now) if said is not None else 0.0
    if not (run.task.spec.suspend or (reason == "ModelNotFound" and gone_for >= MODEL_GONE_SECONDS)):
        return False
    suspended = False
    for stage in JOB_NAMES:
        job = known_job(run, stage)
        if job is None or is_finished_job(job) or is_deleting(job):
            continue
        patch = suspension(job, suspend=True, now_stamp=stamp(run.draft.now))
        if patch is not None:
            job = await run.context.kube.merge_patch(JOBS, run.namespace, run.child(stage), patch)
            run.context.cache.put_ahead(JOBS, job)
        suspended |= bool(job["spec"].get("suspend"))
    return suspended


async def _referred(run: Run) -> Problem | None:
    """Look the references up; fills `run`."""
    cache, spec = run.context.cache, run.task.spec
    run.raw_model = cache.get(MODELS, run.namespace, run.model_name)
    model = resolve_model(run.task, run.raw_model)
    if not isinstance(model, EmbeddingModel):
        return model
    name = method_name(run.task, model)
    run.raw_method = cache.get(METHODS, run.namespace, name) if name else None
    method = resolve_method(run.task, model, run.raw_method)
    if not isinstance(method, FineTuningMethod):
        if not run.draft.holds("LockAcquired"):
            return method
        run.method_problem = method  # a run goes on without its method; only a new Job needs it
    assert run.raw_model is not None  # noqa: S101 - resolve_model has judged it
    try:
        store = await store_of(run, run.raw_model, fresh=not run.draft.holds("Accepted"))
        if not run.draft.holds("Accepted"):
            if spec.batch_id is not None:
                known = method if isinstance(method, FineTuningMethod) else None
                if (why_not := await why_incomplete(run, store, known)) is not None:
                    return Problem("BatchNotFound", why_not)
            if spec.start_from and await store.stat(store_layout.manifest(spec.start_from)) is None:
                where = store.uri(store_layout.manifest(spec.start_from))
                return Problem("VersionNotFound", f"startFrom {spec.start_from}: {where} does not exist")
            why_anew = await resumable(run, model, method, store)
            if why_anew is not None:
                return why_anew
    except (StoreProblem, StoreError) as error:
        problem = problem_of(error)
        return Problem(problem.reason, str(problem))
    run.found(model, method if isinstance(method, FineTuningMethod) else None, store)
    return None


async def suspended_waiter(run: Run) -> Stay | None:
    """A suspended task without the lock leaves the queue and waits to be resumed."""
    if not run.task.spec.suspend or run.draft.holds("LockAcquired"):
        return None
    message = "suspended; set spec.suspend to false to queue again"
    run.draft.set(queue=None)
    run.draft.say("LockAcquired", False, "Suspended", message)
    run.draft.now_doing("Pending", "Suspended", message)
    return Stay()


async def lock(run: Run) -> Stay | None:
    """Hold the model's lock, or wait for it, or be refused."""
    held = run.draft.holds("LockAcquired")
    kube, cache = run.context.kube, run.context.cache
    known = cache.get(LEASES, run.namespace, lease_name(run.model_name))
    if held and _names(run, known):
        return None
    tasks = cache.of_model(TASKS, run.namespace, run.model_name)
    if not held and run.task.spec.wait_on_conflict:
        seen = may_take(run.raw, known, tasks, ())
        if isinstance(seen, Wait):  # to wait by mistake costs nothing: the event that the cache lacks wakes it
            return _wait(run, seen)
    # everything that this decision stands on is read live: a mistake would let two tasks train the same model
    raw = await kube.get(TASKS, run.namespace, run.name)
    if raw is None or raw["metadata"]["resourceVersion"] != run.raw["metadata"]["resourceVersion"]:
        if raw is not None:
            cache.put_ahead(TASKS, raw)
        return Stay(0.05)
    if not held and not waits(raw):
        # its status says that it lets others pass, and its lock would be freed under it: that it waits is written first
        return Stay(0)
    lease = await read_lease(kube, run.namespace, run.model_name)
    work = await live_work(kube, run.namespace, run.model_name)
    verdict: Verdict = regains(raw, lease, work) if held else may_take(raw, lease, tasks, work)
    if isinstance(verdict, Wait) and verdict.blocked_by is None:
        # whose work that is: maybe of one that took the lock after the Lease was read
        verdict = may_take(raw, await read_lease(kube, run.namespace, run.model_name), tasks, work)
    if isinstance(verdict, Inconsistent):
        run.draft.say("LockAcquired", "Unknown" if not held else True, "LockInconsistent", verdict.message)
        run.draft.now_doing("Waiting", "LockInconsistent", verdict.message, stalled=True)
        return Stay(STORE_SECONDS)
    if isinstance(verdict, Wait):
        return _wait(run, verdict)
    if not isinstance(verdict, Ours) or not (held or taken_as_it_is(lease, raw)):
        assert run.raw_model is not None  # noqa: S101 - found by `references`
        await write_holder(kube, cache, run.raw_model, lease, raw, run.draft.now)
    elif lease is not None:
        cache.put_ahead(LEASES, lease)
    if not cache.same(TASKS, raw):  # its news came when the lock had no holder whom they could concern
        run.context.enqueue(Key(LOCK, run.namespace, run.model_name), 0)
    if not held:
        run.draft.say("LockAcquired", True, "Acquired", f"Lease {lease_name(run.model_name)} is held by this task")
        run.draft.set(queue=None, start_time=run.draft.status.start_time or stamp(run.draft.now))
    return None


async def still_held(run: Run) -> bool:
    """Whether the Lease, read live, names this task: what a result's acceptance depends on."""
    lease = await read_lease(run.context.kube, run.namespace, run.model_name)
    if lease is not None:
        run.context.cache.put_ahead(LEASES, lease)
    else:
        run.context.cache.forget(LEASES, run.namespace, lease_name(run.model_name))
    return _names(run, lease)


async def still_there(run: Run) -> bool:
    """Whether the task, read live, is there and has not ended: what the start of its Job depends on."""
    raw = await run.context.kube.get(TASKS, run.namespace, run.name)
    if raw is None:
        run.context.cache.forget(TASKS, run.namespace, run.name)
        return False
    run.context.cache.put_ahead(TASKS, raw)
    return uid_of(raw) == run.uid and not has_ended(raw)


def _names(run: Run, lease: dict[str, object] | None) -> bool:
    """Whether a Lease names this task."""
    try:
        holder = holder_of(lease)
    except ValueError:
        return False
    return holder is not None and holder.uid == run.uid


def follow_first(run: Run, first: str) -> Stay:
    """Wait, outside of the queue, for the task that has the same key and does the work."""
    run.draft.set(duplicate_of=first, queue=None)
    message = f"task {first!r} has the same idempotencyKey; its result will be taken over"
    run.draft.say("Accepted", False, "Duplicate", message)
    run.draft.now_doing("Pending", "Duplicate", message)
    return Stay(STORE_SECONDS)


def _wait(run: Run, verdict: Wait) -> Stay:
    if not run.task.spec.wait_on_conflict:
        # applied at the same instant as another of its key, which has not claimed it yet: that is no conflict
        before = run.context.cache.get(TASKS, run.namespace, verdict.blocked_by) if verdict.blocked_by else None
        if before is not None and same_work(run.raw, before):
            return follow_first(run, name_of(before))
        message = f"{verdict.message}, and waitOnConflict is false; apply the task again later, or let it queue"
        run.draft.say("LockAcquired", False, "Busy", verdict.message)
        run.draft.fail("Refused", message, phase="Refused")
        return Stay()
    position = shown_position(verdict.position)
    near = verdict.position <= EXACT_POSITIONS
    # far back, who holds the model is none of its news: a write for each waiter whenever the holder changes
    why = verdict.message if near else "the model is busy, and other tasks are before this one in the queue"
    run.draft.set(queue=Queue(position=position, blocked_by=verdict.blocked_by if near else None))
    run.draft.say("LockAcquired", False, "Waiting", why)
    pods = run.context.cache.of_model(PODS, run.namespace, run.model_name)
    stuck = next((trouble for pod in pods if is_active_pod(pod) and (trouble := stuck_pod(pod, run.draft.now))), None)
    if stuck is not None:
        run.draft.now_doing("Waiting", "PodStuck", f"{why}: {stuck.message}", stalled=True)
        return Stay(STORE_SECONDS)
    run.draft.now_doing("Waiting", "Waiting", f"{why}; position {position} in the queue{'' if near else ' or before'}")
    if any(is_deleting(pod) and is_active_pod(pod) for pod in pods):
        return Stay(STUCK_SECONDS)  # no event tells that one does not end
    return Stay() if verdict.blocked_by else Stay(REMNANT_SECONDS)  # the lock wakes its waiters


def expired(run: Run) -> float | None:
    """Seconds until ttlSecondsAfterFinished is over, 0 if it is; None if there is none."""
    ttl, end = run.task.spec.ttl_seconds_after_finished, run.draft.status.completion_time
    if ttl is None or end is None:
        return None
    left = (moment_of(end) + timedelta(seconds=ttl) - run.draft.now).total_seconds()
    return max(left, 0.0)
