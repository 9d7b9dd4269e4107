"""What clients get: tasks and requests as values, from the objects of the API server."""

from dataclasses import dataclass, field
from typing import Literal

from bluetune.core import watch
from bluetune.core.errors import (
    BluetuneError,
    CliError,
    Conflict,
    Exit,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unreachable,
)
from bluetune.core.kinds import Object, name_of
from bluetune.core.refusals import ApiRefusal
from bluetune.core.tasks import ended, verdict


@dataclass(frozen=True)
class Task:
    """A FineTuningTask at one look."""

    name: str
    namespace: str
    model: str
    ended: Literal["Succeeded", "Failed"] | None
    """None while it goes on."""
    stage: str
    """What happens now, in words."""
    percent: int | None
    """Of the training, estimated."""
    eta_seconds: int | None
    """Estimated seconds to the end of the training."""
    trials_done: int
    trials_total: int
    best: float | None
    """Quality of the best trial so far, against the start version."""
    version: str | None
    """The version that it published."""
    promoted: bool | None
    """Whether the version was rolled out; None: nobody decided it yet."""
    batch: str | None
    """The batch that it learned from."""
    reason: str
    """Of its end, one word of the runbook; empty while it goes on."""
    message: str
    """How it stands, in a sentence."""
    report_url: str | None
    raw: Object = field(repr=False, compare=False)
    """The whole object."""


@dataclass(frozen=True)
class Asked:
    """What a model was asked to serve. The operator does it afterwards."""

    model: str
    version: str
    replaces: str | None
    """The current version."""
    changed: bool
    """False: it was so already."""


class TaskFailed(BluetuneError):
    """A task that was waited for failed."""

    def __init__(self, task: Task) -> None:
        super().__init__(verdict(task.raw))
        self.task = task


def task_of(found: Object) -> Task:
    """A task as a value."""
    status, view = found.get("status") or {}, watch.of_task(found)
    progress, end = status.get("progress") or {}, ended(found)
    promoted = watch.condition(status, "Promoted")
    return Task(
        name=name_of(found),
        namespace=str(found["metadata"].get("namespace") or ""),
        model=str(found["spec"]["modelRef"]["name"]),
        ended="Succeeded" if end == "Succeeded" else "Failed" if end else None,
        stage=view.stage,
        percent=view.percent,
        eta_seconds=view.eta_seconds,
        trials_done=int(progress.get("trialsDone") or 0),
        trials_total=int(progress.get("trialsTotal") or 0),
        best=view.best,
        version=status.get("bestModelId"),
        promoted=None if promoted == "Unknown" else promoted == "True",
        batch=status.get("batchId"),
        reason=watch.reason(status, end) if end else "",
        message=view.note,
        report_url=status.get("reportUrl"),
        raw=found,
    )


BY_STATUS: dict[int, type[Refused]] = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict}
BY_CODE: dict[Exit, type[BluetuneError]] = {
    Exit.USAGE: Invalid,
    Exit.UNREACHABLE: Unreachable,
    Exit.TIMEOUT: TimedOut,
}


def typed(error: CliError) -> BluetuneError:
    """What a command would end with, as programs catch it."""
    if error.code in BY_CODE:
        return BY_CODE[error.code](str(error))
    if isinstance(error, ApiRefusal):
        return BY_STATUS.get(error.status, Refused)(str(error))
    return Refused(str(error))
