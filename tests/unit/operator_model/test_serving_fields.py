"""Whose the fields of a Deployment are, what to do about a conflict, and how bluetune gives its own back."""

import json
from typing import Any

import pytest

from bluetune_api.base import ObjectReference
from bluetune_api.model import ServedBy, Serving
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.rollout.serving_fields import (
    field_conflict,
    giving_back,
    last_writer,
    owned_container,
    serving_as_told,
)
from bluetune_operator.core.rollout.serving_patch import Fetcher, serving_patch

SERVING = Serving(deployment="blue", container="server")
ENV = '.spec.template.spec.containers[name="server"].env[name="BLUETUNE_VERSION"].value'
ANNOTATION = ".spec.template.metadata.annotations.bluetune.dev/version"


def entry(manager: str, time: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": {}}, **more}


def deployment(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "blue", "resourceVersion": "7", "managedFields": list(entries)}}


def test_a_conflict_with_one_who_applies_names_the_manager_and_the_field_and_no_command() -> None:
    failure = field_conflict(SERVING, f'Apply failed with 1 conflict: conflict with "argocd": {ENV}')
    assert failure is not None
    assert failure.reason == "FieldConflict"
    assert f"{ENV} belongs to argocd; take it out of that manager's manifest" in failure.message
    assert "kubectl" not in failure.message


def test_what_was_set_by_hand_comes_with_the_commands_that_free_it() -> None:
    said = f'Apply failed with 2 conflicts: conflicts with "kubectl-rollout" using apps/v1:\n- {ENV}\n- {ANNOTATION}'
    failure = field_conflict(SERVING, said)
    assert failure is not None
    assert "kubectl set env deployment/blue -c server BLUETUNE_VERSION-" in failure.message
    assert "-p '[" in failure.message
    patch = json.loads(failure.message.partition("-p '")[2].rstrip("'"))
    assert patch == [{"op": "remove", "path": "/spec/template/metadata/annotations/bluetune.dev~1version"}]


def test_an_object_that_only_changed_since_it_was_read_is_no_field_conflict() -> None:
    said = 'Operation cannot be fulfilled on deployments.apps "blue": the object has been modified'
    assert field_conflict(SERVING, said) is None


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "others, perhaps an admission webhook or policy"),
        ([entry("flux", "2026-01-01T00:00:02Z"), entry("kubectl")], "'flux' (Update at 2026-01-01T00:00:02Z)"),
        ([entry("bluetune-serving", "2026-01-01T00:00:02Z"), entry("kubectl")], "others, perhaps an admission"),
        ([entry("bluetune-serving"), entry("kubectl")], "'kubectl' (Update"),
        (
            [entry("kubectl"), entry("kube-controller-manager", "2027-01-01T00:00:00Z", subresource="status")],
            "'kubectl'",
        ),
        ([entry("kubectl"), entry("annotator", "2027-01-01T00:00:00Z", fieldsV1={"f:metadata": {}})], "'kubectl'"),
    ],
)
def test_who_wrote_the_spec_last(entries: list[dict[str, Any]], said: str) -> None:
    assert last_writer(deployment(*entries)).startswith(said)


def test_giving_back_leaves_all_others_fields_and_is_guarded_by_the_version_that_was_read() -> None:
    kept = entry("argocd")
    assert giving_back(deployment(kept)) is None
    assert giving_back(deployment(entry("bluetune-serving"), kept)) == [
        {"op": "replace", "path": "/metadata/managedFields", "value": [kept]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]
    alone = giving_back(deployment(entry("bluetune-serving")))
    assert alone is not None
    assert alone[0]["value"] == [{}]


def test_the_container_that_bluetune_owns_fields_of() -> None:
    containers: dict[str, Any] = {'k:{"name":"server"}': {".": {}, "f:name": {}}}
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": containers}}}}
    assert owned_container(deployment(entry("bluetune-serving", fieldsV1=fields))) == "server"
    assert owned_container(deployment(entry("kubectl", fieldsV1=fields))) is None


@pytest.mark.parametrize(
    "serving",
    [SERVING, Serving(deployment="blue", container="server", delivery="InitContainer", mount_path="/models/v")],
)
def test_how_a_deployment_was_told_is_read_from_it(serving: Serving) -> None:
    store = StoreSpec(endpoint="s:9000", bucket="models", credentials_secret_ref=ObjectReference(name="keys"))
    live = serving_patch(serving, store, "ns", "v000000000001", "sha256:" + "1" * 64, Fetcher("trainer:1"))
    assert serving_as_told(live, ServedBy(deployment="blue", container="server")) == serving
