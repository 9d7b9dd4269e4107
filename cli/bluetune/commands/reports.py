"""The report of a run, and the trainer's own commands."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.stores import own_store
from bluetune.adapters.trainer import missing_libraries
from bluetune.commands.options import Context, Namespace, Task
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import MODELS, TASKS
from bluetune.core.reports import report_place
from bluetune_api.objectstore import StoreError, StoreUnreachable


def report(
    task: Task,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: TASK-report.html, here.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="[SCHEME://]HOST:PORT",
            help="The store's address from here, maybe with its http:// or https://. Default: the model's.",
            show_default=False,
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Download the report of a task's run, with your own keys of the store.

    The keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) in the environment;
    BLUETUNE_CA_FILE names the certificate authority of the endpoint. Without keys it says where the report lies.

    --endpoint is for a store that this machine reaches at another address, such as a forwarded port. Without a scheme
    it speaks what the model's endpoint speaks.

    Examples:

    bluetune report products-x7k2p

    bluetune report products-x7k2p --endpoint http://localhost:9000 --into report.html
    """
    cluster = Cluster(context, namespace)
    found = cluster.get(TASKS, task)
    model = cluster.get(MODELS, found["spec"]["modelRef"]["name"])
    location, key = report_place(found, model, endpoint)
    place = into or Path(f"{task}-report.html")
    try:
        store = own_store(location)
        if store is None:
            raise CliError(
                f"the report is at {location.uri(key)} on {location.endpoint}: set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY to download it"
            )
        data = store.get(key)
    except StoreError as error:
        code = Exit.UNREACHABLE if isinstance(error, StoreUnreachable) else Exit.REFUSED
        raise CliError(f"{location.uri(key)} cannot be read: {error}", code) from error
    try:
        place.write_bytes(data)
    except OSError as error:
        raise CliError(f"--into {place}: {error.strerror}") from None
    typer.echo(str(place))


def check(context: typer.Context) -> None:
    """Judge a batch of clicks on this machine: bluetune-trainer check, with its options.

    Examples:

    bluetune check --help
    """
    _trainer("check", context.args)


def run(context: typer.Context) -> None:
    """Train on this machine, without a cluster: bluetune-trainer run, with its options.

    Examples:

    bluetune run -f manifests.yaml --store ./folder
    """
    _trainer("run", context.args)


def _trainer(command: str, arguments: list[str]) -> None:
    """Become the trainer's command. Raises CliError where its libraries are not installed."""
    if missing := missing_libraries():
        raise CliError(f"{command} needs {', '.join(missing)}: pip install '.[trainer]' in a checkout of bluetune")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "bluetune_trainer.cli.main", command, *arguments])  # noqa: S606
