"""The tasks that spec.retrain makes: what they are made of, how they ended, and which need not be kept."""

from collections.abc import Iterable
from datetime import datetime

from bluetune_api.method import FineTuningMethod
from bluetune_api.pods import gpus
from bluetune_api.reasons import Reason
from bluetune_api.retrain import History, Outcome, Retrain, RetrainRun, RetrainStatus, TaskTemplate
from bluetune_operator.core.kinds import (
    BLUETUNE,
    MANAGED_BY,
    MODEL_LABEL,
    TASKS,
    Object,
    condition,
    is_deleting,
    is_owned_by,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    true_condition,
    uid_of,
)
from bluetune_operator.core.lock.rules import has_ended, says_it_holds
from bluetune_operator.core.retrain.decide import Ended, counts
from bluetune_operator.core.times import moment_of, stamp

MADE_BY, BY_RETRAIN = "bluetune.dev/made-by", "retrain"

PROMOTED: frozenset[Reason] = frozenset({"Promoted", "AlreadyCurrent"})
REFUSED: frozenset[Reason] = frozenset({"GateNotPassed", "GateGuarded", "GateNotMeasured"})


def made_task(model: Object, name: str, batch_id: str, spec: Retrain) -> Object:
    """The task that learns from a batch. It goes with its model, without which it could do nothing."""
    template: TaskTemplate = spec.template
    wanted = {"modelRef": {"name": name_of(model)}, "batchId": batch_id, **template.wire()}
    if spec.min_sessions is not None:
        wanted["minSessions"] = spec.min_sessions
    labels = {MANAGED_BY: BLUETUNE, MADE_BY: BY_RETRAIN, MODEL_LABEL: name_of(model)}
    return {
        "apiVersion": TASKS.api_version,
        "kind": TASKS.name,
        "metadata": {
            "name": name,
            "namespace": namespace_of(model),
            "labels": labels,
            "ownerReferences": [owner_reference(model)],
        },
        "spec": wanted,
    }


def was_made(task: Object) -> bool:
    """Whether spec.retrain of some model made the task."""
    return labels_of(task).get(MADE_BY) == BY_RETRAIN


def is_made(task: Object, model: Object) -> bool:
    """Whether spec.retrain of this model made the task."""
    return was_made(task) and is_owned_by(task, uid_of(model)) and "batchId" in task["spec"]


def holder_among(tasks: Iterable[Object], model: Object) -> str | None:
    """Name of the task that holds the model and that people made, if there is one."""
    return next((name_of(task) for task in tasks if says_it_holds(task) and not is_made(task, model)), None)


def asked_gpus(method: FineTuningMethod) -> int:
    """GPUs that a training asks for."""
    template = method.spec.pod_template
    return gpus(template.resources if template else None)


def ended(task: Object, training_job: Object | None) -> Ended | None:
    """How a task ended; None while it has not."""
    if not has_ended(task):
        return None
    status = task.get("status") or {}
    good, bad = true_condition(task, "Succeeded"), true_condition(task, "Failed")
    said = good or bad
    assert said is not None  # noqa: S101 - it has ended
    at = moment_of(str(status.get("completionTime") or said["lastTransitionTime"]))
    outcome = _outcome(str(said["reason"]), succeeded=good is not None)
    return Ended(outcome, at, _training_seconds(task, training_job, at))


def _outcome(reason: str, *, succeeded: bool) -> Outcome:
    if not succeeded:
        return "Cancelled" if reason == "Cancelled" else "Failed"
    if reason in PROMOTED:
        return "Promoted"
    if reason in REFUSED:
        return "Refused"
    if reason == "TooFewSessions":
        return "TooFewSessions"
    return "Undecided" if reason == "GateUndecided" else "Published"


def _training_seconds(task: Object, job: Object | None, at: datetime) -> float:
    """How long it trained at most: from the end of the check to that of the training.

    Time in Kueue's queue is left out, as the Job tells it; a wait for a node and time suspended count, too.
    """
    valid, trained = true_condition(task, "DataValid"), condition(task, "Trained")
    if valid is None or trained is None:
        return 0.0
    began = moment_of(str(valid["lastTransitionTime"]))
    started = ((job or {}).get("status") or {}).get("startTime")
    if task["spec"].get("queueName") and started:
        began = max(began, moment_of(str(started)))
    until = at if trained["status"] == "Unknown" else moment_of(str(trained["lastTransitionTime"]))
    return max(0.0, (until - began).total_seconds())


def deleted(run: RetrainRun, now: datetime) -> Ended:
    """The end of a run whose task is gone: as if it had trained all the time, for nobody knows better."""
    return Ended("Deleted", now, max(0.0, (now - moment_of(run.created_at)).total_seconds()))


def adopted(state: RetrainStatus, tasks: Iterable[Object], gpu_count: int, now: datetime) -> RetrainStatus:
    """With the runs of tasks that the status does not know, as after it was lost: they count, too.

    Args:
        state: the status.
        tasks: those that spec.retrain of this model made.
        gpu_count: GPUs that the method asks for.
        now: the time.
    """
    known = {run.task for run in state.runs or ()}
    found = []
    for task in tasks:
        end = ended(task, None)
        if name_of(task) in known or (end is not None and end.outcome == "TooFewSessions"):
            continue
        run = RetrainRun(
            task=name_of(task),
            uid=uid_of(task),
            batch_id=str(task["spec"]["batchId"]),
            trigger="NewBatch",
            created_at=stamp(moment_of(task["metadata"]["creationTimestamp"])),
            gpus=gpu_count,
        )
        ended_before = run.model_copy(update={"outcome": "Published", "ended_at": stamp(end.at)}) if end else run
        if counts(ended_before, now):
            found.append(run)
    runs = sorted([*(state.runs or ()), *found], key=lambda run: (run.created_at, run.task))
    return state.model_copy(update={"runs": runs}) if found else state


def surplus(tasks: Iterable[Object], history: History, at_work: frozenset[str]) -> list[Object]:
    """Tasks to remove: ended, their ends written down, and not among the newest.

    Args:
        tasks: those that spec.retrain of this model made.
        history: how many are kept.
        at_work: names of those whose end is not written down yet.
    """
    over = [task for task in tasks if has_ended(task) and not is_deleting(task) and name_of(task) not in at_work]
    over.sort(key=lambda task: (str((task.get("status") or {}).get("completionTime") or ""), name_of(task)))
    good = [task for task in over if true_condition(task, "Succeeded") is not None]
    bad = [task for task in over if true_condition(task, "Succeeded") is None]
    return [*good[: max(0, len(good) - history.succeeded)], *bad[: max(0, len(bad) - history.failed)]]


def learned_batches(task: Object, batch_id: str) -> list[str]:
    """The new batches of a task: of one that took none yet, the one that it names."""
    chosen = ((task.get("status") or {}).get("batches") or {}).get("learn")
    return [str(batch) for batch in chosen] if isinstance(chosen, list) and chosen else [batch_id]


def taken_batches(tasks: Iterable[Object], model: Object) -> frozenset[str]:
    """Batches of tasks of people, of the model, that are at work or ended well."""
    found = set()
    for task in tasks:
        if is_made(task, model) or true_condition(task, "Failed") is not None or is_deleting(task):
            continue
        batch = (task.get("status") or {}).get("batchId") or task["spec"].get("batchId")
        if batch is not None:
            found.update(learned_batches(task, str(batch)))
    return frozenset(found)
