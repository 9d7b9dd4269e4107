"""FineTuningTask: one run, from a batch of clicks to a version, and if asked to production."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import (
    ApiModel,
    BatchId,
    Conditions,
    Digest,
    Metadata,
    Metrics,
    Name,
    NameReference,
    QueueName,
    ShortText,
    StatusModel,
    Text,
    Timestamp,
    Uid,
    Uri,
    VersionId,
    immutable,
)
from bluetune_api.batch_window import Batches, BatchSelection
from bluetune_api.method import PARAMETER_NAMES_RULE, SearchSpace, Settings
from bluetune_api.model import Rollout
from bluetune_api.reasons import Phase
from bluetune_api.resource import PrintColumn, Resource


class Overrides(ApiModel):
    """Parts of the method, for this run alone."""

    RULES = (PARAMETER_NAMES_RULE,)

    settings: Settings | None = None
    """Settings that replace the method's, field by field."""
    initial_params: SearchSpace | None = None
    """Parameters that replace the method's, one by one."""
    initial_max_evals: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Trials of the search."""


class FineTuningTaskSpec(ApiModel):
    """One run. Only `priority`, `suspend`, `cancel`, `pendingTimeoutSeconds` and `ttlSecondsAfterFinished` can
    change."""

    model_ref: NameReference = immutable("The EmbeddingModel to fine-tune.")
    method_ref: NameReference | None = immutable("The FineTuningMethod; default: the model's.", None)
    batch_id: BatchId | None = immutable(
        "Clickstream batch; default: the newest complete one that the start version has not learned from.", None
    )
    batches: Batches | None = immutable(
        "Several batches instead of one: all complete ones of a window that the start version has not learned from;"
        " with batchId the window ends with that batch.",
        None,
    )
    start_from: VersionId | None = immutable("Version to start from; default: the model's current one.", None)
    resume_from: Name | None = immutable(
        "A failed or cancelled task of the same model, which this one goes on from: trials that it finished are not"
        " trained again, and its batches and start version are taken. The method must be what it was.",
        None,
    )
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = immutable(
        "A second task with the same key and model does no work and takes over the first one's result.", None
    )
    deploy_as_blue: bool = immutable("Roll the new version out after training, if the gate lets it pass.", False)
    wait_on_conflict: bool = immutable(
        "True: queue for the model's lock; false: end as Refused at once when it is held.", True
    )
    metadata: Metadata | None = immutable("Free map, copied into the result and the model card.", None)
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    """Order in the model's queue, higher first; then creation time, then uid."""
    suspend: bool = False
    """Pause: a waiting task leaves the queue; a running one keeps the lock and its Job is suspended."""
    cancel: bool = False
    """End the run and keep its record; the best finished trial is kept and never promoted."""
    min_sessions: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = immutable(
        "Fewest informative sessions that are worth a training: with fewer the task ends well after its check"
        " (`TooFewSessions`), and nothing is trained.",
        None,
    )
    overrides: Overrides | None = immutable("Parts of the method, for this run alone.", None)
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = immutable(
        "Most seconds of running time; queued and suspended time does not count.", None
    )
    pending_timeout_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Maximum seconds in a row that the task may hold the model's lock while its Job gets no pod, or the pod cannot
    start; then it fails as `PendingTimeout` and gives the lock back. Absent: it waits without an end."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = immutable(
        "How often a crashed trainer is started again; evictions and a store that cannot be used do not count.", 3
    )
    queue_name: QueueName | None = immutable(
        "Kueue LocalQueue for the check and the training; default: the model's.", None
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=315_360_000)] | None = None
    """Delete the task this long after it ended."""


class Queue(StatusModel):
    """Place in the model's queue."""

    position: Annotated[int, Field(ge=1)]
    """1 is next. Behind the tenth it is rounded up to tens, behind the hundredth to hundreds."""
    blocked_by: ShortText | None = None
    """Task that holds the lock; told to the first ten."""


class TaskProgress(StatusModel):
    """How far the run is."""

    percent: Annotated[int, Field(ge=0, le=100)]
    """Estimated progress of the whole run, in percent."""
    eta_seconds: Annotated[int, Field(ge=0)] | None = None
    """Estimated seconds to the end."""
    trials_done: Annotated[int, Field(ge=0)] = 0
    """Trials that ended."""
    trials_total: Annotated[int, Field(ge=0)] = 0
    """Trials of the search."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Epoch of the running trial, from 1."""
    stage: ShortText | None = None
    """What the trainer is doing."""
    trials: Annotated[str, StringConstraints(max_length=32)] | None = None
    """Done and total, for people."""
    summary: Annotated[str, StringConstraints(max_length=64)] | None = None
    """Percent and time left, for people."""
    updated_at: Timestamp
    """When the trainer last said so."""


