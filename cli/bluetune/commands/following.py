"""Watch a task and its pods."""

from typing import Annotated

import typer

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.display import Display
from bluetune.adapters.following import log_lines, until_ended
from bluetune.adapters.output import Output, note, show_object
from bluetune.commands.options import Context, Form, Namespace, Task, Timeout
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import TASKS
from bluetune.core.tasks import exit_code, verdict


def watch(
    task: Task,
    timeout: Timeout = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Show a task until it has ended; the exit code tells how.

    On a terminal the view is live. In a pipe each stage is a line, and progress is one every 30 seconds. With -o json,
    yaml or name this goes to stderr, and the task as it ended to stdout.

    Examples:

    bluetune watch products-x7k2p

    bluetune watch products-x7k2p --timeout 3600 -o json > task.json
    """
    wait_for(Cluster(context, namespace), task, output, timeout)


def wait_for(cluster: Cluster, name: str, output: Output, timeout: float | None) -> None:
    """Follow a task to its end. Raises typer.Exit with the code of its end, unless that is DONE."""
    display = Display(stderr=output is not Output.TABLE)
    try:
        task = until_ended(cluster, name, display, timeout)
        show_object(output, TASKS, task, verdict(task))
    except KeyboardInterrupt:
        raise CliError(f"interrupted; task {name} goes on", Exit.INTERRUPTED) from None
    except BrokenPipeError:  # never DONE, which says that the task Succeeded
        raise CliError(f"nobody reads the output; bluetune watch {name} shows the task", Exit.INTERRUPTED) from None
    if code := exit_code(task):
        raise typer.Exit(code)


def logs(
    task: Task,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the task has ended, from pod to pod.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Print the log of a task's newest pod.

    Examples:

    bluetune logs products-x7k2p -f
    """
    cluster = Cluster(context, namespace)
    try:
        for line in log_lines(cluster, task, follow=follow, say=note):
            typer.echo(line)
    except KeyboardInterrupt:
        raise CliError(f"interrupted; task {task} goes on", Exit.INTERRUPTED) from None
