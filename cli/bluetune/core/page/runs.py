"""A run: how far it is, what its store tells of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from bluetune.core.kinds import Object, name_of
from bluetune.core.page.plots import Curves, Intervals, curves, intervals
from bluetune.core.page.words import Moment, Tone, count, gain, lasting, metric, moment, share, tone_of, when
from bluetune.core.tasks import ended
from bluetune.core.watch import condition, of_task, parameters
from bluetune_api.gate_verdict import gate_verdict
from bluetune_api.model import Gate
from bluetune_api.reading import read_spec
from bluetune_api.records import CheckReport, GateGuard, Result, Trial

TONES: Mapping[str, Tone] = {
    "Succeeded": "good",
    "Failed": "bad",
    "Refused": "bad",
    "Running": "busy",
    "Deploying": "busy",
}
VERDICTS: Mapping[str, tuple[str, Tone]] = {
    "GatePassed": ("The gate lets it pass", "good"),
    "GateNotPassed": ("Not better", "bad"),
    "GateGuarded": ("A guard refuses it", "bad"),
    "GateUndecided": ("Undecided", "quiet"),
    "GateNotMeasured": ("Not measured", "quiet"),
    "GateStale": ("Measured by what the gate no longer asks", "quiet"),
}
FAR = datetime.max.isoformat()


@dataclass(frozen=True)
class RunLine:
    """A run in a list."""

    name: str
    model: str
    phase: str
    tone: Tone
    stage: str
    percent: int | None
    left: str
    trials: str
    best: str
    version: str | None
    started: Moment | None
    completed: Moment | None
    message: str
    position: int | None
    blocked_by: str | None
    ended: bool
    waits: bool
    """In the queue."""
    cancelling: bool
    time: str
    """When it ended or began, to sort by."""
    turn: tuple[int, int, str]
    """Its place in the queue, to sort by: as the operator told it, then as it will judge."""


def run_line(task: Object, now: datetime) -> RunLine:
    """A task, at a time."""
    status, spec, view = task.get("status") or {}, task["spec"], of_task(task)
    phase, queue = str(status.get("phase") or "Pending"), status.get("queue") or {}
    over = ended(task) is not None
    created = str(task["metadata"].get("creationTimestamp") or "")
    return RunLine(
        name=name_of(task),
        model=str(spec["modelRef"]["name"]),
        phase=phase,
        tone=TONES.get(phase, "quiet"),
        stage=view.stage,
        percent=100 if over and not view.failed else view.percent,
        left=f"about {lasting(view.eta_seconds)} left" if view.eta_seconds is not None and not over else "",
        trials=view.trials,
        best=metric(view.best) if view.best is not None else "",
        version=status.get("bestModelId"),
        started=moment(status.get("startTime"), now),
        completed=moment(status.get("completionTime"), now),
        message=view.note,
        position=queue.get("position"),
        blocked_by=queue.get("blockedBy"),
        ended=over,
        waits=not over and condition(status, "LockAcquired") != "True",
        cancelling=bool(spec.get("cancel")) and not over,
        time=str(status.get("completionTime") or status.get("startTime") or created),
        turn=(queue.get("position") or 1_000_000, -(spec.get("priority") or 0), created or FAR),
    )


@dataclass(frozen=True)
class Records:
    """What a run has in its store, as far as the user may read it."""

    result: Result | None = None
    check: CheckReport | None = None
    trials: Sequence[Trial] = ()
    report: bool = False
    why: str = ""
    """Why something, or all, cannot be read."""
    looked: bool = True
    """False: the store is still being asked."""


@dataclass(frozen=True)
class Said:
    """A condition, a verdict or a fact."""

    name: str
    told: str
    tone: Tone = "quiet"
    aside: str = ""


@dataclass(frozen=True)
class GateView:
    """What the gate makes of the run."""

    title: str
    tone: Tone
    message: str
    plot: Intervals | None
    guards: tuple[Said, ...] = ()


@dataclass(frozen=True)
class CheckView:
    """The check's verdict on the batch."""

    title: str
    tone: Tone
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    facts: tuple[Said, ...]


@dataclass(frozen=True)
class RunView:
    """A run's page."""

    line: RunLine
    batches: tuple[str, ...]
    start_version: str | None
    live_version: str | None
    pod: str | None
    trial_rows: tuple[tuple[int, str, str], ...]
    """(trial, objective, parameters), best first."""
    conditions: tuple[Said, ...]
    metrics: tuple[tuple[str, str, str], ...]
    """(name, of the live version, of the new one): what the gate measured."""
    curves: Curves | None
    gate: GateView | None
    check: CheckView | None
    report: bool
    report_at: str
    why: str
    """Why a part that lies in the store is not shown."""
    reading: bool
    extra: Mapping[str, str] = field(default_factory=dict)
    """The task's metadata."""


