"""Which Jobs a task should have, and with what."""

from dataclasses import replace
from typing import Literal

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, Gate
from bluetune_api.plans import method_plan
from bluetune_api.pods import PodTemplate
from bluetune_api.reading import RecordInvalid
from bluetune_api.records import Plan, RunOwner
from bluetune_api.task import FineTuningTask, FineTuningTaskStatus
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import KUEUE_QUEUE, Command, TrainerJob, plan_of
from bluetune_operator.core.jobs.cpu_pods import cpu_template
from bluetune_operator.core.jobs.resuming import RESUMED, resumed_once_more
from bluetune_operator.core.jobs.state import JobState
from bluetune_operator.core.jobs.workloads import is_finished_job
from bluetune_operator.core.kinds import Object, child_labels, condition, labels_of, name_of, true_condition
from bluetune_operator.core.tasks.run_record import RunRecord, record_of
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
        batches=status.batches,
        start_version=status.start_version,
        live_version=status.live_version,
        resume_from=status.resumed_from,
        method=method_plan(method.spec, task.spec.overrides),
        gate=model.spec.serving.gate if model.spec.serving else Gate(),
        metadata=task.spec.metadata or {},
    )


def train_plan(check: Plan) -> Plan:
    """The plan of the training, from the check's."""
    return check.model_copy(update={"kind": "Train"})


def as_checked(check: Object | None, now: tuple[Plan, RunRecord] | None) -> tuple[Plan, RunRecord] | None:
    """Plan and record that a training follows: those that were checked, also if method or model were edited since.

    Args:
        check: the check's ConfigMap; None if somebody deleted it.
        now: those of a run that would begin now; None without its method.

    Raises FormatTooNew.
    """
    try:
        plan = plan_of(check or {})
    except RecordInvalid:
        return now
    record = record_of(check) or (now[1] if now else None)
    return (plan, record) if record is not None else None


def check_job(
    raw: Object, task: FineTuningTask, model: EmbeddingModel, record: RunRecord, config: Config
) -> TrainerJob:
    """The CPU Job that reads the batch before a GPU is asked for."""
    return _job(raw, task, model, record, config, name="check", command="check")


def train_job(
    raw: Object,
    task: FineTuningTask,
    model: EmbeddingModel,
    record: RunRecord,
    config: Config,
    *,
    check: Object | None,
) -> TrainerJob:
    """The GPU Job. The check's running time counts against the task's deadline."""
    deadline = task.spec.active_deadline_seconds
    if deadline is not None and check is not None:
        deadline = _seconds_left(check, deadline)
    wanted = _job(raw, task, model, record, config, name="train", command="run")
    return replace(wanted, gpu=True, deadline_seconds=deadline)


def with_record(job: TrainerJob, record: RunRecord) -> TrainerJob:
    """The Job as the run's record has it."""
    return replace(
        job,
        image=record.image,
        template=_template(job.command, record),
        store=record.store or job.store,
        annotations=record.annotations(),
    )


def _template(command: Command, record: RunRecord) -> PodTemplate | None:
    return record.pod_template if command == "run" else cpu_template(record.pod_template, record.cpu_pod_template)


def _job(
    raw: Object,
    task: FineTuningTask,
    model: EmbeddingModel,
    record: RunRecord,
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
        image=record.image,
        image_pull_policy=config.trainer_image_pull_policy,
        fixed_ids=config.fixed_ids,
        store=model.spec.store,
        template=_template(command, record),
        max_retries=task.spec.max_retries,
        deadline_seconds=task.spec.active_deadline_seconds,
        annotations=record.annotations(),
        queue_name=task.spec.queue_name or model.spec.queue_name,
        suspend=True,  # it is resumed once the Lease, read after the Job is there, still names the task
    )


def _seconds_left(job: Object, deadline: int) -> int:
    """What a Job that ended leaves of a deadline. Suspending it has taken off what it had run until then."""
    kept = (job.get("spec") or {}).get("activeDeadlineSeconds")
    return max(1, round((deadline if kept is None else kept) - _seconds_run(job)))


def _seconds_run(job: Object) -> float:
    """From its start, or from when it was last resumed, to its end."""
    status = job.get("status") or {}
    begun = status.get("startTime")
    ended = status.get("completionTime") or (condition(job, "Failed") or {}).get("lastTransitionTime")
    return max((moment_of(ended) - moment_of(begun)).total_seconds(), 0.0) if begun and ended else 0.0


def is_kueues(job: Object) -> bool:
    """Whether Kueue starts and stops a Job: then nobody else may suspend it."""
    return KUEUE_QUEUE in labels_of(job)


def attempts(before: int | None, pod_before: str | None, state: JobState) -> int:
    """How many pods the training Job has started, those included that an eviction or a suspension has removed.

    Args:
        before: the count so far.
        pod_before: the newest pod when it was counted.
        state: the Job as it is now.
    """
    counted = before or 0
    if pod_before is not None and state.pod_name not in (None, pod_before):
        counted += 1
    return max(counted, state.attempt)


def suspension(job: Object, *, suspend: bool, now_stamp: str) -> Object | None:
    """The merge patch that suspends or resumes a Job, or None if it is as wanted, has ended, or is Kueue's.

    Kubernetes resets a Job's startTime, and with it activeDeadlineSeconds, when it is resumed; what is left of the
    deadline is kept by lowering it. The annotation tells the operator's suspensions from those of others.
    """
    if is_finished_job(job) or is_kueues(job) or bool(job["spec"].get("suspend")) == suspend:
        return None
    spec: Object = {"suspend": suspend}
    deadline, begun = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    # until the Job's controller has seen that it was resumed, startTime is still the one before
    if suspend and deadline is not None and begun and true_condition(job, "Suspended") is None:
        run = (moment_of(now_stamp) - moment_of(begun)).total_seconds()
        spec["activeDeadlineSeconds"] = max(1, round(deadline - run))
    metadata: Object = {"resourceVersion": job["metadata"]["resourceVersion"]}
    if not suspend:
        metadata["annotations"] = {RESUMED: resumed_once_more(job, now_stamp)}
    elif RESUMED in (job["metadata"].get("annotations") or {}):
        metadata["annotations"] = {RESUMED: None}
    return {"metadata": metadata, "spec": spec}
