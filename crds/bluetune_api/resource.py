"""What the three resources share: the envelope, how kubectl shows them, and the verdict on a change."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from bluetune_api.base import DNS_LABEL, ObjectMeta


@dataclass(frozen=True)
class PrintColumn:
    """A column of `kubectl get`; `priority` 1 is shown with `-o wide` only."""

    name: str
    path: str
    type: Literal["string", "integer", "number", "date", "boolean"] = "string"
    priority: int = 0


class Resource(BaseModel):
    """A custom resource. `NAME_LIMIT` keeps room for the suffixes of its children's names."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", strict=True
    )

    PLURAL: ClassVar[str]
    SHORT_NAMES: ClassVar[tuple[str, ...]]
    NAME_LIMIT: ClassVar[int]
    COLUMNS: ClassVar[tuple[PrintColumn, ...]]

    api_version: Literal["bluetune.dev/v1alpha1"]
    metadata: ObjectMeta

    @model_validator(mode="after")
    def _name_leaves_room_for_children(self) -> Self:
        if len(self.metadata.name) > self.NAME_LIMIT:
            raise ValueError(f"metadata.name: {name_message(self.NAME_LIMIT)}")
        if not re.match(DNS_LABEL, self.metadata.name):
            raise ValueError(f"metadata.name: {NAME_PATTERN_MESSAGE}")
        return self


NAME_PATTERN_MESSAGE = "must be a DNS label (lower case letters, digits and '-')"


def name_message(limit: int) -> str:
    """What the rejection of a long name says."""
    return f"must have at most {limit} characters, so that the names of its Jobs fit"


def immutable_fields(model: type[BaseModel]) -> list[str]:
    """camelCase names of the fields that cannot change."""
    return [
        field.alias or to_camel(name)
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("x-immutable")
    ]


def changed_immutable_fields(old: dict[str, Any], new: dict[str, Any], spec: type[BaseModel]) -> list[str]:
    """Names of immutable spec fields that differ between two raw specs."""
    missing = object()
    return [name for name in immutable_fields(spec) if old.get(name, missing) != new.get(name, missing)]
