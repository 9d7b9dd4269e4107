"""What the three resources share: the envelope, how kubectl shows them, and the verdict on a change."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from bluetune_api import ApiVersion
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

    api_version: ApiVersion
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


def immutable_paths(model: type[BaseModel]) -> set[str]:
    """Dotted camelCase paths of the fields that cannot change, also those of objects below; of lists there are none."""
    paths = set(immutable_fields(model))
    for name, inner in _objects(model).items():
        paths |= {f"{name}.{path}" for path in immutable_paths(inner)}
    return paths


def changed_immutable_fields(old: dict[str, Any], new: dict[str, Any], spec: type[BaseModel]) -> list[str]:
    """Paths of immutable fields that differ between two raw specs; absent is what the API server fills in."""
    changed = [name for name in immutable_fields(spec) if _filled(old, name, spec) != _filled(new, name, spec)]
    for name, inner in _objects(spec).items():
        before, after = old.get(name), new.get(name)
        # as in the cluster, where a rule about a change of an object needs the object on both sides
        if name not in changed and isinstance(before, dict) and isinstance(after, dict):
            changed += [f"{name}.{path}" for path in changed_immutable_fields(before, after, inner)]
    return changed


def _filled(raw: dict[str, Any], name: str, model: type[BaseModel]) -> Any:
    if name in raw:
        return raw[name]
    field = next(f for n, f in model.model_fields.items() if (f.alias or to_camel(n)) == name)
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _objects(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Fields that are an object of a type, or none."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) in (list, dict):
            continue
        for option in (field.annotation, *get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                found[field.alias or to_camel(name)] = option
    return found
