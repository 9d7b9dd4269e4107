"""Options that commands share."""

from typing import Annotated

import typer

from bluetune.adapters.output import Output

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace. Default: that of the context.", show_default=False)
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig. Default: the current one.", show_default=False),
]
Form = Annotated[Output, typer.Option("--output", "-o", help="Form of the result on stdout.")]
Task = Annotated[str, typer.Argument(help="Name of a FineTuningTask.", show_default=False)]
Model = Annotated[str, typer.Argument(help="Name of an EmbeddingModel.", show_default=False)]
Version = Annotated[str, typer.Argument(help="A version's id, as in v0123456789ab.", show_default=False)]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", min=0, metavar="SECONDS", help="Wait no longer than this (exit code 4).", show_default=False
    ),
]
