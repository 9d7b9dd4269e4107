"""What is in the images, asked from inside, in pods that the restricted standard admits."""

import json
from typing import Any

import pytest

from cluster.kubectl import Kubectl

pytestmark = pytest.mark.timeout(1200)  # the first test imports the images into the cluster

LOOK = """
import importlib.util, json, os, shutil, subprocess, sys
def has(name):
    return importlib.util.find_spec(name) is not None
store = {"BLUETUNE_STORE": '{"endpoint": "127.0.0.1:1", "bucket": "models"}'}
keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
fetch = ["bluetune-trainer", "fetch", "--version", "v0123456789ab", "--digest", "none", "--into", "/nowhere"]
print(json.dumps({
    "user": os.getuid(),
    "modules": [name for name in sys.argv[1:] if has(name)],
    "programs": [name for name in ("pip", "pip3", "gcc", "cc", "make", "uv") if shutil.which(name)],
    "leftovers": [path for path in ("/etc/pip.conf", "/run/secrets/ca.pem", "/tmp/tools", "/src", "/dist")
                  if os.path.exists(path)],
    "environment": sorted(os.environ),
    "fetch": subprocess.run(
        fetch, env=os.environ | store | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode,
}))
"""
MODULES = ("bluetune_api", "torch", "transformers", "hyperopt", "kopf", "kubernetes", "minio", "pip", "hatchling")


def look(kubectl: Kubectl, image: str) -> dict[str, Any]:
    """What a container of the image finds."""
    security = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "look",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", LOOK, *MODULES],
        "securityContext": security,
    }
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "look"}, "spec": spec})
    kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/look", timeout=180)
    found: dict[str, Any] = json.loads(kubectl("logs", "look"))
    return found


def test_the_operators_image_has_no_torch(operator_image: str, kubectl: Kubectl) -> None:
    found = look(kubectl, operator_image)
    assert found["modules"] == ["bluetune_api", "kopf", "kubernetes", "minio"]
    assert found["fetch"] == 11  # it could open the store, and refuses the digest: so it can fetch for blue pods
    assert (found["user"], found["programs"], found["leftovers"]) == (10001, [], [])
    assert not [name for name in found["environment"] if name.startswith(("PIP_", "SSL_"))]


def test_the_trainers_image_has_no_kopf_and_no_kubernetes_client(trainer_image: str, kubectl: Kubectl) -> None:
    found = look(kubectl, trainer_image)
    assert found["modules"] == ["bluetune_api", "torch", "transformers", "hyperopt", "minio"]
    assert (found["user"], found["programs"], found["leftovers"]) == (10001, [], [])
    assert not [name for name in found["environment"] if name.startswith(("PIP_", "SSL_"))]
