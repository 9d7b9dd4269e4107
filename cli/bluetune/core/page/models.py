"""A model: what blue serves and since when, its rollout, its queue, its runs, its versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bluetune.core import versions
from bluetune.core.kinds import Object, name_of
from bluetune.core.page.lineage import Lineage, lineage
from bluetune.core.page.rollouts import RolloutView, rollout
from bluetune.core.page.runs import RunLine, run_line
from bluetune.core.page.words import Moment, Tone, metric, moment, tone_of
from bluetune.core.watch import problems

MAX_RUNS = 30
"""Ended runs that a model's page lists."""
MAX_WAITING = 50


@dataclass(frozen=True)
class ModelView:
    """All of a model that does not need its store."""

    name: str
    tone: Tone
    state: str
    """Ready's reason."""
    problem: str
    serves: str | None
    since: Moment | None
    made_by: str | None
    metrics: tuple[tuple[str, str], ...]
    deployment: str | None
    pinned: str | None
    release: str
    """The command that lets new versions in again, where one is pinned."""
    promote: str
    """What became of spec.serving.promote, unless it was promoted."""
    next_run: Moment | None
    rollout: RolloutView | None
    at_work: tuple[RunLine, ...]
    queue: tuple[RunLine, ...]
    waiting: int
    ended: tuple[RunLine, ...]
    more_ended: int
    lineage: Lineage
    may_change: bool
    """Whether it serves at all, so that promote and roll back mean something."""


def model_view(model: Object, tasks: Sequence[Object], now: datetime) -> ModelView:
    """The model and its tasks, at a time."""
    spec, status = model["spec"], model.get("status") or {}
    serving, current = spec.get("serving") or {}, status.get("current") or {}
    name = name_of(model)
    runs = [run_line(task, now) for task in tasks if task["spec"]["modelRef"]["name"] == name]
    going = [run for run in runs if not run.ended]
    queue = sorted((run for run in going if run.waits), key=lambda run: run.turn)
    over = sorted((run for run in runs if run.ended), key=lambda run: run.time, reverse=True)
    ready = _condition(status, "Ready")
    pinned = serving.get("rollbackTo")
    return ModelView(
        name=name,
        tone="busy" if _condition(status, "Reconciling").get("status") == "True" else tone_of(ready),
        state=str(ready.get("reason") or "not looked at by an operator yet"),
        problem=problems(status),
        serves=current.get("version"),
        since=moment(current.get("promotedAt"), now),
        made_by=current.get("task"),
        metrics=tuple((metric_name, metric(value)) for metric_name, value in (current.get("metrics") or {}).items()),
        deployment=serving.get("deployment"),
        pinned=pinned,
        release=versions.removal(model, "rollbackTo") if pinned else "",
        promote=_promote(status.get("promote") or {}),
        next_run=moment((status.get("retrain") or {}).get("nextRunTime"), now),
        rollout=rollout(model, now),
        at_work=tuple(run for run in going if not run.waits),
        queue=tuple(queue[:MAX_WAITING]),
        waiting=len(queue),
        ended=tuple(over[:MAX_RUNS]),
        more_ended=max(len(over) - MAX_RUNS, 0),
        lineage=lineage(versions.versions(model, tasks)),
        may_change=bool(serving),
    )


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or [] if c["type"] == kind), {"type": kind, "status": "Unknown"})


def _promote(status: Mapping[str, Any]) -> str:
    outcome = status.get("outcome")
    if outcome in (None, "Promoted"):
        return ""
    said = ": ".join(str(part) for part in (status.get("reason"), status.get("message")) if part)
    return f"promote {status.get('version')}: {outcome}" + (f" ({said})" if said else "")
