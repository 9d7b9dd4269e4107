"""Kueue beside the operator: its manager as a process in the cluster's network, its webhooks told by address."""

import base64
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster import programs
from cluster.kubectl import Kubectl, KubectlError
from cluster.lifecycle import Cluster
from cluster.paths import NODE_IP

Object = dict[str, Any]
PORT = 9443
MANAGED = "bluetune-test/kueue"
"""Label of the namespaces in which Kueue takes every Job for its own, whatever its labels."""
SYSTEM = "kueue-system"
WITH_CERTIFICATES = """
set -e
mkdir -p "$1/own"
mount -t tmpfs tmpfs "$1/own"
mkdir -p "$1/own/etc/kueue/metrics/certs" "$1/own/work"
cp "$1/tls.crt" "$1/tls.key" "$1/own/etc/kueue/metrics/certs/"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/own/etc,workdir=$1/own/work" /etc
shift
exec "$@"
"""
"""Runs a program that insists on certificates in /etc/kueue; only the program sees them there."""
WEBHOOKS = ("batch", "kueue.x-k8s.io")
"""API groups of the webhooks that are installed: those of others' kinds would only be in the way."""


@contextmanager
def kueue(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Kueue, installed and at work, for the time of a `with`; afterwards nothing of it is left in the cluster."""
    (program,) = programs.NEIGHBOURS
    binary = programs.build(programs.NEIGHBOURS) / program.name
    source = programs.module_folder(program)
    kubectl = Kubectl()
    crds = sorted((source / "config/components/crd/bases").glob("kueue*.yaml"))
    kubectl("apply", "--server-side", "--force-conflicts", *(f"--filename={path}" for path in crds))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"--filename={path}" for path in crds))
    kubectl("create", "namespace", SYSTEM)
    process = None
    try:
        with (folder / "kueue.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation=private", "sh", "-c", WITH_CERTIFICATES, "sh", str(folder)),
                    str(binary),
                    f"--config={_config(cluster, folder)}",
                    "--feature-gates=VisibilityOnDemand=false",
                ],
                env=os.environ | {"POD_NAMESPACE": SYSTEM},
                stdout=log,
                stderr=log,
            )
        webhooks = _webhooks(cluster, source)
        kubectl.apply(*webhooks)
        _until_it_answers(kubectl, process, folder)
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait(30)
        kubectl("delete", "--ignore-not-found", *_KINDS_OF_WEBHOOKS, "-l", f"{MANAGED}=webhook")
        kubectl("delete", "namespace", SYSTEM, "--wait=false", "--ignore-not-found")
        for resource in ("workloads.kueue.x-k8s.io", "clusterqueues.kueue.x-k8s.io", "resourceflavors.kueue.x-k8s.io"):
            _remove_all(kubectl, resource)
        kubectl("delete", "--ignore-not-found", "--wait=false", *(f"--filename={path}" for path in crds))


_KINDS_OF_WEBHOOKS = ("mutatingwebhookconfigurations,validatingwebhookconfigurations",)


def queue(name: str, namespace: str, quotas: Mapping[str, str], *, preempt: bool = False) -> list[Object]:
    """A ClusterQueue with quotas, and the namespace's LocalQueue of the same name."""
    flavors = [{"name": "any", "resources": [{"name": kind, "nominalQuota": quota} for kind, quota in quotas.items()]}]
    spec: Object = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "resourceGroups": [{"coveredResources": list(quotas), "flavors": flavors}],
    }
    if preempt:
        spec["preemption"] = {"withinClusterQueue": "LowerPriority"}
    return [
        _of("ResourceFlavor", "any", {}),
        _of("ClusterQueue", name, spec),
        _of("LocalQueue", name, {"clusterQueue": name}, namespace),
    ]


def _of(kind: str, name: str, spec: Object, namespace: str | None = None) -> Object:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": meta, "spec": spec}


def _config(cluster: Cluster, folder: Path) -> Path:
    """Kueue's configuration. The API server's certificate names the node's address, so Kueue shows it, too."""
    for name, file in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
        (folder / name).symlink_to(cluster.state.pki / file)
    path = folder / "kueue.yaml"
    content = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": SYSTEM,
        "health": {"healthProbeBindAddress": "127.0.0.1:0"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": PORT, "certDir": str(folder)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "manageJobsWithoutQueueName": True,
        "managedJobsNamespaceSelector": {"matchLabels": {MANAGED: "yes"}},
        "integrations": {"frameworks": ["batch/job"]},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def _webhooks(cluster: Cluster, source: Path) -> list[Object]:
    bundle = base64.b64encode((cluster.state.pki / "ca.crt").read_bytes()).decode()
    found = []
    for made in yaml.safe_load_all((source / "config/components/webhook/manifests.yaml").read_text()):
        if made is None:
            continue
        kept = [hook for hook in made["webhooks"] if hook["rules"][0]["apiGroups"][0] in WEBHOOKS]
        for hook in kept:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": f"https://{NODE_IP}:{PORT}{path}", "caBundle": bundle}
        made["metadata"] |= {"name": f"kueue-{made['kind'].lower()}", "labels": {MANAGED: "webhook"}}
        found.append(made | {"webhooks": kept})
    return found


def _until_it_answers(kubectl: Kubectl, process: subprocess.Popen[bytes], folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, (folder / "kueue.log").read_text()[-3000:]
        try:
            kubectl.apply(_of("ResourceFlavor", "any", {}))
            return
        except KubectlError:
            if time.monotonic() > deadline:
                print((folder / "kueue.log").read_text()[-3000:])
                raise
            time.sleep(0.5)


def _remove_all(kubectl: Kubectl, resource: str) -> None:
    """Remove objects whose finalizers nobody takes away any more."""
    for one in kubectl.json("get", resource, "-A")["items"]:
        where = ["-n", one["metadata"]["namespace"]] if "namespace" in one["metadata"] else []
        name = one["metadata"]["name"]
        try:
            kubectl("patch", resource, name, *where, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        except KubectlError as error:
            if "NotFound" not in str(error):  # it went with its namespace meanwhile
                raise
        kubectl("delete", resource, name, *where, "--ignore-not-found", "--wait=false")
