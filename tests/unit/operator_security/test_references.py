"""No field of ours can name another namespace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bluetune_api.pods import PodTemplate
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.build import TrainerJob, trainer_job

CRDS = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))
DIGEST = "registry.example.com:5000/team/trainer@sha256:" + "0" * 64


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.{name}"
        yield from fields(inner, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from fields(inner, f"{path}[]")


@pytest.mark.parametrize("crd", CRDS, ids=lambda path: path.stem)
def test_references_are_names_in_the_same_namespace(crd: Path) -> None:
    (version,) = yaml.safe_load(crd.read_text())["spec"]["versions"]
    found = list(fields(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))
    assert len(found) > 10
    assert [field for field in found if "namespace" in field.lower()] == []


def test_a_pod_is_restricted_has_no_token_and_runs_the_image_by_its_digest() -> None:
    store = StoreSpec(endpoint="s:9000", bucket="bucket", service_account_name="trainer")
    owner = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "o", "uid": "u"}}
    template = PodTemplate(annotations={"a": "b"}, priority_class_name="low")
    job = trainer_job(TrainerJob("j", "n", owner, {}, "run", DIGEST, "IfNotPresent", store, template))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == DIGEST
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "trainer"
    assert {variable["name"] for variable in container["env"]}.isdisjoint({"AWS_ACCESS_KEY_ID"})
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all("hostPath" not in volume for volume in pod["volumes"])
