"""The chart on a real cluster: installed, upgraded, uninstalled; for all namespaces and for some.

The operator runs from the working tree's environment; tests/images does it with the real images.
"""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.helm import CHART, HelmError, helm
from cluster.images import HOST
from cluster.kubectl import Kubectl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEPLOYMENT = "deployment/bluetune"
CRDS = ["embeddingmodels.bluetune.dev", "finetuningmethods.bluetune.dev", "finetuningtasks.bluetune.dev"]
REPOSITORY, TAG = HOST.split(":")
IMAGES = [
    f"--set=image.repository={REPOSITORY}",
    f"--set=image.tag={TAG}",
    f"--set=trainerImage.repository={REPOSITORY}",
    f"--set=trainerImage.tag={TAG}",
    "--set=logFormat=text",
]
METHOD: dict[str, Any] = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "FineTuningMethod",
    "metadata": {"name": "text"},
    "spec": {},
}


def install(namespace: str, *options: str, chart: Path = CHART, command: str = "install") -> str:
    """Install or upgrade the release and wait until the operator is ready.

    CRDs that are in the cluster already, applied by other tests, are taken over.
    """
    try:
        return helm(
            command,
            "bluetune",
            str(chart),
            "-n",
            namespace,
            *IMAGES,
            "--take-ownership",
            "--force-conflicts",
            "--wait",
            "--timeout=90s",
            *options,
        )
    except HelmError as error:
        kubectl = Kubectl(namespace)
        raise AssertionError(f"{error}\n{kubectl('describe', 'pods')}\n{kubectl('get', 'events')}") from None


def logs(kubectl: Kubectl) -> str:
    return kubectl("logs", DEPLOYMENT, "--tail=50")


def eventually(what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def conditions(kubectl: Kubectl) -> dict[str, str]:
    """Of the method, type to status; empty before the operator has seen it."""
    status = kubectl.json("get", "finetuningmethod", "text").get("status", {})
    return {condition["type"]: condition["status"] for condition in status.get("conditions", [])}


def may(namespace: str, verb: str, what: str, where: str) -> bool:
    """Whether the operator of the release in `namespace` may do something in the namespace `where`."""
    user = f"--as=system:serviceaccount:{namespace}:bluetune"
    line = ["kubectl", "auth", "can-i", verb, what, user, "-n", where]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=30).stdout.strip() == "yes"


def cluster_roles(namespace: str) -> list[str]:
    """The cluster-wide roles of the release in a namespace; other lanes have some of their own."""
    found = Kubectl()("get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=bluetune", "-o", "name")
    return [line for line in found.split() if f"/{namespace}-" in line]


@contextmanager
def another_namespace() -> Iterator[str]:
    name = f"chart-{secrets.token_hex(4)}"
    Kubectl()("create", "namespace", name)
    try:
        yield name
    finally:
        Kubectl()("delete", "namespace", name, "--wait=false")


@pytest.fixture
def released(namespace: str) -> Iterator[str]:
    """A namespace whose release is gone at the end, with what it has in the cluster."""
    yield namespace
    helm("uninstall", "bluetune", "-n", namespace, "--ignore-not-found", "--wait")


