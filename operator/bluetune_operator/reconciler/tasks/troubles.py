"""What keeps a run from its end though nothing is wrong with it: a store that is away, pods that are taken from it,
another container in its pod."""

import logging
from typing import Literal

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectTooLarge, StoreError
from bluetune_api.reading import RecordProblem, read_record
from bluetune_api.records import Progress
from bluetune_operator.adapters.store import StoreProblem, problem_of
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.jobs.state import JobState, job_state
from bluetune_operator.core.jobs.workloads import is_finished_job, pods_of
from bluetune_operator.core.kinds import JOBS, PODS, Object, is_deleting, name_of, uid_of
from bluetune_operator.core.tasks.progress import came_further, with_progress
from bluetune_operator.reconciler.tasks.run import JobName, Run, Stay, known_job
from bluetune_operator.reconciler.tasks.store import STORE_SECONDS

logger = logging.getLogger(__name__)

Stage = Literal["DataValid", "Trained"]
"""Condition that says how a Job goes."""
MAX_TAKEN = 10
"""Pods in a row that may be taken from a run without any progress."""
MENDED_SECONDS = 15.0
"""How soon to look again whether somebody has mended what no event tells of."""


async def outage(run: Run, job: Object, stage: JobName) -> StoreProblem | None:
    """Why the store cannot be used, if the last pod ended for it and no other runs."""
    pods = pods_of(job, stage, run.context.cache.of_task(PODS, run.namespace, run.name))
    if is_finished_job(job) or not job_state(job, pods, run.draft.now).store_lost:
        return None
    return await store_problem(run)


async def store_problem(run: Run) -> StoreProblem | None:
    """Why the store cannot be used just now: asked for what a trainer asks for first."""
    try:
        await run.store.get_or_none(store_layout.result(run.uid))
    except (StoreProblem, StoreError) as error:
        return problem_of(error)
    return None


def without_store(run: Run, kind: Stage, problem: StoreProblem) -> Stay:
    """The Job waits for the store, or its pod does. Nothing of the run is lost."""
    message = f"{problem}; the run waits, and goes on when the store can be used"
    run.draft.say(kind, "Unknown", problem.reason, message)
    run.draft.now_doing("Running", problem.reason, message, stalled=problem.reason != "StoreUnreachable")
    return Stay(STORE_SECONDS)


async def gets_nowhere(run: Run, state: JobState) -> str | None:
    """Why a run has to end whose pods are taken from it again and again: such an end uses up none of its retries."""
    if len(state.taken) < MAX_TAKEN:
        return None
    keys = [store_layout.progress(run.uid, uid) for uid in (state.taken[-MAX_TAKEN], state.taken[-1])]
    try:
        found = [await run.store.get_or_none(key) for key in keys]
        first, last = (read_record(Progress, data, "operator") if data is not None else None for data in found)
    except (StoreProblem, StoreError, RecordProblem) as error:
        logger.info("how far %s came is not known: %s", run.name, error)
        return None
    if came_further(first, last):
        return None
    said = state.trouble.message if state.trouble else "no message"
    return shortened(
        f"{MAX_TAKEN} pods in a row were evicted, preempted or told to stop, and the run came no further; the last"
        f" one: {said}; request what the pod really needs (podTemplate.resources.requests), or see what takes the pods"
        " away"
    )


async def read_progress(run: Run, state: JobState) -> StoreProblem | None:
    """Copy the newest pod's progress; or why the store cannot be used."""
    if state.pod_uid is None:
        return None
    try:
        data = await run.store.get_or_none(store_layout.progress(run.uid, state.pod_uid))
        if data is not None:
            run.draft.status = with_progress(run.draft.status, read_record(Progress, data, "operator"))
    except RecordProblem as error:
        logger.info("no progress of %s: %s", run.name, error)
    except (StoreProblem, StoreError) as error:
        return None if isinstance(error, ObjectTooLarge) else problem_of(error)
    return None


async def delete_unfinished(run: Run, stage: JobName) -> None:
    """Delete a Job that nothing more is expected of, and that has not ended: it would never release the lock."""
    job = known_job(run, stage)
    if job is None or is_finished_job(job) or is_deleting(job):
        return
    pods = pods_of(job, stage, run.context.cache.of_task(PODS, run.namespace, run.name))
    other = job_state(job, pods, run.draft.now).outlived_by
    if await run.context.kube.delete(JOBS, run.namespace, name_of(job), uid=uid_of(job)) and other is not None:
        message = f"container {other!r} ran on after the trainer, so Job {name_of(job)} is deleted"
        await run.context.events.emit(run.raw, "JobDeleted", message, level="Normal")


async def make_again(run: Run, job: Object, state: JobState) -> Stay:
    """The trainer ended, to be started again, and another container keeps its pod alive."""
    await run.context.kube.delete(JOBS, run.namespace, name_of(job), uid=uid_of(job))
    said = state.trouble.message if state.trouble else "the trainer ended and is to be started again"
    still = f"container {state.outlived_by!r} of pod {state.pod_name} runs on after the trainer"
    run.draft.now_doing("Running", "JobDeleted", shortened(f"{still}; the Job is made again: {said}"))
    return Stay(MENDED_SECONDS)
