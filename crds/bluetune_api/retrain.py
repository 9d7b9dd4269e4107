"""spec.retrain of an EmbeddingModel: when the operator makes tasks by itself, and what holds it back."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import (
    ApiModel,
    BatchId,
    Duration,
    Metadata,
    NameReference,
    QueueName,
    Rule,
    ShortText,
    StatusModel,
    Timestamp,
)
from bluetune_api.batch_window import Batches

MAX_RUNS_PER_WEEK = 168
MAX_KEPT_RUNS = 2 * MAX_RUNS_PER_WEEK + 8
"""Runs in a status: those that were made or ended within a week."""


def _cron_field(number: str) -> str:
    item = rf"(\*|({number})(-({number}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


_FIELDS = (
    "[0-5]?[0-9]",
    "[01]?[0-9]|2[0-3]",
    "0?[1-9]|[12][0-9]|3[01]",
    "0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC",
    "[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT",
)
CRON_PATTERN = "^" + " ".join(map(_cron_field, _FIELDS)) + "$"
Cron = Annotated[str, StringConstraints(min_length=9, max_length=100, pattern=CRON_PATTERN)]
"""Five fields: minute, hour, day of the month, month, day of the week."""
TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")
]


class NewBatch(ApiModel):
    """A batch that is complete and that nothing has learned from."""


class Trigger(ApiModel):
    """What makes a run due: a new batch, or a time."""

    RULES = (
        Rule(
            None,
            "set exactly one of newBatch and schedule",
            lambda t: (t.new_batch is None) != (t.schedule is None),
            exactly_one=("newBatch", "schedule"),
        ),
        Rule(
            "!has(self.timeZone) || has(self.schedule)",
            "timeZone goes with schedule only",
            lambda t: t.time_zone is None or t.schedule is not None,
            "timeZone",
        ),
    )

    new_batch: NewBatch | None = None
    """A run is due as soon as there is a complete batch to learn from: `{}`. The store is asked once a minute."""
    schedule: Cron | None = None
    """At these times, if there is a batch to learn from then: `0 3 * * *`. Minute, hour, day of the month, month and
    day of the week, as in a CronJob."""
    time_zone: TimeZone | None = None
    """Zone of the schedule: `Europe/Berlin`; default: UTC."""


class Brakes(ApiModel):
    """What holds runs back."""

    cooldown: Duration | None = None
    """Minimum time between the beginnings of two runs."""
    max_runs_per_week: Annotated[int, Field(ge=1, le=MAX_RUNS_PER_WEEK)] = 7
    """Maximum runs in any seven days."""
    gpu_hours_per_week: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """No run begins while those of the last seven days took so many hours of GPUs: the time of their trainings, times
    the GPUs that the method asks for. The last of them may go beyond it."""
    pause_after_refusals: Annotated[int, Field(ge=1, le=100)] | None = None
    """After so many runs in a row that the gate refused nothing is begun until `resume` is changed."""
    pause_after_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """After so many runs in a row that failed nothing is begun until `resume` is changed."""


class TaskTemplate(ApiModel):
    """What the tasks are made with; as in a FineTuningTask."""

    batches: Batches | None = None
    """Learn from several batches at once: from the newest open one and those before it that the live version has not
    learned from. Absent: from the newest open one."""
    deploy_as_blue: bool = False
    """Roll the new version out after training, if the gate lets it pass."""
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = -10
    """Order in the model's queue; below 0 what people apply goes first."""
    method_ref: NameReference | None = None
    """The FineTuningMethod; default: the model's."""
    metadata: Metadata | None = None
    """Free map, copied into the result and the model card."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Maximum seconds of running time; queued and suspended time does not count."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a crashed trainer is started again."""
    pending_timeout_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Maximum seconds in a row that a task may hold the model's lock while no pod of its Job runs. Absent: no end."""
    queue_name: QueueName | None = None
    """Kueue LocalQueue for the check and the training; default: the model's."""


class History(ApiModel):
    """How many of the tasks that retrain made are kept once they have ended; tasks of people are never removed."""

    succeeded: Annotated[int, Field(ge=0, le=100)] = 5
    """How many of the tasks that succeeded, the newest."""
    failed: Annotated[int, Field(ge=0, le=100)] = 5
    """How many of the tasks that failed or were cancelled, the newest."""


class Retrain(ApiModel):
    """When the operator makes tasks by itself, and what holds it back."""

    triggers: Annotated[list[Trigger], Field(min_length=1, max_length=10)]
    """What makes a run due; any of them does. A run learns from the newest batch that is open: complete, and neither
    learned from nor tried by an earlier one."""
    min_sessions: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Minimum number of informative sessions for a training, as the task's check counts them: of a batch, or with
    `template.batches` of all that are new. Fewer cost the check, and count as no run. The batches stay open for a
    smaller minimum, and with `template.batches` they are learned from together with the next one."""
    suspend: bool = False
    """Make no tasks; one that is there goes on. Times that pass meanwhile are not made up for."""
    resume: Annotated[str, StringConstraints(max_length=64)] | None = None
    """Any text, for example today's date: a change of it ends a pause after refusals or failures."""
    brakes: Brakes = Field(default_factory=Brakes)
    """What holds runs back."""
    template: TaskTemplate = Field(default_factory=TaskTemplate)
    """What the tasks are made with."""
    history: History = Field(default_factory=History)
    """How many tasks are kept."""


Outcome = Literal["Promoted", "Published", "Refused", "Undecided", "TooFewSessions", "Failed", "Cancelled", "Deleted"]
"""How a run ended. Published: blue was not asked for, or not the gate kept the version from it."""


class RetrainRun(StatusModel):
    """A run that was made, kept for a week."""

    task: ShortText
    """Name of its task."""
    uid: ShortText | None = None
    """uid of the task; absent until it is made."""
    batch_id: BatchId
    """What it learns from."""
    trigger: Literal["NewBatch", "Schedule"]
    """Why it was due."""
    created_at: Timestamp
    """When it was decided on."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs that its method asked for then."""
    outcome: Outcome | None = None
    """How it ended; absent while it is at work."""
    ended_at: Timestamp | None = None
    """When it ended."""
    gpu_hours: Annotated[float, Field(ge=0)] | None = None
    """Hours of its training, times its GPUs."""


class RetrainStatus(StatusModel):
    """What retrain did and waits for."""

    next_run_time: Timestamp | None = None
    """Before this no run begins, and then one does if there is a batch to learn from; absent while that is not known.
    """
    last_run_time: Timestamp | None = None
    """When the last run that counts was decided on."""
    last_task: ShortText | None = None
    """Its task."""
    runs_this_week: Annotated[int, Field(ge=0)] | None = None
    """Runs of the last seven days, as of the last look."""
    gpu_hours_this_week: Annotated[float, Field(ge=0)] | None = None
    """Hours of GPUs that runs took in the last seven days, as of the last look."""
    refusals: Annotated[int, Field(ge=0)] = 0
    """Runs in a row that the gate refused."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Runs in a row that failed."""
    judged: Timestamp | None = None
    """Times of a schedule up to this one were dealt with."""
    triggers: ShortText | None = None
    """Digest of the triggers that `judged` speaks of."""
    resume: ShortText | None = None
    """`spec.retrain.resume` as it was seen last."""
    runs: Annotated[list[RetrainRun], Field(max_length=MAX_KEPT_RUNS)] | None = None
    """Runs at work, and those of the last seven days."""
