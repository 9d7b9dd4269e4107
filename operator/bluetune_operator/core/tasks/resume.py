"""Whether a task may go on from another one (`spec.resumeFrom`), and what it takes over from that one's plan."""

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.records import Plan
from bluetune_api.resuming import differences
from bluetune_api.task import EarlierRun, FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.kinds import Object, condition_status, is_deleting, name_of, uid_of
from bluetune_operator.core.lock.rules import has_ended
from bluetune_operator.core.references import Problem
from bluetune_operator.core.tasks.jobs import check_plan

ANEW = "; correct it, or apply a task without resumeFrom"


def refused(task: FineTuningTask, why: str) -> Problem:
    """`spec.resumeFrom` cannot be used."""
    return Problem("ResumeRefused", f"resumeFrom {task.spec.resume_from!r}: {why}{ANEW}")


def earlier_problem(task: FineTuningTask, earlier: Object | None) -> Problem | None:
    """Why a task cannot go on from another one, by what that one's object says; None if it may."""
    if earlier is None:
        return refused(task, "there is no FineTuningTask of that name in this namespace")
    if uid_of(earlier) == task.metadata.uid:
        return refused(task, "that is the task itself")
    theirs, ours = earlier["spec"]["modelRef"]["name"], task.spec.model_ref.name
    if theirs != ours:
        return refused(task, f"its spec.modelRef is {theirs!r}, and this task's is {ours!r}")
    if condition_status(earlier, "Succeeded") == "True":
        return refused(task, "it succeeded, so nothing of it is left to do")
    if not has_ended(earlier):
        doing = "is being deleted" if is_deleting(earlier) else "has not ended"
        return Problem("ResumeWaiting", f"resumeFrom {name_of(earlier)!r}: it {doing}; this task waits for its end")
    return None


def runs_of(earlier: Object) -> list[EarlierRun]:
    """Where the trials of an ended task are: in its own run, or, if that never trained, in the one that it was to go
    on from."""
    own = EarlierRun(task=name_of(earlier), uid=uid_of(earlier))
    before = (earlier.get("status") or {}).get("resumedFrom")
    return [own] if before is None else [own, EarlierRun(task=str(before["task"]), uid=str(before["uid"]))]


def chosen_as_before(task: FineTuningTask, status: FineTuningTaskStatus, plan: Plan) -> FineTuningTaskStatus:
    """The status with batch and start version as the earlier run had them, unless the task names others."""
    return status.model_copy(
        update={
            "batch_id": task.spec.batch_id or plan.batch_id,
            "batches": plan.batches,
            "start_version": task.spec.start_from or plan.start_version,
        }
    )


def plan_problem(
    task: FineTuningTask,
    status: FineTuningTaskStatus,
    model: EmbeddingModel,
    method: FineTuningMethod,
    plan: Plan,
) -> Problem | None:
    """What of an earlier run's plan this task would do otherwise; None if its trials are this task's."""
    now = check_plan(task, chosen_as_before(task, status, plan), model, method)
    found = differences(plan, now) or _other_batches(task, plan)
    return refused(task, f"its run followed another plan: {found}") if found else None


def _other_batches(task: FineTuningTask, plan: Plan) -> str:
    """What `spec.batches` asks for that the earlier run's batches are not. Which they are was chosen then."""
    asked, had = task.spec.batches, plan.batches
    if (asked is None) != (had is None):
        shown = f"{len(had.learn)} batches" if had is not None else "one batch"
        return f"it had {shown}, and spec.batches is {'absent' if asked is None else 'set'}"
    if asked is None or had is None:
        return ""
    if asked.half_life != had.half_life:
        return f"batches.halfLife was {had.half_life or 'absent'} and is now {asked.half_life or 'absent'}"
    if had.replay_share is not None and asked.replay != had.replay_share:
        return f"batches.replay was {had.replay_share} and is now {asked.replay or 'absent'}"
    return ""
