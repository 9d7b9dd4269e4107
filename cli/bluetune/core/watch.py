"""What a person is shown while the line runs: functions of the task and the model as the API server has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

ROLLOUT_STEPS = {
    "Reindex": "encoding the catalogue with the new version",
    "Load": "loading the vectors into the database",
    "Patch": "telling the Deployment its new version",
    "Wait": "replacing the pods",
    "Verify": "asking the pods what they serve",
    "Promote": "making it the model's current version",
    "RollingBack": "rolling back",
}


@dataclass(frozen=True)
class View:
    """A moment of a run."""

    stage: str
    """What happens now, in words; the time is counted by it."""
    percent: int | None = None
    eta_seconds: int | None = None
    trials: str = ""
    """Done and total."""
    epoch: int | None = None
    best: float | None = None
    best_params: str = ""
    top: tuple[tuple[int, float, str], ...] = ()
    """(trial, quality, parameters), best first."""
    note: str = ""
    """The task's own sentence, or why something waits."""
    done: bool = False
    failed: bool = False


def of_model(model: Json) -> View:
    """The model on its way to serve its base."""
    status = model.get("status") or {}
    rollout = status.get("rollout") or {}
    if status.get("current"):
        return View("serving the base", done=True)
    note = problems(status) or rollout.get("message") or ""
    if rollout.get("step") == "Failed":
        return View("rolling out the base", note=note, failed=True)
    if rollout:
        return View(f"base: {ROLLOUT_STEPS.get(rollout['step'], rollout['step'])}", note=note)
    return View("importing the base", note=note, failed=condition(status, "Stalled") == "True")


def of_task(task: Json) -> View:
    """The task on its way through the line."""
    status = task.get("status") or {}
    if condition(status, "Succeeded") == "True":
        return _view("done", status, done=True)
    if condition(status, "Failed") == "True":
        return _view("failed", status, done=True, failed=True)
    return _view(_stage(status), status)


def _stage(status: Json) -> str:
    step = (status.get("rollout") or {}).get("step")
    if condition(status, "Published") == "True":
        return f"rollout: {ROLLOUT_STEPS.get(step, 'asking for it')}" if step else "comparing with the live version"
    if condition(status, "DataValid") == "True":
        return "training"
    if condition(status, "LockAcquired") == "True":
        return "checking the clicks"
    return "waiting for the model's lock"


def _view(stage: str, status: Json, *, done: bool = False, failed: bool = False) -> View:
    progress, best = status.get("progress") or {}, status.get("best") or {}
    training = stage == "training"
    top = tuple((t["trial"], t["quality"], parameters(t.get("params") or {})) for t in status.get("topTrials") or [])
    return View(
        stage=stage,
        percent=progress.get("percent"),
        eta_seconds=progress.get("etaSeconds") if training else None,
        trials=f"{progress.get('trialsDone', 0)}/{progress['trialsTotal']}" if progress.get("trialsTotal") else "",
        epoch=progress.get("epoch") if training else None,
        best=best.get("quality"),
        best_params=parameters(best.get("params") or {}),
        top=top[:5],
        note=status.get("message") or problems(status),
        done=done,
        failed=failed,
    )


def condition(status: Json, kind: str) -> str:
    """The status of a condition; Unknown if it is not there."""
    return str(next((c["status"] for c in status.get("conditions") or [] if c["type"] == kind), "Unknown"))


def reason(status: Json, kind: str) -> str:
    """The reason of a condition; empty if it is not there."""
    return str(next((c.get("reason", "") for c in status.get("conditions") or [] if c["type"] == kind), ""))


GOOD_WHEN_FALSE = {
    "Failed",
    "LockInconsistent",
    "Reconciling",
    "ServingUnsafe",
    "Stalled",
    "StatusUnreadable",
    "StoreUnsafe",
}
MEANT = {("Retraining", "Suspended"), ("Promoted", "Pinned")}
"""Type and reason of conditions that are False because a person wants it so."""


def problems(status: Json) -> str:
    """The messages of the conditions that are not as they should be."""
    wrong = [
        c
        for c in status.get("conditions") or []
        if c["type"] != "Reconciling"
        and (c["type"], c.get("reason")) not in MEANT
        and c["status"] == ("True" if c["type"] in GOOD_WHEN_FALSE else "False")
    ]
    said = dict.fromkeys(f"{c.get('reason', '')}: {c.get('message', '')}".removesuffix(": ") for c in wrong)
    return "; ".join(said)


def parameters(params: Json) -> str:
    """Hyperparameters in one line."""
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(params.items()))


def line(view: View) -> str:
    """A view as one line of a log."""
    parts = [view.stage]
    if view.trials:
        parts.append(f"trials {view.trials}")
    if view.percent is not None and not view.done:
        parts.append(f"{view.percent}%")
    if view.best is not None:
        parts.append(f"best {view.best:.4f}")
    return " · ".join([*parts, view.note] if view.note and view.note not in view.stage else parts)


def clock(seconds: float) -> str:
    """`4:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
