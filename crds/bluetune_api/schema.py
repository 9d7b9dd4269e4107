"""From the pydantic types to structural OpenAPI schemas that the Kubernetes API server accepts.

The rules of structural schemas: no $ref, no anyOf with null, a boolean exclusiveMinimum, one type a node, and a bound
on everything that has a length, or the API server's estimate of the CEL rules' cost refuses the CRD.
"""

import copy
from typing import Any

from pydantic import BaseModel

from bluetune_api import GROUP, VERSION
from bluetune_api.base import DNS_LABEL, ApiModel
from bluetune_api.resource import NAME_PATTERN_MESSAGE, Resource, immutable_fields, name_message

Schema = dict[str, Any]

KEPT = {
    "type",
    "description",
    "enum",
    "default",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
"""What passes through as it is; everything else is rewritten or dropped."""


class SchemaError(Exception):
    """A type cannot be said in a structural schema; the message names where."""


def _models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """All models that a model refers to, by the name pydantic gives their definition."""
    found: dict[str, type[BaseModel]] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation.__name__ not in found:
                found[annotation.__name__] = annotation
                for field in annotation.model_fields.values():
                    visit(field.annotation)
            return
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    visit(model)
    return found


class _Converter:
    def __init__(self, model: type[BaseModel]) -> None:
        self._raw = model.model_json_schema(by_alias=True, mode="validation")
        self._definitions: dict[str, Schema] = self._raw.get("$defs", {})
        self._models = _models(model)

    def convert(self) -> Schema:
        title = self._raw["title"]
        return self._object(self._raw, title, title)

    def _node(self, raw: Schema, path: str) -> Schema:
        raw = copy.deepcopy(raw)
        optional = "anyOf" in raw
        if optional:
            options = [option for option in raw.pop("anyOf") if option.get("type") != "null"]
            if len(options) != 1:
                raise SchemaError(f"{path}: a union of {len(options)} types cannot be said in a structural schema")
            raw = {**options[0], **raw}
        if "$ref" in raw:
            name = raw.pop("$ref").rsplit("/", 1)[1]
            schema = self._object(self._definitions[name], name, path)
            # the field says what it is for; the type's own description is for those who read its code
            schema.update({key: raw[key] for key in ("description", "default") if raw.get(key) is not None})
            if not optional and "default" not in schema and not schema.get("required") and self._has_defaults(name):
                schema["default"] = {}
            return schema
        if raw.get("type") == "object" and "properties" in raw:
            return self._object(raw, raw["title"], path)
        schema = {key: raw[key] for key in raw if key in KEPT}
        if schema.get("default", 0) is None:
            del schema["default"]
        if "const" in raw:
            schema["enum"] = [raw["const"]]
        for bound in ("Minimum", "Maximum"):
            if f"exclusive{bound}" in raw:
                schema[bound.lower()] = raw[f"exclusive{bound}"]
                schema[f"exclusive{bound}"] = True
        if schema.get("type") == "array":
            schema["items"] = self._node(raw.get("items", {}), f"{path}[]")
        if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = self._node(raw.get("additionalProperties", {}), f"{path}.*")
        if schema.get("type") == "integer":
            schema.setdefault("format", "int64")
        _require_bounds(schema, path)
        return schema

    def _has_defaults(self, name: str) -> bool:
        return bool(self._models) and any(
            field.default is not None and not field.is_required() for field in self._models[name].model_fields.values()
        )

    def _object(self, raw: Schema, name: str, path: str) -> Schema:
        model = self._models[name]
        schema: Schema = {"type": "object"}
        if description := raw.get("description"):
            schema["description"] = " ".join(description.split())
        if required := raw.get("required"):
            schema["required"] = required
        schema["properties"] = {key: self._node(value, f"{path}.{key}") for key, value in raw["properties"].items()}
        for value in schema["properties"].values():
            if "description" in value:
                value["description"] = " ".join(value["description"].split())
        if rules := _rules(model):
            schema["x-kubernetes-validations"] = rules
        if alternatives := _alternatives(model):
            schema["oneOf"] = alternatives
        return schema


def _require_bounds(schema: Schema, path: str) -> None:
    kind = schema.get("type")
    bounded = "enum" in schema or "format" in schema or ("pattern" in schema and "maxLength" in schema)
    if kind == "string" and "maxLength" not in schema and not bounded:
        raise SchemaError(f"{path}: a string without maxLength")
    if kind == "array" and "maxItems" not in schema:
        raise SchemaError(f"{path}: an array without maxItems")
    if (
        kind == "object"
        and "properties" not in schema
        and "maxProperties" not in schema
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        raise SchemaError(f"{path}: a map without maxProperties")


def _rules(model: type[BaseModel]) -> list[Schema]:
    rules: list[Schema] = []
    if issubclass(model, ApiModel):
        for rule in model.RULES:
            if rule.cel is None:
                continue
            entry: Schema = {"rule": rule.cel, "message": rule.message}
            if rule.field:
                entry["fieldPath"] = f".{rule.field}"
            rules.append(entry)
    required = {field.alias for field in model.model_fields.values() if field.is_required()}
    for name in immutable_fields(model):
        same = f"self.{name} == oldSelf.{name}"
        if name not in required:
            same = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"
        rules.append(
            {
                "rule": same,
                "message": "is immutable; make a new object instead",
                "fieldPath": f".{name}",
                "reason": "FieldValueForbidden",
            }
        )
    return rules


def _alternatives(model: type[BaseModel]) -> list[Schema]:
    rules = model.RULES if issubclass(model, ApiModel) else ()
    return [{"required": [name]} for rule in rules for name in rule.exactly_one]


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a part of a resource. Raises SchemaError for what cannot be said or is unbounded."""
    return _Converter(model).convert()


def part(resource: type[Resource], name: str) -> type[BaseModel]:
    """The type of a resource's `spec` or `status`."""
    annotation: Any = resource.model_fields[name].annotation
    options = [annotation, *getattr(annotation, "__args__", ())]
    return next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))


def custom_resource_definition(resource: type[Resource]) -> Schema:
    """The CRD of a resource, as the API server takes it."""
    kind = resource.__name__
    schema = {
        "type": "object",
        "description": " ".join((resource.__doc__ or "").split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(part(resource, "spec")),
            "status": structural_schema(part(resource, "status")),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"size(self.metadata.name) <= {resource.NAME_LIMIT}",
                "message": f"metadata.name {name_message(resource.NAME_LIMIT)}",
            },
            {
                "rule": f"self.metadata.name.matches('{DNS_LABEL}')",
                "message": f"metadata.name {NAME_PATTERN_MESSAGE}",
            },
        ],
    }
    columns = []
    for column in resource.COLUMNS:
        entry: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
        if column.priority:
            entry["priority"] = column.priority
        columns.append(entry)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "bluetune"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": resource.PLURAL,
                "singular": kind.lower(),
                "shortNames": list(resource.SHORT_NAMES),
                "categories": ["bluetune"],  # not `all`: `kubectl delete all --all` must not delete models
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }
