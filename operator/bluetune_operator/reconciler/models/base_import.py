"""Publishing a model's base: one Job, and its result from the store."""

import logging
from dataclasses import dataclass

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelSpec
from bluetune_api.objectstore import StoreError
from bluetune_api.records import Result
from bluetune_operator.adapters.store import AsyncStore, problem_of
from bluetune_operator.core.errors import ApiError, Conflict, ForeignObject, Leftover
from bluetune_operator.core.jobs.build import plan_config_map
from bluetune_operator.core.jobs.state import JobState, job_state
from bluetune_operator.core.jobs.workloads import is_finished_job, pods_of
from bluetune_operator.core.kinds import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    Object,
    is_owned_by,
    name_of,
    namespace_of,
    uid_of,
)
from bluetune_operator.core.models.base_import import (
    WAITS_ANNOTATION,
    another_plan,
    import_job,
    import_name,
    import_plan,
    import_settings,
    job_problem,
    manifest_problem,
    outdated,
    read_result,
    waits_for_store,
)
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.tasks.jobs import suspension
from bluetune_operator.core.times import stamp
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.method import method_of

logger = logging.getLogger(__name__)

LOOK_SECONDS, SLOW_SECONDS = 3.0, 30.0


@dataclass(frozen=True)
class NotYet:
    """The base is not published."""

    why: Failure
    after: float | None
    """Seconds until the next look."""


async def published_base(
    context: Context, model: Object, spec: EmbeddingModelSpec, store: AsyncStore
) -> Result | NotYet:
    """The result of the import, once it is there; until then, what is done about it."""
    try:
        data = await store.get_or_none(store_layout.result(uid_of(model)))
        if data is not None:
            result = read_result(data, uid_of(model))
            if isinstance(result, Failure):
                return NotYet(result, SLOW_SECONDS)
            manifest = await store.get_or_none(store_layout.manifest(result.version))
            problem = manifest_problem(manifest, result.version, result.digest)
            return NotYet(problem, SLOW_SECONDS) if problem else result
    except StoreError as error:
        problem_ = problem_of(error)
        await _wait_for_store(context, model)
        return NotYet(Failure(problem_.reason, str(problem_)), SLOW_SECONDS)
    return await _job(context, model, spec)


async def _wait_for_store(context: Context, model: Object) -> None:
    """Suspend the Job if its last pod ended for the store: the next one would only fail again."""
    seen = _at_work(context, model)
    if seen is not None and seen[1].store_lost:
        await _suspend(context, seen[0], suspend=True)


async def end_outlived_import(context: Context, model: Object) -> None:
    """Delete an import whose trainer has ended and whose pod another container keeps alive."""
    if (seen := _at_work(context, model)) is None:
        return
    job, state = seen
    if state.outlived_by is not None and state.state != "Failed":
        logger.warning(
            "container %s keeps Job %s alive after its trainer; it is deleted", state.outlived_by, name_of(job)
        )
        await context.kube.delete(JOBS, namespace_of(job), name_of(job), uid=uid_of(job))


def _at_work(context: Context, model: Object) -> tuple[Object, JobState] | None:
    """The model's import Job as the cache has it, and its state; None if there is none, or it has finished."""
    namespace = namespace_of(model)
    job = context.cache.get(JOBS, namespace, import_name(name_of(model)))
    if job is None or is_finished_job(job) or not is_owned_by(job, uid_of(model)):
        return None
    return job, job_state(job, _pods(context, model, job), context.clock())


def _pods(context: Context, model: Object, job: Object) -> list[Object]:
    return pods_of(job, "import", context.cache.of_model(PODS, namespace_of(model), name_of(model)))


async def _suspend(context: Context, job: Object, *, suspend: bool) -> bool:
    """Suspend or resume the Job; whether that was anything to do. A Job that somebody else suspended stays so."""
    patch = suspension(job, suspend=suspend, now_stamp=stamp(context.clock()))
    if not suspend and not waits_for_store(job):
        return False
    if patch is not None:
        patch["metadata"].setdefault("annotations", {})[WAITS_ANNOTATION] = "store" if suspend else None
        context.cache.put_ahead(JOBS, await context.kube.merge_patch(JOBS, namespace_of(job), name_of(job), patch))
    return patch is not None


async def _job(context: Context, model: Object, spec: EmbeddingModelSpec) -> NotYet:
    namespace, name = namespace_of(model), import_name(name_of(model))
    job = await context.kube.get(JOBS, namespace, name)
    pods = _pods(context, model, job) if job is not None else []
    if job is not None and outdated(job, model, pods):
        await context.kube.delete(JOBS, namespace, name, uid=uid_of(job))
        return NotYet(Failure("Importing", "the model changed; the import is tried again"), LOOK_SECONDS)
    if job is None:
        return await _start(context, model, spec)
    if is_owned_by(job, uid_of(model)) and await _suspend(context, job, suspend=False):  # the store answers
        return NotYet(Failure("Importing", "the base is being imported"), LOOK_SECONDS)
    await end_outlived_import(context, model)
    if (refused := await context.job_events.why_no_pod(job, pods, context.clock())) is not None:
        return NotYet(Failure(refused.reason, refused.message), SLOW_SECONDS)
    said = job_problem(job, pods, context.clock())
    # a missing result may have come between the look at the store and the look at the Job
    failed = is_finished_job(job) and said.reason != "ResultMissing"
    return NotYet(said, SLOW_SECONDS if failed else LOOK_SECONDS)


async def _start(context: Context, model: Object, spec: EmbeddingModelSpec) -> NotYet:
    method = await method_of(context, model, spec)
    if isinstance(method, Failure):
        return NotYet(method, SLOW_SECONDS)
    settings, plan = import_settings(model, spec, method, context.config), import_plan(model, spec, method)
    try:
        kept = await context.kube.create_owned(CONFIG_MAPS, plan_config_map(settings, plan), uid_of(model))
        if another_plan(kept, plan):
            await context.kube.delete(CONFIG_MAPS, namespace_of(kept), name_of(kept), uid=uid_of(kept))
            return NotYet(Failure("Importing", "the plan changed; it is written again"), 0.0)
        await context.kube.create_owned(JOBS, import_job(model, settings), uid_of(model))
    except Leftover as error:
        return NotYet(Failure("Importing", str(error)), LOOK_SECONDS)
    except ForeignObject as error:
        return NotYet(Failure("NameTaken", str(error)), SLOW_SECONDS)
    except Conflict:
        raise
    except ApiError as error:
        return NotYet(Failure("JobRefused", f"the API server refused the import Job: {error.message}"), SLOW_SECONDS)
    return NotYet(Failure("Importing", "the base is being imported"), LOOK_SECONDS)
