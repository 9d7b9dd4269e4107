"""What a cluster says is printed as it is, on a terminal and in a pipe."""

from io import StringIO
from typing import Any

import pytest
from rich.console import RenderableType

from bluetune.adapters import display
from bluetune.adapters.display import Display, PlainConsole
from bluetune.core.watch import View

ODD = "[bold] [/x] [red]a[/red] :smile:"


def shown(console: PlainConsole) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Display:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Display()
    screen.console.file, screen.console.width, screen.live = StringIO(), 100, request.param
    return screen


def test_sentences_and_steps_are_printed_as_they_are(screen: Display) -> None:
    screen.say(ODD)
    screen.heading(ODD)
    with screen.step(ODD):
        pass
    with screen.watching(ODD) as watcher:
        watcher.show(View(ODD, note=ODD))
    assert shown(screen.console).count(ODD) >= 4


@pytest.mark.parametrize(
    "view",
    [
        View("training", best=0.5, best_params=ODD, top=((1, 0.5, ODD),)),
        View("training", percent=5, eta_seconds=7, trials="1/2", note=ODD),
        View(ODD),
    ],
)
def test_a_live_view_is_printed_as_it_is(view: View, screen: Display) -> None:
    watcher = display.Watcher(screen, ODD)
    watcher.show(view)
    before = shown(screen.console)
    screen.console.print(watcher.render())
    assert shown(screen.console).removeprefix(before).count(ODD) == 2


@pytest.mark.parametrize(
    "printed", [ODD, display.table(["", ODD], [["x", "y"]]), display.table(["", ""], [["x", ODD]])]
)
def test_tables_are_printed_as_they_are(printed: RenderableType) -> None:
    console = PlainConsole()
    console.file = StringIO()
    console.print(printed)
    assert ODD in shown(console)


def test_a_table_that_nobody_reads_raises_the_error_that_the_command_line_knows() -> None:
    class Closed(StringIO):
        def write(self, *_: Any) -> int:
            raise BrokenPipeError

    console = PlainConsole()
    console.file = Closed()
    with pytest.raises(BrokenPipeError):
        console.print("x")
