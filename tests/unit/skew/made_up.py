"""Documents of a type, made up from its schema: what people and programs may write, each field at some time."""

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from bluetune_api.plan_format import models_in

Json = Any
FREE = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9) | st.just("x"), max_size=2)
MOMENTS = st.integers(10, 28).map(lambda day: f"2026-01-{day}T00:00:00Z")


@cache
def documents(kind: type[BaseModel]) -> st.SearchStrategy[dict[str, Json]]:
    """Documents that the type takes."""
    schema = kind.model_json_schema(by_alias=True)
    return _Maker(schema.get("$defs", {}), _below(kind)).object(schema, kind)


def _below(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    todo = [kind]
    while todo:
        for field in todo.pop().model_fields.values():
            fresh = [each for each in models_in(field.annotation) if each.__name__ not in found]
            found |= {each.__name__: each for each in fresh}
            todo += fresh
    return found


def _is_valid(kind: type[BaseModel], document: Json) -> bool:
    try:
        kind.model_validate_json(json.dumps(document))
    except ValidationError:
        return False
    return True


class _Maker:
    def __init__(self, known: dict[str, Any], kinds: dict[str, type[BaseModel]]) -> None:
        self._known, self._kinds = known, kinds

    def object(self, schema: dict[str, Any], kind: type[BaseModel]) -> st.SearchStrategy[Json]:
        """Of a type, whose rules hold; only these are tried again and again."""
        fields = {name: self._node(each) for name, each in schema["properties"].items()}
        required = {name: each for name, each in fields.items() if name in schema.get("required", ())}
        optional = {name: each for name, each in fields.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional).filter(lambda found: _is_valid(kind, found))

    def _node(self, schema: dict[str, Any]) -> st.SearchStrategy[Json]:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return self.object(self._known[name], self._kinds[name])
        if "anyOf" in schema:
            return st.one_of([self._node(each) for each in schema["anyOf"] if each.get("type") != "null"])
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        match schema.get("type"):
            case "string":
                return _text(schema)
            case "integer":
                return st.integers(_low(schema, 0), min(_high(schema, 10**6), 10**6))
            case "number":
                low, high = float(_low(schema, -1)), float(_high(schema, 1))
                return st.integers(1, 99).map(lambda share: round(low + (high - low) * share / 100, 6))
            case "boolean":
                return st.booleans()
            case "array":
                few = schema.get("minItems", 0)
                most = max(few, min(schema.get("maxItems", 2), 2))
                return st.lists(self._node(schema.get("items", {})), min_size=few, max_size=most)
            case "object" if isinstance(schema.get("additionalProperties"), dict):
                names = self._node(schema["propertyNames"]) if "propertyNames" in schema else st.sampled_from(["one"])
                return st.dictionaries(names, self._node(schema["additionalProperties"]), max_size=2)
            case _:
                return FREE


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    low, high = schema.get("minLength", 0), min(schema.get("maxLength", 80 if "pattern" in schema else 40), 80)
    if "pattern" in schema:
        made = st.from_regex(
            schema["pattern"].replace("\\S", "[a-z]"), fullmatch=True, alphabet=st.characters(codec="ascii")
        )
        return made.filter(lambda text: low <= len(text) <= high)
    if high == 32:  # as times have it, of which the schema of some says no more
        return MOMENTS
    return st.text(st.sampled_from("abcxyz 09-ä"), min_size=low, max_size=min(high, low + 8))


def _low(schema: dict[str, Any], otherwise: int) -> Any:
    return schema.get("minimum", schema.get("exclusiveMinimum", otherwise))


def _high(schema: dict[str, Any], otherwise: int) -> Any:
    return schema.get("maximum", schema.get("exclusiveMaximum", otherwise))