def run_view(task: Object, model: Object | None, records: Records, now: datetime) -> RunView:
    """A task with what its store tells, at a time."""
    status, view = task.get("status") or {}, of_task(task)
    several = [str(batch) for batch in (status.get("batches") or {}).get("learn") or ()]
    best = (status.get("best") or {}).get("trial")
    measured = status.get("metrics") or {}
    before, after = measured.get("baseline") or {}, measured.get("candidate") or {}
    top = [(t["trial"], metric(t["quality"]), parameters(t.get("params") or {})) for t in status.get("topTrials") or []]
    return RunView(
        line=run_line(task, now),
        batches=tuple(several or ([str(status["batchId"])] if status.get("batchId") else [])),
        start_version=status.get("startVersion"),
        live_version=status.get("liveVersion"),
        pod=None if view.done else status.get("podName"),
        trial_rows=tuple(top),
        conditions=tuple(
            Said(c["type"], str(c.get("reason") or ""), tone_of(c), str(c.get("message") or ""))
            for c in status.get("conditions") or []
        ),
        metrics=tuple(
            (name, metric(before[name]) if name in before else "–", metric(after[name]) if name in after else "–")
            for name in sorted({*before, *after})
        ),
        curves=curves(records.trials, best),
        gate=_gate(status, model, records),
        check=_check(status, records),
        report=records.report,
        report_at=str(status.get("reportUrl") or ""),
        why=records.why,
        reading=not records.looked,
        extra=task["spec"].get("metadata") or {},
    )


def _gate(status: Mapping[str, Any], model: Object | None, records: Records) -> GateView | None:
    if records.result is None or records.result.kind != "Train":
        return _gate_by_status(status)
    try:
        asked = read_spec(Gate, (((model or {}).get("spec") or {}).get("serving") or {}).get("gate") or {})
    except ValidationError:  # of a newer release; its operator has written what it makes of the run
        return _gate_by_status(status)
    report = records.result.gate
    verdict = gate_verdict(report, asked)
    title, tone = VERDICTS[verdict.reason]
    if report is None:
        return GateView(title, tone, verdict.message, None)
    plot = intervals(report, asked.min_delta)
    return GateView(title, tone, verdict.message, plot, tuple(_guard(guard) for guard in report.guards))


def _guard(guard: GateGuard) -> Said:
    told = {True: "holds", False: "broken", None: "not measured"}[guard.passed]
    tone: Tone = "quiet" if guard.passed is None else "good" if guard.passed else "bad"
    return Said(f"{guard.kind}: {guard.name}", told, tone, guard.detail)


def _gate_by_status(status: Mapping[str, Any]) -> GateView | None:
    """What the operator wrote of it."""
    said = next((c for c in status.get("conditions") or [] if str(c.get("reason")) in VERDICTS), None)
    if said is None:
        return None
    title, tone = VERDICTS[str(said["reason"])]
    return GateView(title, tone, str(said.get("message") or ""), None)


def _check(status: Mapping[str, Any], records: Records) -> CheckView | None:
    found = records.check
    if found is not None:
        title = "Worth training on" if found.valid else "Not worth training on"
        tone: Tone = "good" if found.valid else "bad"
        return CheckView(title, tone, tuple(found.problems), tuple(found.notes), tuple(_facts(found)))
    said = next((c for c in status.get("conditions") or [] if c["type"] == "DataValid"), None)
    if said is None or said["status"] == "Unknown":
        return None
    valid = said["status"] == "True"
    message = str(said.get("message") or "")
    return CheckView(
        "Worth training on" if valid else f"Not worth training on ({said.get('reason')})",
        "good" if valid else "bad",
        () if valid or not message else (message,),
        (message,) if valid and message else (),
        (),
    )


def _facts(check: CheckReport) -> list[Said]:
    found = [
        Said("sessions", f"{check.sessions:,}", aside=f"{check.informative_sessions:,} can be measured"),
        Said("clicked results", f"{check.positives:,}", aside=f"of {check.results:,} shown"),
        Said("different queries", f"{check.queries:,}"),
        Said(
            "catalogue", count(check.catalogue_size, "item"), aside=f"knows {share(check.coverage)} of what was shown"
        ),
    ]
    if check.smallest_gain is not None:
        found.append(Said("smallest gain seen", gain(check.smallest_gain), aside="four times in five"))
    if check.duplicates or check.broken_lines:
        found.append(Said("left out", f"{check.duplicates:,} repeated, {check.broken_lines:,} broken"))
    if check.first and check.last:
        found.append(Said("from, to", f"{_day(check.first)}, {_day(check.last)}"))
    return found


def _day(stamp: str) -> str:
    at = when(stamp)
    return f"{at:%Y-%m-%d}" if at else stamp
