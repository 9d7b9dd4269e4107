"""What people see: a live view where there is a terminal, lines with times where there is none."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bluetune.core import watch

QUIET_SECONDS = 30.0
"""Between two lines about the same stage where there is no terminal."""
PIPE_WIDTH = 110
"""Columns of tables where there is no terminal."""


class PlainConsole(Console):
    """Prints texts as they are: what a cluster says may look like rich's markup, or like one of its emoji."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, stderr=stderr, soft_wrap=soft_wrap)

    def on_broken_pipe(self) -> None:
        """Called while the error is handled: it goes on to the command, instead of ending with exit code 1."""
        raise


class Display:
    """Steps, a live view, and how long everything took."""

    def __init__(self, *, stderr: bool = False) -> None:
        self.console = PlainConsole(stderr=stderr)
        if not self.console.is_terminal:
            self.console.width = PIPE_WIDTH
        self.live = self.console.is_terminal and os.environ.get("TERM") != "dumb"
        self.times: dict[str, float] = {}
        self.begun = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """One line."""
        self.console.print(text, style=style, soft_wrap=True)

    def heading(self, text: str) -> None:
        """The beginning of a part."""
        self.console.print()
        elapsed = watch.clock(time.monotonic() - self.begun)
        self.console.print(Text.assemble((f"{text}  ", "bold"), (elapsed, "bold dim")))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Something that takes a while: what, then how long."""
        began = time.monotonic()
        status = self.console.status(Text(title)) if self.live else None
        if status:
            status.start()
        mark = ("✗", "red")
        try:
            yield
            mark = ("✓", "green")
        finally:
            if status:
                status.stop()
            seconds = time.monotonic() - began
            self.count(title, seconds)
            self.console.print(Text.assemble("  ", mark, f" {title} ", (f"{seconds:.1f} s", "dim")))

    def count(self, title: str, seconds: float) -> None:
        """Add to the time of a phase."""
        self.times[title] = self.times.get(title, 0.0) + seconds

    @contextmanager
    def watching(self, title: str) -> Iterator["Watcher"]:
        """Follow something that happens in the cluster."""
        watcher = Watcher(self, title)
        if not self.live:
            yield watcher
            watcher.finish()
            return
        with Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=watcher.render):
            yield watcher
        watcher.finish()


class Watcher:
    """Shows views, and counts the time of each stage."""

    def __init__(self, display: Display, title: str) -> None:
        self._display, self._title = display, title
        self._view = watch.View("starting")
        self._since = self._said = time.monotonic()
        self._last = ""

    def show(self, view: watch.View) -> None:
        """The newest view."""
        now = time.monotonic()
        if view.stage != self._view.stage:
            self._close(now)
        self._view = view
        text = watch.line(view)
        if not self._display.live and (
            text.split(" · ")[0] != self._last.split(" · ")[0]
            or (text != self._last and now - self._said >= QUIET_SECONDS)
        ):
            elapsed = watch.clock(now - self._display.begun)
            self._display.console.print(f"  {elapsed}  {text}", soft_wrap=True)
            self._said, self._last = now, text

    def finish(self) -> None:
        """The last stage is over."""
        self._close(time.monotonic())

    def _close(self, now: float) -> None:
        if not self._view.done and self._view.stage != "starting":
            seconds = now - self._since
            self._display.count(self._view.stage, seconds)
            if self._display.live:
                mark, took = ("✓", "green"), (f"{seconds:.1f} s", "dim")
                self._display.console.print(Text.assemble("  ", mark, f" {self._view.stage} ", took))
        self._since = now

    def render(self) -> RenderableType:
        """The live panel."""
        view = self._view
        head = Text(f"{view.stage} ", style="bold")
        head.append(watch.clock(time.monotonic() - self._since), style="dim")
        parts: list[RenderableType] = [head]
        if view.percent is not None:
            bar = Table.grid(padding=(0, 1))
            eta = f"about {watch.clock(view.eta_seconds)} left" if view.eta_seconds is not None else ""
            bar.add_row(ProgressBar(total=100, completed=view.percent, width=40), f"{view.percent}%", Text(eta, "dim"))
            parts.append(bar)
        if view.trials:
            epoch = f", epoch {view.epoch}" if view.epoch else ""
            parts.append(Text(f"trials {view.trials}{epoch}"))
        if view.top:
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
            for column in ("trial", "quality", "parameters"):
                table.add_column(column)
            for place, (trial, quality, params) in enumerate(view.top):
                table.add_row(str(trial), f"{quality:.4f}", Text(params), style="green" if place == 0 else "")
            parts.append(table)
        if view.note and view.note not in view.stage:
            parts.append(Text(view.note, style="dim"))
        return Panel(
            Group(*parts),
            title=Text(self._title),
            title_align="left",
            border_style="blue",
            width=min(100, self._display.console.width),
        )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> Table:
    """A table of plain texts; the row `best` stands out."""
    made = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for number, column in enumerate(columns):
        made.add_column(Text(column), justify="left" if number == 0 else "right")
    for number, row in enumerate(rows):
        made.add_row(*map(Text, row), style="bold green" if number == best else "")
    return made
