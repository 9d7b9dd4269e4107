"""Progress and result for a person at a terminal."""

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from bluetune_api.records import Progress, Result

WIDTH = 24
FIRST = "ndcg@10 mrr@10 recall@10"
SECONDS_BETWEEN_LINES = 5.0


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


def summary(result: Result) -> str:
    """How a run ended: metrics before and after, the trial that won, and where the model is."""
    failed = f", {result.trials_failed} of them failed" if result.trials_failed else ""
    lines = [f"published {result.version} from {result.trials_done} trials{failed}", ""]
    lines += table("validation queries", result.baseline, result.candidate)
    if result.gate is not None:
        lines.append("")
        what = "judged queries" if result.gate.source == "Judgments" else "held-out sessions"
        lines += table(f"{result.gate.sessions} {what}", result.gate.baseline, result.gate.candidate)
        if result.gate.low is not None and result.gate.high is not None:
            lines.append(
                f"  {result.gate.metric} changed by {result.gate.delta:+.4f}"
                f" ({result.gate.confidence:.0%} interval {result.gate.low:+.4f} to {result.gate.high:+.4f})"
            )
    if result.best is not None:
        params = ", ".join(f"{name}={_short(value)}" for name, value in sorted(result.best.params.items()))
        lines += ["", f"best trial {result.best.trial}: {params}"]
    lines += [f"model      {result.uri.rstrip('/')}", f"digest     {result.digest}"]
    if result.report_url or result.report_problem:
        lines.append(f"report     {result.report_url or result.report_problem}")
    return "\n".join(lines)


def table(title: str, before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Metrics side by side, those that both have; the usual ones first."""
    names = sorted(before.keys() & after.keys(), key=lambda name: (name not in FIRST, FIRST.find(name), name))
    width = max([len(title), *(len(name) for name in names)]) + 2
    rows = [f"  {title:{width}}{'before':>9}{'after':>9}{'change':>9}"]
    rows += [
        f"  {name:{width}}{before[name]:9.4f}{after[name]:9.4f}{after[name] - before[name]:+9.4f}" for name in names
    ]
    return rows


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
