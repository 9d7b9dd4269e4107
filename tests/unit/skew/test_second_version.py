"""What a second version of the API would take: conversions in both directions that lose nothing, whatever is written.

The API server stores one version and asks a webhook for the others; programs of both versions write the same objects in
turn. `v1beta1` is made up here from the kinds of change that a version brings: a field becomes an object, a boolean
becomes a word, a time has another name, and a field is new. What the older version has no place for travels in an
annotation.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bluetune_api import API_VERSION, GROUP
from bluetune_api.manifest import KINDS
from bluetune_api.resource import Resource
from bluetune_api.schema import part
from unit.skew.made_up import documents

Json = dict[str, Any]
CHECKOUT = Path(__file__).resolve().parents[3]
BETA = f"{GROUP}/v1beta1"
KEPT = f"{GROUP}/v1beta1"
"""Annotation with what v1alpha1 has no place for, as JSON."""
few = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def to_beta(alpha: Json) -> Json:
    """From v1alpha1."""
    beta = {**copy.deepcopy(alpha), "apiVersion": BETA}
    spec, status = beta["spec"], beta.get("status") or {}
    if (serving := spec.get("serving")) is not None:
        serving["target"] = {"kind": "Deployment", "name": serving.pop("deployment")}
    if "waitOnConflict" in spec:
        spec["onConflict"] = "Wait" if spec.pop("waitOnConflict") else "Refuse"
    for each in _rollouts(status):
        each["startTime"] = each.pop("startedAt")
    annotations = beta["metadata"].get("annotations") or {}
    if KEPT in annotations:
        spec |= json.loads(annotations.pop(KEPT))
    if "annotations" in beta["metadata"] and not annotations and KEPT in (alpha["metadata"].get("annotations") or {}):
        del beta["metadata"]["annotations"]
    return beta


def to_alpha(beta: Json) -> Json:
    """From v1beta1."""
    alpha = {**copy.deepcopy(beta), "apiVersion": API_VERSION}
    spec, status = alpha["spec"], alpha.get("status") or {}
    if (serving := spec.get("serving")) is not None:
        serving["deployment"] = serving.pop("target")["name"]
    if "onConflict" in spec:
        spec["waitOnConflict"] = spec.pop("onConflict") == "Wait"
    for each in _rollouts(status):
        each["startedAt"] = each.pop("startTime")
    if "paused" in spec:
        kept = json.dumps({"paused": spec.pop("paused")})
        alpha["metadata"]["annotations"] = {**(alpha["metadata"].get("annotations") or {}), KEPT: kept}
    return alpha


def _rollouts(status: Json) -> list[Json]:
    return [status["rollout"]] if status.get("rollout") else []


def alphas(kind: type[Resource]) -> st.SearchStrategy[Json]:
    """Objects as v1alpha1 has them."""
    metadata = st.fixed_dictionaries(
        {"name": st.just("a")}, optional={"annotations": st.just({"who": "x"}), "uid": st.just("u")}
    )
    whole = {"apiVersion": st.just(API_VERSION), "kind": st.just(kind.__name__), "metadata": metadata}
    whole["spec"] = documents(part(kind, "spec"))
    return st.fixed_dictionaries(whole, optional={"status": documents(part(kind, "status"))})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_what_an_older_version_says_survives_the_way_there_and_back(kind: type[Resource], data: st.DataObject) -> None:
    alpha = data.draw(alphas(kind))
    assert to_alpha(to_beta(alpha)) == alpha


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_what_a_newer_version_says_survives_a_program_of_the_older_one(
    kind: type[Resource], data: st.DataObject
) -> None:
    beta = to_beta(data.draw(alphas(kind)))
    if data.draw(st.booleans()):
        beta["spec"]["paused"] = True
    alpha = to_alpha(beta)
    read = kind.model_validate_json(json.dumps(alpha))  # the older types take it
    assert read.metadata.name == "a"
    assert to_beta(alpha) == beta


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_the_types_lose_nothing_of_what_they_take(kind: type[Resource], data: st.DataObject) -> None:
    """A conversion may go by the types: what they read and write again means the same."""
    read = kind.model_validate_json(json.dumps(data.draw(alphas(kind))))
    written = read.model_dump_json(by_alias=True, exclude_none=True)
    assert kind.model_validate_json(written) == read


def test_the_version_is_said_in_one_place() -> None:
    version = API_VERSION.split("/")[1]
    places = {
        str(path.relative_to(CHECKOUT))
        for root in ("crds", "operator", "trainer_image")
        for path in (CHECKOUT / root).rglob("*.py")
        if re.search(rf"\b{version}\b", path.read_text())
    }
    assert places == {"crds/bluetune_api/__init__.py"}
