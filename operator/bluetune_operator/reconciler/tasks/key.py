"""The step for idempotency keys: the first task with a key works, the others point to it and take its result over."""

from bluetune_api import store_layout
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.records import KeyClaim, Result
from bluetune_operator.adapters.store import StoreProblem
from bluetune_operator.core.kinds import TASKS, condition, condition_status, uid_of
from bluetune_operator.core.tasks.gate import taken_over
from bluetune_operator.core.tasks.key_claim import ClaimantState, KeyVerdict, key_verdict
from bluetune_operator.core.tasks.progress import best_of
from bluetune_operator.reconciler.models.store_claim import store_refusal
from bluetune_operator.reconciler.tasks.admission import follow_first
from bluetune_operator.reconciler.tasks.run import Run, Stay
from bluetune_operator.reconciler.tasks.store import store_of, store_trouble

UNREADABLE = KeyClaim(task_uid="0", task="0")
"""Sentinel for a claim that cannot be read: no object has such a uid, so the claim is replaced under the lock."""


async def duplicate(run: Run) -> Stay | None:
    """Before the queue: a task whose key is another's waits for that one's result, outside of the queue."""
    key = run.task.spec.idempotency_key
    if key is None or run.draft.holds("LockAcquired"):
        return None
    try:
        verdict, result = await _look(run, key)
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if verdict.action in ("Follow", "TakeOver"):
        return await _follow(run, verdict, result)
    if run.draft.status.duplicate_of is not None:  # the first one failed: this one's turn
        run.draft.set(duplicate_of=None)
        run.draft.say("Accepted", True, "Accepted", "the first task with this idempotencyKey failed")
    return None


async def claim(run: Run) -> Stay | None:
    """Under the lock: make the key this task's. Only one task at a time holds the lock, so replacing cannot race."""
    key = run.task.spec.idempotency_key
    if key is None or run.draft.status.batch_id is not None:
        return None
    ours = KeyClaim(task_uid=run.uid, task=run.name)
    try:
        name = store_layout.idempotency_key(key)
        if await run.store.create(name, ours.model_dump_json(by_alias=True).encode()):
            return None
        verdict, result = await _look(run, key)
        if verdict.action == "Replace":
            await run.store.put(name, ours.model_dump_json(by_alias=True).encode())
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if verdict.action in ("Follow", "TakeOver"):
        # of a claimant that is alive without the lock, which it needs: give way
        run.draft.say("LockAcquired", False, "Duplicate", f"left to task {verdict.task!r}, which has the key")
        return await _follow(run, verdict, result)
    return Stay(0.5) if verdict.action == "Claim" else None


async def forfeit(run: Run) -> None:
    """A run that failed is marked, so that its result is nobody's also when its task is gone.

    The claim of the key stays: a store cannot remove it only if it is still this task's, and the next one replaces it
    under the lock. Raises StoreProblem, StoreError.
    """
    if run.draft.status.batch_id is None or run.raw_model is None:
        return
    store = await store_of(run, run.raw_model)
    refused = await store_refusal(run.raw_model, store)
    if refused is not None and refused.reason == "AlreadyClaimed":
        return  # it is another's now, and so are its keys
    if refused is not None:
        raise StoreProblem(refused.reason, refused.message)
    await store.create(store_layout.forfeit(run.uid), b"")


async def _look(run: Run, key: str) -> tuple[KeyVerdict, Result | None]:
    found = await _claim(run, key)
    if found is None or found.task_uid == run.uid:
        return key_verdict(run.uid, found), None
    state = await _claimant(run, found)
    result = None
    if state in ("Gone", "Succeeded"):
        result = await _result(run, found.task_uid)
    return key_verdict(run.uid, found, state, result is not None), result


async def _claim(run: Run, key: str) -> KeyClaim | None:
    store = await run.context.stores.open(run.raw_model) if run.raw_model else run.store
    data = await store.get_or_none(store_layout.idempotency_key(key))
    try:
        return read_record(KeyClaim, data, "operator") if data is not None else None
    except FormatTooNew as error:
        raise StoreProblem("FormatTooNew", f"the claim of spec.idempotencyKey cannot be read: {error}") from error
    except RecordInvalid:
        return UNREADABLE


async def _claimant(run: Run, found: KeyClaim) -> ClaimantState:
    task = await run.context.kube.get(TASKS, run.namespace, found.task)
    if task is None or uid_of(task) != found.task_uid:
        return "Gone"
    if condition_status(task, "Succeeded") == "True":
        return "Succeeded"
    return "Failed" if condition_status(task, "Failed") == "True" else "Active"


async def _result(run: Run, task_uid: str) -> Result | None:
    if await run.store.stat(store_layout.forfeit(task_uid)) is not None:
        return None
    data = await run.store.get_or_none(store_layout.result(task_uid))
    try:
        return read_record(Result, data, "operator") if data is not None else None
    except FormatTooNew as error:
        where = run.store.uri(store_layout.result(task_uid))
        raise StoreProblem("FormatTooNew", f"{where} cannot be read: {error}") from error
    except RecordInvalid:
        return None


async def _follow(run: Run, verdict: KeyVerdict, result: Result | None) -> Stay:
    first = verdict.task or "?"
    if verdict.action != "TakeOver":
        return follow_first(run, first)
    run.draft.set(duplicate_of=first, queue=None)
    if result is not None:
        best, top = best_of(result)
        run.draft.set(
            best_model_id=result.version,
            best_model_url=run.store.uri(store_layout.version(result.version)),
            digest=result.digest,
            best=best,
            top_trials=top,
            batch_id=result.batch_id,
            start_version=result.parent,
        )
    await _say_whether_promoted(run, first, result.version if result is not None else None)
    run.draft.succeed("Duplicate", f"task {first!r} has done this work already; its result is taken over")
    return Stay()


async def _say_whether_promoted(run: Run, first: str, version: str | None) -> None:
    """A task that asked for a rollout says what became of it: its key was another's, who may not have asked."""
    task = await run.context.kube.get(TASKS, run.namespace, first) if run.task.spec.deploy_as_blue else None
    said = condition(task, "Promoted") if task is not None else None
    model = run.model.status
    answer = taken_over(
        wanted=run.task.spec.deploy_as_blue,
        version=version,
        first=first,
        said=(said["reason"], said["message"]) if said is not None else None,
        current=model.current.version if model is not None and model.current is not None else None,
    )
    if answer is not None:
        run.draft.say("Promoted", answer.promoted, answer.reason, answer.message)
