"""A rollout, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bluetune.core.kinds import Object
from bluetune.core.page.words import Moment, moment
from bluetune.core.watch import ROLLOUT_STEPS

OVER = ("Done", "Failed")


@dataclass(frozen=True)
class Step:
    """A step, and whether it is over, under way, or to come."""

    words: str
    state: Literal["done", "now", "todo"]


@dataclass(frozen=True)
class RolloutView:
    """A rollout under way, or the last one's failure."""

    to: str
    source: str | None
    task: str | None
    failed: bool
    words: str
    """What happens now, in a few words."""
    message: str
    reason: str
    steps: tuple[Step, ...]
    """Empty for one that goes back, or failed."""
    started: Moment | None
    step_started: Moment | None
    attempt: int


def rollout(model: Object, now: datetime) -> RolloutView | None:
    """The model's rollout; None where there is none, or it is done."""
    found = (model.get("status") or {}).get("rollout") or {}
    step = found.get("step")
    if not found or step == "Done":
        return None
    queued = bool(found.get("queuedSince"))
    words = "failed" if step == "Failed" else ROLLOUT_STEPS.get(str(step), str(step))
    return RolloutView(
        to=str(found.get("to", "")),
        source=found.get("from"),
        task=found.get("task"),
        failed=step == "Failed",
        words="waiting for its turn" if queued else words,
        message=str(found.get("message") or ""),
        reason=str(found.get("reason") or ""),
        steps=_steps((model["spec"].get("serving")) or {}, str(step), queued),
        started=moment(found.get("startedAt"), now),
        step_started=moment(found.get("stepStartedAt"), now),
        attempt=found.get("attempt") or 1,
    )


def _steps(serving: Mapping[str, Any], step: str, queued: bool) -> tuple[Step, ...]:
    target = ((serving.get("index") or {}).get("target") or {}).get("type")
    having = {
        "Reindex": bool(serving.get("index") or serving.get("reindex")),
        "Load": target == "Pgvector",
        "Verify": bool(serving.get("verify")),
    }
    names = [name for name in ROLLOUT_STEPS if name != "RollingBack" and (having.get(name, True) or name == step)]
    if step not in names:
        return ()
    at = names.index(step)
    return tuple(
        Step(ROLLOUT_STEPS[name], "done" if number < at else "now" if number == at and not queued else "todo")
        for number, name in enumerate(names)
    )
