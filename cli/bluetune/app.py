"""All commands of `bluetune`."""

import typer

from bluetune.commands import following, tasks

app = typer.Typer(
    name="bluetune",
    help="Fine-tune embedding models from clicks, by bluetune's operator. The same as kubectl bluetune.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    tasks.submit,
    following.watch,
    following.logs,
    tasks.cancel,
    tasks.suspend,
    tasks.resume,
    tasks.retry,
):
    app.command()(command)
