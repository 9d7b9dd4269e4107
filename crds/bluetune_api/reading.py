"""What a program of another release wrote, read.

Operator and trainer images are upgraded one after the other, so each of them reads what a newer one wrote: it passes
over fields that it does not know. What must not be passed over raises the record's `formatVersion`, and a reader that
does not know that number refuses the record. What people write (manifests) is read strictly.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from bluetune_api.base import ApiModel

M = TypeVar("M", bound=BaseModel)

Reader = Literal["operator", "trainer", "command line"]
UPGRADE: Mapping[Reader, str] = {
    "operator": "upgrade the operator",
    "trainer": "upgrade the trainer's image (a plugin's image is built from that of the operator's release)",
    "command line": "pip install . in a checkout of the operator's release",
}


class Record(ApiModel):
    """A record that one program writes and another one, perhaps of another release, reads."""

    FORMAT: ClassVar[int] = 1
    """The highest `formatVersion` that this release reads; a record without one has 1."""


R = TypeVar("R", bound=Record)


class RecordProblem(ValueError):
    """A record cannot be used."""


class RecordInvalid(RecordProblem):
    """It is no such record; `found` is all that is wrong with it."""

    def __init__(self, found: ValidationError) -> None:
        super().__init__(first_problem(found, "content"))
        self.found = found


class FormatTooNew(RecordProblem):
    """It is of a newer release, and must not be read without knowing its format."""


def read_record(kind: type[R], data: bytes | str, reader: Reader) -> R:
    """A record as its type, without what this release does not know.

    Raises:
        FormatTooNew: the reader is older than the record's format, and is the side to upgrade.
        RecordInvalid: it is no such record; says which field is wrong.
    """
    found = _format_of(data)
    if found > kind.FORMAT:
        raise FormatTooNew(
            f"its formatVersion is {found}, and this {reader} reads up to {kind.FORMAT}: {UPGRADE[reader]}"
        )
    try:
        return kind.model_validate_json(data, extra="ignore")
    except ValidationError as error:
        raise RecordInvalid(error) from error


def read_spec(kind: type[M], raw: Any) -> M:
    """A spec that the API server has judged by definitions which may be newer. Raises ValidationError."""
    return kind.model_validate(raw, extra="ignore")


def unknown_fields(kind: type[ApiModel], data: bytes | str) -> list[str]:
    """Dotted paths of what `read_record` passes over in a record that it can read."""
    try:
        kind.model_validate_json(data, extra="forbid")
    except ValidationError as error:
        return [".".join(map(str, each["loc"])) for each in error.errors() if each["type"] == "extra_forbidden"]
    return []


def first_problem(error: ValidationError, whole: str = "") -> str:
    """The first problem, as `field: what is wrong`. Where the whole input is wrong, `whole` stands for the field."""
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or whole}: {problem['msg']}"


def _format_of(data: bytes | str) -> int:
    try:
        content = from_json(data)
    except ValueError:
        return 1  # validation says what is wrong
    found = content.get("formatVersion") if isinstance(content, dict) else None
    return found if type(found) is int else 1
