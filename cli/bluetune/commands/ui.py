"""The page on this machine."""

import asyncio
import os
import signal
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.output import note
from bluetune.commands.options import Context, Namespace
from bluetune.core.errors import CliError

NEEDS = ("aiohttp", "jinja2")


def ui(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. Default: a free one.", show_default=False)
    ] = 0,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="[SCHEME://]HOST:PORT",
            help="The stores' address from here, maybe with its http:// or https://. Default: the models'.",
            show_default=False,
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show models, versions, runs and rollouts of a namespace on a page that only this machine serves and sees.

    It prints the address, which holds a token, and goes on until Ctrl-C. All that it reads and changes, it does with
    your own kubeconfig and rights; its buttons do what promote, rollback and cancel do, and ask first.

    Curves, the gate's intervals, the check and the report lie in the models' stores. Their keys are AWS_ACCESS_KEY_ID
    and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) in the environment, or those of the model's Secret if you may read
    it. Without them the page shows what status has, and says why.

    Examples:

    bluetune ui -n search

    bluetune ui --port 8080 --endpoint http://localhost:9000
    """
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise CliError(f"ui needs {', '.join(missing)}: pip install '.[ui]' in a checkout of bluetune")
    from bluetune.adapters.run_store import RunStores
    from bluetune.ui.server import listening, serve

    cluster = Cluster(context, namespace)
    stores, listener = RunStores(cluster, os.environ, endpoint), listening(port)

    def announce(address: str) -> None:
        typer.echo(address)
        note(f"namespace {cluster.namespace}, with your own rights. Ctrl-C ends it.")

    async def served() -> None:
        work = asyncio.current_task()
        if work is not None and sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        await serve(cluster, stores, listener, announce)

    try:
        asyncio.run(served())
    except (KeyboardInterrupt, asyncio.CancelledError):
        note("ended")
