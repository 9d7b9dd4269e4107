"""Which `formatVersion` a plan needs: what its trainer must know to do what it is asked.

A plan is made by the operator, and followed by a trainer that may be older: a plugin's image is built from one. A field
that this trainer does not know is passed over, which may be harmless (what goes into a report) or wrong (another loss
than the one that was asked for). So each field that comes after format 1 stands in one of these tables. One that must
not be passed over raises the format of those plans alone that set it; older trainers read all others as before.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

NEEDS: Mapping[str, int] = {}
"""First format whose readers know a field, by the field's path (`method.settings.name`). `Plan.FORMAT` is the
highest of these. A plan has this format if the field says something other than its default."""
HARMLESS: frozenset[str] = frozenset()
"""Paths of fields that came after format 1, and without which a trainer does the same."""


def format_needed(plan: BaseModel, needs: Mapping[str, int] = NEEDS) -> int:
    """The lowest format whose readers know all that the plan sets and that must not be passed over."""
    return max([1, *(number for path, number in needs.items() if _sets(plan, path.split(".")))])


def field_paths(kind: type[BaseModel], above: str = "") -> Iterator[str]:
    """The paths of a type's fields and of those below them."""
    for name, field in kind.model_fields.items():
        yield f"{above}{name}"
        for inner in models_in(field.annotation):
            yield from field_paths(inner, f"{above}{name}.")


def _sets(thing: Any, path: list[str]) -> bool:
    if isinstance(thing, list):
        return any(_sets(each, path) for each in thing)
    if isinstance(thing, Mapping):
        return any(_sets(each, path) for each in thing.values())
    if not isinstance(thing, BaseModel):
        return False
    name, *rest = path
    value = getattr(thing, name)
    if rest:
        return _sets(value, rest)
    return bool(value != type(thing).model_fields[name].get_default(call_default_factory=True))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The types of objects that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)
