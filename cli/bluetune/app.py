"""All commands of `bluetune`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from bluetune.commands import doctor, following, init, reports, tasks, ui, versions
from bluetune.core.errors import Unread


class _Commands(TyperGroup):
    """Raises Unread where nobody reads the output, which typer would end with exit code 1."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _told_from_failures():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _told_from_failures():
            return super().invoke(ctx)


@contextmanager
def _told_from_failures() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise Unread from None


app = typer.Typer(
    name="bluetune",
    cls=_Commands,
    help="Fine-tune embedding models from clicks, by bluetune's operator. The same as kubectl bluetune.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    init.init,
    tasks.submit,
    following.watch,
    following.logs,
    tasks.cancel,
    tasks.suspend,
    tasks.resume,
    tasks.retry,
    versions.versions,
    versions.diff,
    versions.promote,
    versions.rollback,
    doctor.doctor,
    reports.report,
    ui.ui,
):
    app.command()(command)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
for passing_on in (reports.check, reports.run):
    app.command(context_settings=PASSED_ON)(passing_on)
