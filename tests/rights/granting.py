"""The chart's roles and policies for operators that tests start as processes: they may do what the chart lets them, and
no more."""

from functools import cache
from typing import Any

import yaml

from chart.helm import CHART, helm
from cluster.images import HOST
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from cluster.paths import TESTED_NAMESPACE

EVERY_RIGHT = ("workloadIdentity.enabled=true", "kueue.enabled=true")


def roles() -> list[dict[str, Any]]:
    """ClusterRole, binding and service account of a release in TESTED_NAMESPACE, with every right that can be had."""
    return _rendered("rbac", "serviceaccount")


def policies() -> list[dict[str, Any]]:
    """What narrows the account of that release; its fetcher is the image that the tests' operators have."""
    repository, _, tag = HOST.rpartition(":")
    return _rendered("policies", "policies.enabled=true", f"image.repository={repository}", f"image.tag={tag}")


def _rendered(*names_and_values: str) -> list[dict[str, Any]]:
    shown = [f"--show-only=templates/{name}.yaml" for name in names_and_values if "=" not in name]
    values = [f"--set={value}" for value in (*EVERY_RIGHT, *names_and_values) if "=" in value]
    rendered = helm("template", "bluetune", str(CHART), f"--namespace={TESTED_NAMESPACE}", *values, *shown)
    return [document for document in yaml.safe_load_all(rendered) if document]


@cache
def operator_environment() -> dict[str, str]:
    """What makes a process the operator to the API server; from inside the cluster's network."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TESTED_NAMESPACE}}
    Kubectl().apply(namespace)
    Kubectl(TESTED_NAMESPACE).apply(*roles(), *policies())
    return {"KUBECONFIG": str(Cluster().state.pki / "operator.kubeconfig")}
