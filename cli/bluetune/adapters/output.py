"""What a command hands over: lines for people, or JSON, YAML and names for programs."""

import json
from enum import StrEnum
from typing import Any

import typer
import yaml

from bluetune.core.kinds import Kind, Object, name_of


class Output(StrEnum):
    """Forms of a result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def note(text: str) -> None:
    """A line for people that is no part of the result: on stderr."""
    typer.echo(text, err=True)


def show(output: Output, data: Any, *, names: list[str]) -> None:
    """A result for programs, on stdout; never called for TABLE, which each command has its own lines for."""
    if output is Output.JSON:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output is Output.YAML:
        typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        for name in names:
            typer.echo(name)


def show_object(output: Output, kind: Kind, thing: Object, sentence: str) -> None:
    """An object of the API, or a sentence about it."""
    if output is Output.TABLE:
        typer.echo(sentence)
    else:
        show(output, thing, names=[f"{kind.plural.removesuffix('s')}.{kind.group}/{name_of(thing)}"])
