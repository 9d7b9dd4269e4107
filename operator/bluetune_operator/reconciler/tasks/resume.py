"""`spec.resumeFrom`: the earlier run is found when the task is accepted, and its choices are taken under the lock."""

from bluetune_api import store_layout
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.records import Plan
from bluetune_api.task import EarlierRun
from bluetune_operator.adapters.store import AsyncStore, StoreProblem
from bluetune_operator.core.kinds import TASKS
from bluetune_operator.core.references import Problem
from bluetune_operator.core.tasks.resume import chosen_as_before, earlier_problem, plan_problem, refused, runs_of
from bluetune_operator.reconciler.tasks.run import Run, Stay
from bluetune_operator.reconciler.tasks.store import store_trouble


async def accepted(
    run: Run, model: EmbeddingModel, method: FineTuningMethod | Problem, store: AsyncStore
) -> Problem | None:
    """Find the run that the task goes on from, and judge it: why it cannot be, or None, also if it names none.

    What was found is in the status: a task that is deleted later leaves its run in the store. A task that holds the
    lock keeps to its plan.

    Raises StoreProblem, StoreError.
    """
    if run.task.spec.resume_from is None or isinstance(method, Problem) or run.draft.holds("LockAcquired"):
        return None
    earlier = run.draft.status.resumed_from or await _found(run, store)
    if isinstance(earlier, Problem):
        return earlier
    plan = await _plan(run, store, earlier)
    if isinstance(plan, Problem):
        return plan
    run.draft.set(resumed_from=earlier)
    start = run.task.spec.start_from or plan.start_version
    if start and await store.stat(store_layout.manifest(start)) is None:
        where = store.uri(store_layout.manifest(start))
        return Problem("VersionNotFound", f"the start version {start} of that run is gone: {where} does not exist")
    run.draft.set(start_version=start)  # so that retention keeps it while the task waits
    return plan_problem(run.task, run.draft.status, model, method, plan)


async def chosen(run: Run, live: str | None) -> Stay | None:
    """Under the lock: batch and start version are the earlier run's."""
    earlier = run.draft.status.resumed_from
    assert earlier is not None  # noqa: S101 - without it the task was not accepted
    try:
        plan = await _plan(run, run.store, earlier)
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if isinstance(plan, Problem):
        return _refused_under_the_lock(run, plan)
    if run.method_problem is None:  # the method may have been edited while the task waited
        problem = plan_problem(run.task, run.draft.status, run.model, run.method, plan)
        if problem is not None:
            return _refused_under_the_lock(run, problem)
    before = chosen_as_before(run.task, run.draft.status, plan)
    run.draft.set(
        batch_id=before.batch_id, batches=before.batches, start_version=before.start_version, live_version=live
    )
    message = f"batch {before.batch_id} to be checked; the run goes on from task {earlier.task!r}"
    run.draft.now_doing("Running", "Starting", message)
    return Stay(0)


def _refused_under_the_lock(run: Run, problem: Problem) -> Stay:
    """Others wait for the lock, so the task ends."""
    run.draft.fail(problem.reason, problem.message)
    return Stay()


async def _found(run: Run, store: AsyncStore) -> EarlierRun | Problem:
    """The run of the task that `spec.resumeFrom` names. It is read live: it may have ended a moment ago."""
    raw = await run.context.kube.get(TASKS, run.namespace, str(run.task.spec.resume_from))
    problem = earlier_problem(run.task, raw)
    if problem is not None or raw is None:
        return problem or refused(run.task, "it is gone")
    own, *before = runs_of(raw)
    for earlier in (own, *before):
        if await store.stat(store_layout.plan(earlier.uid)) is not None:
            return earlier
    return refused(run.task, f"it left nothing to go on from: {store.uri(store_layout.plan(own.uid))} does not exist")


async def _plan(run: Run, store: AsyncStore, earlier: EarlierRun) -> Plan | Problem:
    """The plan that an earlier run followed. Raises StoreProblem, StoreError."""
    key = store_layout.plan(earlier.uid)
    data = await store.get_or_none(key)
    if data is None:
        return refused(run.task, f"{store.uri(key)} does not exist any more")
    try:
        return read_record(Plan, data, "operator")
    except FormatTooNew as error:
        raise StoreProblem("FormatTooNew", f"{store.uri(key)} cannot be read: {error}") from error
    except RecordInvalid as error:
        return refused(run.task, f"{store.uri(key)} cannot be read: {error}")
