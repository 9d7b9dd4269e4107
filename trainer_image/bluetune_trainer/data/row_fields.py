"""Fields of an event's row, checked. Each function raises BrokenSession naming the field and the value."""

from collections.abc import Mapping
from typing import Any

from bluetune_trainer.data.clicks import BrokenSession, fields_of, whole
from bluetune_trainer.data.records import shortened


def may_be_of(search_list: str, record: Mapping[str, Any], *names: str) -> bool:
    """Whether something is in a list; where it does not say in which it is, it may be."""
    named = [record[name] for name in names if record.get(name)]
    return not named or search_list in named


def at(row: Mapping[str, Any], path: str) -> Any:
    """What is in a column, or where a path with dots leads in objects; None if it is absent."""
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def needed(row: Mapping[str, Any], path: str) -> str:
    """A text that must be there."""
    found = text(at(row, path), path)
    if found is None:
        raise BrokenSession(f"{path}: a text is expected, fields are {fields_of(row)}")
    return found


def text(value: Any, field: str) -> str | None:
    """A text or a whole number as text; None if there is none."""
    if type(value) is int:
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BrokenSession(f"{field}: a text is expected, this is {shortened(value)}")
    return value


def objects(row: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The objects of a list; none if it is absent."""
    value = at(row, field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BrokenSession(f"{field}: a list of objects is expected, this is {shortened(value)}")
    return value


def place_of(value: Any) -> int | None:
    """A place, also written as text; None if it says none."""
    return whole(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value)