Params = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class TrialSummary(StatusModel):
    """A trial in short."""

    trial: Annotated[int, Field(ge=0)]
    """Its number."""
    quality: float
    """The objective on the validation sessions."""
    params: Params = Field(default_factory=dict)
    """Its hyperparameters."""


class TaskMetrics(StatusModel):
    """What the gate compares: both on queries that a training did not see."""

    baseline: Metrics | None = None
    """Metrics of the live version."""
    candidate: Metrics | None = None
    """Metrics of the new version."""


class EarlierRun(StatusModel):
    """The run that a task goes on from."""

    task: ShortText
    """Name of its task."""
    uid: Uid
    """uid of its task: the run's folder in the store, also when the task is deleted."""


class FineTuningTaskStatus(StatusModel):
    """Kept by the operator; bounded, whatever the number of trials."""

    phase: Phase | None = None
    """For people; programs read the conditions."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation that the status speaks of."""
    conditions: Conditions | None = None
    """`Accepted`, `LockAcquired`, `DataValid`, `Trained`, `Published`, `Promoted`, `PlanCurrent`, the
    terminal pair `Succeeded`/`Failed`, `Ready`/`Reconciling`/`Stalled`, and `StatusUnreadable`."""
    batch_id: BatchId | None = None
    """Batch chosen under the lock; of several, the newest."""
    batches: BatchSelection | None = None
    """All batches chosen under the lock, where `spec.batches` asks for several."""
    start_version: VersionId | None = None
    """Start version chosen under the lock."""
    live_version: VersionId | None = None
    """Version that blue served when the lock was taken; the gate compares with it."""
    resumed_from: EarlierRun | None = None
    """Run that this one goes on from, found when the task was accepted."""
    job_name: ShortText | None = None
    """Job that is running, or was last."""
    attempt: Annotated[int, Field(ge=0)] | None = None
    """Pods that the training Job has started, evicted and suspended ones too."""
    pod_name: ShortText | None = None
    """Newest pod of the training Job, for `kubectl logs`."""
    pending_since: Timestamp | None = None
    """Since when the Job gets no pod, or the pod cannot start; absent while one runs."""
    queue: Queue | None = None
    """Place in the model's queue, while waiting."""
    progress: TaskProgress | None = None
    """How far the run is."""
    best: TrialSummary | None = None
    """Best of the trials that trained to their end; empty until one has."""
    top_trials: Annotated[list[TrialSummary], Field(max_length=10)] | None = None
    """Best trials, best first."""
    metrics: TaskMetrics | None = None
    """What the gate measured."""
    best_model_id: VersionId | None = None
    """Version that the run published."""
    best_model_url: Uri | None = None
    """Its folder in the store."""
    digest: Digest | None = None
    """sha256 of its manifest."""
    report_url: Uri | None = None
    """Report of the run."""
    rollout: Rollout | None = None
    """The model's rollout, while it is this task's."""
    duplicate_of: ShortText | None = None
    """Task whose result was taken over."""
    start_time: Timestamp | None = None
    """When the lock was taken."""
    completion_time: Timestamp | None = None
    """When the task ended."""
    message: Text | None = None
    """What is happening now, in one line; the condition Ready has the whole message."""


class FineTuningTask(Resource):
    """One run: from a batch of clicks to a new version, and with deployAsBlue to production."""

    PLURAL: ClassVar[str] = "finetuningtasks"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ftt",)
    NAME_LIMIT: ClassVar[int] = 50
    COLUMNS: ClassVar[tuple[PrintColumn, ...]] = (
        PrintColumn("Model", ".spec.modelRef.name"),
        PrintColumn("Phase", ".status.phase"),
        PrintColumn("Progress", ".status.progress.summary"),
        PrintColumn("Trials", ".status.progress.trials"),
        PrintColumn("Best", ".status.best.quality", "number"),
        PrintColumn("Blue", ".status.conditions[?(@.type=='Promoted')].status"),
        PrintColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
        PrintColumn("Message", ".status.message", priority=1),
        PrintColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    kind: Literal["FineTuningTask"]
    spec: FineTuningTaskSpec
    status: FineTuningTaskStatus | None = None
