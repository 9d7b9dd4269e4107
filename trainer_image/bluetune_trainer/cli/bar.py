"""A run's progress in a notebook: tqdm's bar. On a terminal and in a pipe `Display` shows the same."""

import sys
from typing import TYPE_CHECKING, Any, Protocol

from bluetune_trainer.cli.display import Display, line

if TYPE_CHECKING:
    from bluetune_api.records import Progress


class Shows(Protocol):
    """What a run tells a person by."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def show(self, progress: "Progress") -> None:
        """The newest state."""

    def close(self) -> None:
        """The run is over."""


class Bar:
    """tqdm's bar, which a notebook draws as a widget where it has ipywidgets."""

    def __init__(self, make: Any = None) -> None:
        if make is None:
            from tqdm.auto import tqdm

            make = tqdm
        self._bar = make(total=100, bar_format="{bar} {desc}", file=sys.stderr)

    def say(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)

    def show(self, progress: "Progress") -> None:
        self._bar.n = progress.percent
        self._bar.set_description_str(line(progress))

    def close(self) -> None:
        self._bar.close()


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        pass

    def show(self, progress: "Progress") -> None:
        pass

    def close(self) -> None:
        pass


def shown(*, progress: bool) -> Shows:
    """What fits here: a bar in a notebook, else what the command line shows."""
    if not progress:
        return Silent()
    return Bar() if in_notebook() else Display(sys.stderr)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook; a terminal's IPython is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