def test_install_upgrade_uninstall(released: str, kubectl: Kubectl, tmp_path: Path) -> None:
    # install: the operator is ready in a namespace that takes restricted pods only, and does its work
    notes = install(released)
    assert "kubectl create secret generic store" in notes
    for crd in CRDS:
        kubectl.wait("condition=Established", f"crd/{crd}")
    kubectl.apply(METHOD)
    eventually("the operator says that the method is ready", lambda: conditions(kubectl).get("Ready") == "True")
    assert "forbidden" not in logs(kubectl).lower()

    assert cluster_roles(released)

    # what it must not do
    assert may(released, "get", "secrets/store", "default")
    assert not may(released, "list", "secrets", "default")
    assert not may(released, "create", "pods", "default")
    assert not may(released, "update", "embeddingmodels.bluetune.dev", "default")
    assert not may(released, "delete", "deployments.apps", "default")

    # its metrics, through the Service
    metrics = kubectl("get", "--raw", f"/api/v1/namespaces/{released}/services/bluetune-metrics:8081/proxy/metrics")
    assert "bluetune_queue_depth" in metrics

    # upgrade: a CRD changes, and what is in the cluster stays
    newer = tmp_path / "bluetune"
    shutil.copytree(CHART, newer)
    template = newer / "templates" / "crds" / "bluetune.dev_finetuningmethods.yaml"
    text = template.read_text()
    assert "- name: Plugin" in text
    template.write_text(text.replace("- name: Plugin", "- name: Plug-in", 1))
    before = kubectl.json("get", DEPLOYMENT)["metadata"]["uid"]
    install(released, chart=newer, command="upgrade")
    crd = kubectl.json("get", "crd", "finetuningmethods.bluetune.dev")
    assert "Plug-in" in [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert kubectl.json("get", DEPLOYMENT)["metadata"]["uid"] == before
    install(released, command="upgrade")

    # uninstall: the operator and its rights go; definitions and resources stay
    helm("uninstall", "bluetune", "-n", released, "--wait")
    assert not kubectl(
        "get", "deployments,services,serviceaccounts", "-l", "app.kubernetes.io/name=bluetune", "-o", "name"
    )
    assert cluster_roles(released) == []
    assert kubectl.json("get", "finetuningmethod", "text")["spec"]["plugin"]
    assert set(CRDS) <= {crd["metadata"]["name"] for crd in kubectl.json("get", "crd")["items"]}

    # and again, over what was kept
    install(released)
    kubectl.wait("condition=Ready", "finetuningmethod/text")


def test_an_operator_of_some_namespaces_sees_only_these(released: str) -> None:
    with another_namespace() as watched, another_namespace() as foreign:
        install(released, "--set", f"watchNamespaces={{{watched}}}", "--set=rbac.aggregate=false")
        assert cluster_roles(released) == []
        for where in (watched, foreign):
            Kubectl(where).apply(METHOD)
        eventually("the method is ready", lambda: conditions(Kubectl(watched)).get("Ready") == "True")
        assert conditions(Kubectl(foreign)) == {}
        assert may(released, "get", "secrets/store", watched)
        assert not may(released, "get", "secrets/store", foreign)
        assert not may(released, "get", "secrets/store", released)
        assert "forbidden" not in logs(Kubectl(released)).lower()

        # the operator's own Lease, in its own namespace
        lease = Kubectl(released).json("get", "lease", "bluetune.operator")
        (pod,) = Kubectl(released).json("get", "pods", "-l", "app.kubernetes.io/name=bluetune")["items"]
        assert lease["spec"]["holderIdentity"] == pod["metadata"]["name"]


def test_of_two_replicas_one_works_and_the_other_takes_over(released: str, kubectl: Kubectl) -> None:
    install(released, "--set=replicas=2")

    def leader() -> str:
        return str(kubectl.json("get", "lease", "bluetune.operator")["spec"]["holderIdentity"])

    pods = kubectl.json("get", "pods", "-l", "app.kubernetes.io/name=bluetune")["items"]
    names = {pod["metadata"]["name"] for pod in pods}
    assert len(names) == 2
    first = leader()
    assert first in names
    kubectl("delete", "pod", first, "--grace-period=0", "--force")
    eventually("another pod leads", lambda: leader() not in ("", first), 40)
    kubectl.apply(METHOD)
    eventually("the method is ready", lambda: conditions(kubectl).get("Ready") == "True")
    install(released, "--set=replicas=2", command="upgrade")  # the lost pod's successor is ready, too


def test_the_notes_are_manifests_that_the_cluster_takes(released: str, kubectl: Kubectl) -> None:
    notes = install(released)
    manifests = notes.split("<<EOF\n")[1:]
    assert len(manifests) == 2
    for manifest in manifests:
        for document in yaml.safe_load_all(manifest.split("\nEOF\n")[0]):
            kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(document))
