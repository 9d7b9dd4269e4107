"""Whether all is set up."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version

import typer
from rich.text import Text

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.display import PlainConsole
from bluetune.adapters.output import Output, show
from bluetune.commands.options import Context, Form, Namespace
from bluetune.core import doctor as core
from bluetune.core.errors import Exit
from bluetune.core.kinds import DEPLOYMENTS, METHODS, MODELS, NODES, TASKS
from bluetune.core.refusals import ApiRefusal

OPERATOR_LABELS = {"app.kubernetes.io/part-of": "bluetune", "app.kubernetes.io/component": "operator"}
MARKS = {"ok": ("✓", "green"), "todo": ("✗", "red"), "unseen": ("?", "yellow")}


def doctor(namespace: Namespace = None, context: Context = None, output: Form = Output.TABLE) -> None:
    """Look whether cluster and namespace are set up; each line is fine (✓) or says what to do (✗).

    What your rights do not let you see is said (?). The exit code is 1 if something needs doing.

    Examples:

    bluetune doctor -n search
    """
    cluster = Cluster(context, namespace)
    findings = list(_look(cluster))
    if output is Output.TABLE:
        console = PlainConsole(soft_wrap=True)
        for finding in findings:
            console.print(Text.assemble(MARKS[finding.state], f" {finding.what}: {finding.text}"))
    else:
        show(output, [asdict(finding) for finding in findings], names=[f.what for f in findings if f.state == "todo"])
    if any(finding.state == "todo" for finding in findings):
        raise typer.Exit(Exit.REFUSED)


def _look(cluster: Cluster) -> Iterator[core.Finding]:
    yield from _seen("definitions", lambda: core.definitions(cluster.schemas()))
    yield from _seen(
        "operator",
        lambda: core.operators(cluster.list(DEPLOYMENTS, labels=OPERATOR_LABELS, everywhere=True), version("bluetune")),
    )
    yield core.rights({right: cluster.may(*right) for right in core.RIGHTS}, cluster.namespace)
    yield from _seen("models", lambda: core.models(cluster.list(MODELS), cluster.namespace))
    yield from _seen("GPUs", lambda: [core.gpus(cluster.list(NODES), cluster.list(METHODS))])
    yield from _seen(
        "Kueue and KubeRay",
        lambda: core.neighbours(cluster.groups(), [*cluster.list(MODELS), *cluster.list(TASKS)]),
    )


def _seen(what: str, look: Callable[[], Iterable[core.Finding]]) -> list[core.Finding]:
    """Findings of a look; one alone where the API server refuses it."""
    try:
        return list(look())
    except ApiRefusal as error:
        if error.status == 403:
            return [core.unseen(what, str(error))]
        if error.status == 404:  # a kind that the cluster does not know
            return [core.Finding("todo", what, str(error))]
        raise
