"""The versions of a model: which there are, what differs, and going back."""

from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from bluetune import actions
from bluetune.adapters import display
from bluetune.adapters.cluster import Cluster
from bluetune.adapters.output import Output, note, show, show_object
from bluetune.commands.options import Context, Form, Model, Namespace, Version
from bluetune.core import changes
from bluetune.core import versions as core
from bluetune.core.kinds import MODELS, Object

SOURCE = "Source: the model's status and its tasks. If a task was deleted, less is known of its version."


def versions(model: Model, namespace: Namespace = None, context: Context = None, output: Form = Output.TABLE) -> None:
    """Show a model's versions as a tree: which was trained from which, its batch, its metrics, and which is current.

    They are those that the model's status and its tasks name. The metrics are those that the gate measured; compare
    them only within a run.

    Examples:

    bluetune versions products

    bluetune versions products -o json
    """
    _, known = actions.known_versions(Cluster(context, namespace), model)
    if output is not Output.TABLE:
        show(output, [version.wire() for version in known.values()], names=list(known))
        return
    top = Tree(Text(f"{model}: {len(known)} versions"))
    path = [top]
    for depth, version in core.branches(known):
        style = "bold green" if "current" in version.roles else ""
        del path[depth + 1 :]
        path.append(path[depth].add(Text(core.line(version), style=style)))
    display.PlainConsole(soft_wrap=True).print(top)
    note(SOURCE)


def diff(
    model: Model,
    a: Version,
    b: Version,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Show what differs between two versions of a model: parent, task, batches, parameters, metrics.

    Examples:

    bluetune diff products v0123456789ab vba9876543210
    """
    _, known = actions.known_versions(Cluster(context, namespace), model)
    found = core.differences(core.named(known, model, a), core.named(known, model, b))
    if output is not Output.TABLE:
        show(output, core.difference_wire(found, a, b), names=[difference.path for difference in found])
    elif found:
        display.Display().console.print(display.table(["", a, b], [difference.cells() for difference in found]))
    else:
        typer.echo(f"nothing that is known of {a} and {b} differs")


def promote(
    model: Model,
    version: Version,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Roll a kept version out once, without the gate: sets spec.serving.promote. Later tasks are promoted as ever.

    Read the version's report before (bluetune report TASK). It asks first. Where nobody can answer, nothing is
    changed.

    Examples:

    bluetune promote products v0123456789ab
    """
    cluster = Cluster(context, namespace)
    found, known = actions.known_versions(cluster, model)
    _carry_out(cluster, found, changes.promote(found, known, version, cluster.namespace), yes, output)


def rollback(
    model: Model,
    version: Version,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Serve a version and stay with it: sets spec.serving.rollbackTo.

    It asks first. Where nobody can answer, nothing is changed.

    Examples:

    bluetune rollback products v0123456789ab

    bluetune rollback products v0123456789ab --yes -o name
    """
    cluster = Cluster(context, namespace)
    found, known = actions.known_versions(cluster, model)
    _carry_out(cluster, found, changes.rollback(found, known, version, cluster.namespace), yes, output)


def _carry_out(cluster: Cluster, model: Object, change: changes.Change, yes: bool, output: Output) -> None:
    if change.patch is None:
        show_object(output, MODELS, model, change.done)
        return
    if change.warning:
        note(change.warning)
    if not yes:
        typer.confirm(change.question, abort=True, err=True)
    show_object(output, MODELS, cluster.patch(MODELS, change.name, change.patch), change.done)
    note(change.after)
