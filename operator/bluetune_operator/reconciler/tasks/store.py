"""The store of a task's run: the one that its plan names, and only while it is the model's."""

from bluetune_api.objectstore import StoreError
from bluetune_api.reading import read_spec
from bluetune_api.store_location import StoreSpec
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, problem_of
from bluetune_operator.core.kinds import MODELS, Key, Object
from bluetune_operator.core.tasks.run_record import store_of_job
from bluetune_operator.reconciler.models.store_claim import store_refusal
from bluetune_operator.reconciler.tasks.run import Run, Stay, known_job

STORE_SECONDS = 10.0
"""A store sends no events: how soon to look again for what is missing in it, or whether it answers."""
NEWER_SECONDS = 300.0
"""How soon to look again at a record of a newer release: an operator that can read it looks when it starts."""
UNCLAIMED_SECONDS = 5.0
"""How soon to look again whether the model has claimed its store, and for how long it may be another's."""


async def store_of(run: Run, model: Object, *, fresh: bool = False) -> AsyncStore:
    """The store that the run's Jobs work in; that of the model of now, if there are none.

    Where the Secret that they name is gone, the model's keys of now open it. Raises StoreProblem.
    """
    stores, began = run.context.stores, None
    job = known_job(run, "train") or known_job(run, "check")
    if job is not None:
        began = store_of_job(job)
    if began is None:
        return await stores.open(model, fresh=fresh)
    try:
        return await stores.open(model, began, fresh=fresh)
    except StoreProblem:
        now = read_spec(StoreSpec, model["spec"]["store"])
        return await stores.open(model, now.model_copy(update=dict(began.location())), fresh=fresh)


async def owned(run: Run) -> Stay | None:
    """Under the lock, before anything is written: the store is the model's."""
    if run.draft.status.batch_id is not None:
        return None
    assert run.raw_model is not None  # noqa: S101 - found by `references`
    try:
        refused = await store_refusal(run.raw_model, run.store)
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if refused is None:
        return None
    run.context.enqueue(Key(MODELS.name, run.namespace, run.model_name), 0.0)
    stalled = refused.reason != "ModelNotReady"
    run.draft.now_doing("Pending", refused.reason, refused.message, stalled=stalled)
    return Stay(UNCLAIMED_SECONDS)


def too_new(run: Run, message: str) -> Stay:
    """A record of the run is of a newer release: it is kept, and the run waits for an operator that can read it."""
    run.draft.now_doing(run.draft.status.phase or "Pending", "FormatTooNew", message, stalled=True)
    return Stay(NEWER_SECONDS)


def store_trouble(run: Run, error: Exception) -> Stay:
    """The store cannot be used for the moment: say so and try again; a run that holds the lock keeps it."""
    problem = problem_of(error)
    phase = run.draft.status.phase or "Pending"
    run.draft.now_doing(phase, problem.reason, str(problem), stalled=problem.reason != "StoreUnreachable")
    return Stay(STORE_SECONDS)
