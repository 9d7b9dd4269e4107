"""The chart's roles for operators that tests start as processes: they may do what the chart grants, and no more."""

from functools import cache
from typing import Any

import yaml

from chart.helm import CHART, helm
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from cluster.paths import TESTED_NAMESPACE


def roles() -> list[dict[str, Any]]:
    """ClusterRole, binding and service account of a release in TESTED_NAMESPACE, with every right that can be had."""
    shown = [f"--show-only=templates/{name}.yaml" for name in ("rbac", "serviceaccount")]
    values = ["--set=workloadIdentity.enabled=true"]
    rendered = helm("template", "bluetune", str(CHART), f"--namespace={TESTED_NAMESPACE}", *values, *shown)
    return [document for document in yaml.safe_load_all(rendered) if document]


@cache
def operator_environment() -> dict[str, str]:
    """What makes a process the operator to the API server; from inside the cluster's network."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TESTED_NAMESPACE}}
    Kubectl().apply(namespace)
    Kubectl(TESTED_NAMESPACE).apply(*roles())
    return {"KUBECONFIG": str(Cluster().state.pki / "operator.kubeconfig")}
