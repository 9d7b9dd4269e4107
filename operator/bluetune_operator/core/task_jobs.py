"""Which Jobs a task should have, and with what."""

from dataclasses import replace
from typing import Literal

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, Gate
from bluetune_api.plans import method_plan
from bluetune_api.records import Plan, RunOwner
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs import KUEUE_QUEUE, Command, TrainerJob
from bluetune_operator.core.kinds import Object, child_labels, labels_of, name_of
from bluetune_operator.core.lock import is_finished_job
from bluetune_operator.core.times import moment_of


def check_plan(
    task: FineTuningTask, status: FineTuningTaskStatus, model: EmbeddingModel, method: FineTuningMethod
) -> Plan:
    """The plan of the check; the training follows the same one, so that what was checked is what is trained on."""
    return Plan(
        kind="Check",
        owner=RunOwner(
            kind="FineTuningTask",
            name=task.metadata.name,
            namespace=task.metadata.namespace or "",
            uid=task.metadata.uid,
        ),
        model=model.metadata.name,
        store=model.spec.store.location(),
        batch_id=status.batch_id,
        start_version=status.start_version,
        live_version=status.live_version,
        method=method_plan(method.spec, task.spec.overrides),
        gate=model.spec.serving.gate if model.spec.serving else Gate(),
        metadata=task.spec.metadata or {},
    )


def train_plan(check: Plan) -> Plan:
    """The plan of the training, from the check's."""
    return check.model_copy(update={"kind": "Train"})


def check_job(
    raw: Object, task: FineTuningTask, model: EmbeddingModel, method: FineTuningMethod, config: Config
) -> TrainerJob:
    """The CPU Job that reads the batch before a GPU is asked for."""
    return _job(raw, task, model, method, config, name="check", command="check")


def train_job(
    raw: Object,
    task: FineTuningTask,
    model: EmbeddingModel,
    method: FineTuningMethod,
    config: Config,
    *,
    check: Object | None,
) -> TrainerJob:
    """The GPU Job. The check's running time counts against the task's deadline."""
    deadline = task.spec.active_deadline_seconds
    if deadline is not None and check is not None:
        deadline = max(1, deadline - round(_seconds_run(check)))
    wanted = _job(raw, task, model, method, config, name="train", command="run")
    return replace(wanted, gpu=True, deadline_seconds=deadline, queue_name=task.spec.queue_name)


def _job(
    raw: Object,
    task: FineTuningTask,
    model: EmbeddingModel,
    method: FineTuningMethod,
    config: Config,
    *,
    name: Literal["check", "train"],
    command: Command,
) -> TrainerJob:
    return TrainerJob(
        name=f"{name_of(raw)}-{name}",
        namespace=task.metadata.namespace or "",
        owner=raw,
        labels=child_labels(model=model.metadata.name, job=name, task=raw),
        command=command,
        image=method.spec.image or config.trainer_image,
        image_pull_policy=config.trainer_image_pull_policy,
        store=model.spec.store,
        template=method.spec.pod_template,
        max_retries=task.spec.max_retries,
        deadline_seconds=task.spec.active_deadline_seconds,
    )


def _seconds_run(job: Object) -> float:
    status = job.get("status") or {}
    begun = status.get("startTime")
    ended = status.get("completionTime") or next(
        (c.get("lastTransitionTime") for c in status.get("conditions") or [] if c["type"] == "Failed"), None
    )
    return max((moment_of(ended) - moment_of(begun)).total_seconds(), 0.0) if begun and ended else 0.0


def suspension(job: Object, *, suspend: bool, now_stamp: str) -> Object | None:
    """The merge patch that suspends or resumes a Job, or None if it is as wanted, has ended, or is Kueue's.

    Kubernetes resets a Job's startTime, and with it activeDeadlineSeconds, when it is suspended; what is left of the
    deadline is kept by lowering it.
    """
    if is_finished_job(job) or KUEUE_QUEUE in labels_of(job) or bool(job["spec"].get("suspend")) == suspend:
        return None
    spec: Object = {"suspend": suspend}
    deadline, begun = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if suspend and deadline is not None and begun:
        run = (moment_of(now_stamp) - moment_of(begun)).total_seconds()
        spec["activeDeadlineSeconds"] = max(1, round(deadline - run))
    return {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"]}, "spec": spec}
