"""Generated files are what the types give, and the schemas keep the rules of the API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from bluetune_api.base import ApiModel
from bluetune_api.exit_codes import MESSAGE_BYTES, Termination, decode_termination
from bluetune_api.generate import RESOURCES, files
from bluetune_api.schema import SchemaError, custom_resource_definition, structural_schema

ROOT = Path(__file__).parents[3]


def test_generated_files_are_up_to_date() -> None:
    stale = [name for name, text in files().items() if (ROOT / name).read_text() != text]
    assert not stale, f"run make generate: {stale}"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.__name__)
def test_every_field_of_a_resource_is_described(resource: Any) -> None:
    version = custom_resource_definition(resource)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    bare = [
        path
        for part in ("spec", "status")
        for path, node in nodes(schema["properties"][part], part)
        if not path.endswith("[]") and not node.get("description")
    ]
    assert not bare


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.__name__)
def test_kubectl_delete_all_does_not_reach_a_resource(resource: Any) -> None:
    assert custom_resource_definition(resource)["spec"]["names"]["categories"] == ["bluetune"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.__name__)
def test_conditions_are_a_map_by_type(resource: Any) -> None:
    version = custom_resource_definition(resource)["spec"]["versions"][0]
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


class Unbounded(ApiModel):
    text: str


class UnboundedList(ApiModel):
    texts: list[int]


class Union(ApiModel):
    value: Annotated[str, Field(max_length=3)] | int


@pytest.mark.parametrize("model", [Unbounded, UnboundedList, Union], ids=lambda m: m.__name__)
def test_a_type_the_api_server_would_refuse_is_refused_when_generating(model: type[ApiModel]) -> None:
    with pytest.raises(SchemaError, match=model.__name__):
        structural_schema(model)


@pytest.mark.parametrize("text", ["x" * 10_000, "é" * 5_000, "\n" * 9_000, "𝕏" * 4_000, "short"])
def test_a_termination_message_always_fits_and_reads_back(text: str) -> None:
    encoded = Termination.model_construct(reason="DataInvalid", message=text).encode()
    assert len(encoded.encode()) <= MESSAGE_BYTES
    read = decode_termination(encoded)
    assert read is not None
    assert read.reason == "DataInvalid"


@pytest.mark.parametrize("text", [None, "", "Killed", "[]", '{"reason": "no spaces allowed"}', '{"reason": 1}'])
def test_a_termination_message_of_others_is_not_taken_for_ours(text: str | None) -> None:
    assert decode_termination(text) is None
