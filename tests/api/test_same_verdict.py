"""The API server judges every manifest of the shared table as the types do, and names the same field."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from api import manifests
from bluetune_api.manifest import KINDS
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster

CRDS = Path(__file__).parents[2] / "crds"
PLURALS = {name: kind.PLURAL for name, kind in KINDS.items()}

SPACE = "same-verdict"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.CustomObjectsApi]:
    """The API server with our CRDs established and an empty namespace."""
    kubectl = Kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    names = [f"crd/{plural}.bluetune.dev" for plural in PLURALS.values()]
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--timeout=60s", timeout=70)
    kubectl("create", "namespace", SPACE)
    config.load_kube_config(os.environ["KUBECONFIG"])
    yield client.CustomObjectsApi()
    kubectl("delete", "namespace", SPACE, "--timeout=60s", timeout=70)


def create(api: client.CustomObjectsApi, manifest: dict[str, Any], **options: Any) -> Any:
    plural = PLURALS[manifest["kind"]]
    return api.create_namespaced_custom_object(
        "bluetune.dev", "v1alpha1", SPACE, plural, manifest, field_validation="Strict", **options
    )


def causes(error: client.ApiException) -> str:
    """All that the rejection says."""
    return str(json.loads(error.body or "{}").get("message"))


@pytest.mark.parametrize("case", manifests.CASES, ids=lambda c: c.name)
def test_api_server_judges_a_manifest_as_the_types_do(api: client.CustomObjectsApi, case: manifests.Case) -> None:
    if case.field is None:
        create(api, case.manifest(), dry_run="All")
        return
    with pytest.raises(client.ApiException) as refused:
        create(api, case.manifest(), dry_run="All")
    assert refused.value.status in (400, 422)
    assert case.field in causes(refused.value)


@pytest.mark.parametrize("case", manifests.UPDATES, ids=lambda c: c.name)
def test_api_server_judges_a_change_as_the_types_do(api: client.CustomObjectsApi, case: manifests.Update) -> None:
    before, after = case.manifests()
    name = "update-" + case.name.lower().replace(" ", "-")
    for manifest in (before, after):
        manifest["metadata"]["name"] = name[:40]
    created = create(api, before)
    after = copy.deepcopy(after)
    after["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]

    def replace() -> None:
        api.replace_namespaced_custom_object(
            "bluetune.dev", "v1alpha1", SPACE, PLURALS[after["kind"]], name[:40], after, field_validation="Strict"
        )

    if case.field is None:
        replace()
        return
    with pytest.raises(client.ApiException) as refused:
        replace()
    assert refused.value.status == 422
    assert case.field in causes(refused.value)
