"""All commands of `bluetune`."""

import typer

from bluetune.commands import doctor, following, reports, tasks, versions

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
    versions.versions,
    versions.diff,
    versions.promote,
    versions.rollback,
    doctor.doctor,
    reports.report,
):
    app.command()(command)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
for passing_on in (reports.check, reports.run):
    app.command(context_settings=PASSED_ON)(passing_on)
