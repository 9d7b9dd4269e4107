"""Progress and result for a person at a terminal."""

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from bluetune_api.model import Gate
from bluetune_api.records import GateReport, Progress, Result
from bluetune_trainer.report.comparison import changes, moved
from bluetune_trainer.report.decision import JUDGES, decision

WIDTH = 24
SECONDS_BETWEEN_LINES = 5.0
_SERVED = {True: "which a cluster would roll out", False: "which a cluster would keep, and not roll out"}


class Display:
    """A bar that is redrawn on a terminal; elsewhere a line every 5 s, and whenever a stage or a trial ends."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._bar = stream.isatty()
        self._last: tuple[str, int] = ("", -1)
        self._shown = float("-inf")
        self._drawn = False

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def show(self, progress: Progress) -> None:
        """The newest state."""
        now, state = self._clock(), (progress.stage, progress.trials_done)
        wait = 0.2 if self._bar else SECONDS_BETWEEN_LINES
        if state == self._last and now - self._shown < wait:
            return
        self._last, self._shown = state, now
        if not self._bar:
            self.say(line(progress))
            return
        done = WIDTH * progress.percent // 100
        self._stream.write(f"\r\x1b[K{'█' * done}{'░' * (WIDTH - done)} {line(progress)}")
        self._stream.flush()
        self._drawn = True

    def close(self) -> None:
        """Leave the terminal at the beginning of a line."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = False

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False


def line(progress: Progress) -> str:
    """Progress in one line."""
    parts = [f"{progress.percent:3d}%", progress.stage]
    if progress.trials_total:
        parts.append(f"trials {progress.trials_done}/{progress.trials_total}")
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}")
    if progress.baseline is not None:
        parts.append(f"before {progress.baseline:.4f}")
    if progress.best is not None:
        parts.append(f"best {progress.best.quality:.4f}")
    if progress.eta_seconds is not None and progress.stage != "Done":
        parts.append(f"{duration(progress.eta_seconds)} left")
    return "  ".join(parts)


def duration(seconds: int) -> str:
    """`48s`, `2m05s`, `1h02m`."""
    minutes, rest = divmod(max(seconds, 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def summary(result: Result, gate: Gate) -> str:
    """How a run ended: what the gate decides and by what, the trial that won, and where the model is.

    `gate` is what is asked for.
    """
    decided = decision(result.gate, gate)
    failed = f", {result.trials_failed} of them failed" if result.trials_failed else ""
    trials = f"{result.trials_done} {'trial' if result.trials_done == 1 else 'trials'}"
    lines = [f"{decided.title} ({decided.verdict.reason}): {decided.verdict.message}", ""]
    if result.gate is not None:
        lines += [*judges(result.gate), ""]
    lines += table("validation sessions", result.baseline, result.candidate)
    if result.best is not None:
        params = ", ".join(f"{name}={_short(value)}" for name, value in sorted(result.best.params.items()))
        lines += ["", f"best trial {result.best.trial} of {trials}{failed}: {params}"]
    lines += [f"published  {result.version}, {_SERVED[decided.verdict.reason == 'GatePassed']}"]
    lines += [f"model      {result.uri.rstrip('/')}", f"digest     {result.digest}"]
    if result.report_url or result.report_problem:
        lines.append(f"report     {result.report_url or result.report_problem}")
    return "\n".join(lines)


def judges(report: GateReport) -> list[str]:
    """What each judge of the gate says."""
    title = f"gain in {report.metric}"
    width = max([len(title), *(len(JUDGES[judge.name]) for judge in report.judges)]) + 2
    return [
        f"  {title:{width}}{'mean':>9}{'from':>9}{'to':>9}",
        *(f"  {JUDGES[j.name]:{width}}{j.delta:+9.4f}{j.low:+9.4f}{j.high:+9.4f}" for j in report.judges),
    ]


def table(title: str, before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Metrics side by side, the usual ones first; those that did not change are named below."""
    found, still = moved(changes(before, after))
    width = max([len(title), *(len(change.name) for change in found)]) + 2
    rows = [f"  {title:{width}}{'before':>9}{'after':>9}{'change':>9}"]
    rows += [f"  {c.name:{width}}{c.before:9.4f}{c.after:9.4f}{c.delta:+9.4f}" for c in found]
    if still:
        rows.append(f"  unchanged: {', '.join(f'{change.name} {change.before:.4f}' for change in still)}")
    return rows


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
