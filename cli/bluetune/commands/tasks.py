"""Make tasks, and tell them what to do."""

from typing import Annotated

import typer

from bluetune import actions
from bluetune.adapters.cluster import Cluster
from bluetune.adapters.output import Output, note, show_object
from bluetune.commands.following import wait_for
from bluetune.commands.options import Context, Form, Model, Namespace, Task, Timeout
from bluetune.core import changes, tasks
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import MODELS, TASKS, Object, name_of

Wait = Annotated[bool, typer.Option("--wait", help="Follow the task; the exit code tells how it ended.")]


def submit(
    model: Model,
    batch: Annotated[
        str | None, typer.Option(help="Batch of clicks. Default: the newest one that is new.", show_default=False)
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE[,VALUE]", help="Values that the search may give a parameter; repeatable."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="FineTuningMethod. Default: the model's.", show_default=False)
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Version to start from. Default: the current one.", show_default=False)
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy", help="Roll the version out if the gate lets it pass.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            help="Idempotency key: a second task with it takes over the first one's result.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the task. Default: the model's and five letters.", show_default=False)
    ] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Make a FineTuningTask for a model.

    Examples:

    bluetune submit products --deploy --wait

    bluetune submit products --batch 2026-01-31 --param query_lr=1e-5,2e-5 --param num_fixed_layers=3

    TASK=$(bluetune submit products -o name)
    """
    timeout = _timeout_of(wait, timeout)
    manifest = tasks.submitted(
        model,
        name=name or actions.new_name(model),
        batch=batch,
        method=method,
        start_from=start_from,
        deploy=deploy,
        key=key,
        space=tasks.parameter_space(param or ()),
    )
    cluster = Cluster(context, namespace)
    _made(cluster, actions.submit(cluster, manifest), output, wait=wait, timeout=timeout)


def _timeout_of(wait: bool, timeout: float | None) -> float | None:
    """How long to wait. Raises CliError for a time that nothing would use."""
    if timeout is not None and not wait:
        raise CliError(f"--timeout {timeout:g}: without --wait nothing is waited for; add --wait", Exit.USAGE)
    return timeout


def retry(
    task: Task,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the new task. Default: the old one's and five letters.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it stopped: trials that it finished are not trained again.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Make a task that does what an ended one was to do: the same spec, on the batch that it had chosen.

    Examples:

    bluetune retry products-x7k2p --wait

    bluetune retry products-x7k2p --resume
    """
    timeout = _timeout_of(wait, timeout)
    cluster = Cluster(context, namespace)
    _made(cluster, actions.retry(cluster, task, name, resume=resume), output, wait=wait, timeout=timeout)


def _made(cluster: Cluster, created: Object, output: Output, *, wait: bool, timeout: float | None) -> None:
    sentence = f"task {name_of(created)} is made"
    if not wait:
        show_object(output, TASKS, created, f"{sentence}: bluetune watch {name_of(created)} -n {cluster.namespace}")
        return
    (typer.echo if output is Output.TABLE else note)(sentence)
    wait_for(cluster, name_of(created), output, timeout)


def cancel(task: Task, namespace: Namespace = None, context: Context = None, output: Form = Output.TABLE) -> None:
    """End a task; its record and its best finished trial are kept, and nothing is rolled out.

    Examples:

    bluetune cancel products-x7k2p
    """
    cluster = Cluster(context, namespace)
    found = cluster.get(TASKS, task)
    change = changes.cancel(found, cluster.namespace)
    changed = found if change.patch is None else cluster.patch(TASKS, task, change.patch)
    show_object(output, TASKS, changed, change.done)


def suspend(task: Task, namespace: Namespace = None, context: Context = None, output: Form = Output.TABLE) -> None:
    """Pause a task: a waiting one leaves the queue, a running one keeps the model's lock and its pod saves and goes.

    Examples:

    bluetune suspend products-x7k2p
    """
    cluster = Cluster(context, namespace)
    found = cluster.get(TASKS, task)
    try:
        model = cluster.find(MODELS, found["spec"]["modelRef"]["name"])
    except CliError:  # the model is read for a note alone, which a right that is not there must not turn into a failure
        model = None
    _set(cluster, found, "suspend", True, output, "is asked to pause")
    if text := tasks.suspend_note(found, model):
        note(text)


def resume(task: Task, namespace: Namespace = None, context: Context = None, output: Form = Output.TABLE) -> None:
    """Let a paused task go on.

    Examples:

    bluetune resume products-x7k2p
    """
    cluster = Cluster(context, namespace)
    _set(cluster, cluster.get(TASKS, task), "suspend", False, output, "may go on")


def _set(cluster: Cluster, task: Object, field: str, value: bool, output: Output, done: str) -> None:
    changed = actions.change(cluster, task, field, value)
    already = f"has spec.{field}={str(value).lower()} already"
    show_object(output, TASKS, changed or task, f"task {name_of(task)} {done if changed else already}")
