"""The manifests that `kubectl apply -f examples/semanlink/` sends are valid, restricted, and about one another."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from semanlink.manifests import rendered

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.store_location import StoreLocation
from bluetune_api.task import FineTuningTask

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "semanlink"
OBJECTS = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text()) if document
]


def the(kind: str) -> dict[str, Any]:
    (found,) = [document for document in OBJECTS if document["kind"] == kind]
    return found


def test_the_folder_holds_what_belongs_together_and_no_secret() -> None:
    kinds = sorted(document["kind"] for document in OBJECTS)
    ours = ["EmbeddingModel", "FineTuningMethod", "FineTuningTask"]
    assert kinds == sorted(["Namespace", "Deployment", "Service", *ours])


def test_the_namespace_comes_first_and_admits_restricted_pods_only() -> None:
    assert OBJECTS[0]["kind"] == "Namespace"
    assert OBJECTS[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {d["metadata"].get("namespace") for d in OBJECTS[1:]} == {OBJECTS[0]["metadata"]["name"]}


def test_they_are_valid_and_refer_to_one_another() -> None:
    model = EmbeddingModel.model_validate(the("EmbeddingModel"))
    method = FineTuningMethod.model_validate(the("FineTuningMethod"))
    task = FineTuningTask.model_validate(the("FineTuningTask"))
    assert task.spec.model_ref.name == model.metadata.name
    assert model.spec.method_ref is not None
    assert model.spec.method_ref.name == method.metadata.name
    serving = model.spec.serving
    assert serving is not None
    deployment = the("Deployment")
    assert serving.deployment == deployment["metadata"]["name"]
    assert serving.container in [c["name"] for c in deployment["spec"]["template"]["spec"]["containers"]]


def test_the_gate_decides_by_clicks() -> None:
    serving = EmbeddingModel.model_validate(the("EmbeddingModel")).spec.serving
    assert serving is not None
    assert serving.gate.judgments is None
    assert serving.gate.confidence > 0


def test_the_service_and_the_model_speak_of_the_same_store() -> None:
    model = EmbeddingModel.model_validate(the("EmbeddingModel"))
    (container,) = the("Deployment")["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable for variable in container["env"]}
    assert StoreLocation.model_validate_json(env["BLUETUNE_STORE"]["value"]) == model.spec.store.location()
    assert model.spec.store.credentials_secret_ref is not None
    secret = model.spec.store.credentials_secret_ref.name
    assert env["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == secret


def pods() -> list[dict[str, Any]]:
    reindex = the("EmbeddingModel")["spec"]["serving"]["reindex"]["template"]["template"]["spec"]
    return [the("Deployment")["spec"]["template"]["spec"], reindex]


@pytest.mark.parametrize("pod", pods(), ids=["search", "reindex"])
def test_pods_are_restricted_and_get_no_token(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_deployment_drops_no_request_while_it_rolls() -> None:
    spec = the("Deployment")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert container["readinessProbe"]
    assert container["lifecycle"]["preStop"]


def test_another_cluster_gets_its_images_and_no_gpu_it_does_not_have() -> None:
    texts = [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
    there = "".join(rendered(text, search_image="registry/search:1", gpu=False) for text in texts)
    assert there.count("registry/search:1") == 2
    assert "localhost" not in there
    assert "nvidia.com/gpu" not in there
    assert "nvidia.com/gpu" in "".join(rendered(text, search_image="registry/search:1", gpu=True) for text in texts)
