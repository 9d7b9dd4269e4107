"""Where the demo runs: the cluster that this repository brings along, or one that a kubeconfig's context names."""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE, SYSTEM = "bluetune-demo", "bluetune-system"
SEARCH_IMAGE = "localhost/bluetune-search:dev"
"""As the manifests name it."""
MINIO_IMAGE = "minio/minio:RELEASE.2025-04-22T22-12-26Z"
SEARCH_PORT, S3_PORT = 8080, 9000
GPU = "nvidia.com/gpu"


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Storage:
    """The S3 server, as this process reaches it."""

    endpoint: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Images:
    """What the pods run."""

    operator: str
    trainer: str
    search: str


class Target(Protocol):
    """A cluster to run the demo on."""

    images: Images
    kubectl: str
    """How a person calls kubectl for it."""
    lasting: bool
    """Whether forwarded ports stay open when the demo ends."""

    def start(self) -> None:
        """Bring the cluster up, if that is ours to do."""

    def run(self, *line: str, stdin: str | None = None, timeout: float = 60) -> str:
        """The output of kubectl or helm. Raises DemoError with what it wrote to stderr."""

    def storage(self) -> Storage:
        """The S3 server behind the address `minio.bluetune-demo:9000`; the namespace exists."""

    def forward(self, service: str, port: int, here: int) -> int:
        """A port on 127.0.0.1, `here` if it is free, that leads to a Service of the demo's namespace."""

    def close(self) -> None:
        """End what must not outlive the demo."""


def _run(line: list[str], environment: Mapping[str, str], stdin: str | None, timeout: float) -> str:
    try:
        done = subprocess.run(
            line, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise DemoError(f"{line[0]} is not installed, and the demo needs it on the PATH") from None
    except subprocess.TimeoutExpired:
        raise DemoError(f"`{' '.join(line[-8:])}` did not end within {timeout:.0f} s") from None
    if done.returncode:
        raise DemoError(f"`{' '.join(line)}` failed:\n{done.stderr.strip()[-3000:]}")
    return done.stdout


class LocalCluster:
    """The cluster of tests/cluster; its pods run the working tree."""

    kubectl = ".venv/bin/python tests/cluster exec kubectl"
    lasting = True

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "tests"))
        from cluster import images
        from cluster.lifecycle import Cluster

        self.images = Images(images.HOST, images.HOST, SEARCH_IMAGE)
        self._cluster = Cluster()

    def start(self) -> None:
        """Build what is missing, start the cluster unless it runs, and give it the search service's image."""
        from cluster import images
        from cluster.errors import ClusterError

        try:
            self._cluster.up()
            code = ROOT / "examples" / "search-service"
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "search.tar"
                environment = Path(sys.prefix).resolve()
                archive.write_bytes(images.host_archive(environment, SEARCH_IMAGE, PYTHONPATH=str(code)))
                self._cluster.load(archive)
        except ClusterError as error:
            raise DemoError(str(error)) from error

    def run(self, *line: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run in the cluster's network."""
        environment = {**os.environ, **self._cluster.environment()}
        return _run(self._cluster.command(line), environment, stdin, timeout)

    def storage(self) -> Storage:
        """The cluster's own MinIO, which a headless Service gives its name in the namespace."""
        server = self._cluster.s3("minio")
        labels = {"kubernetes.io/service-name": "minio"}
        meta = {"name": "minio", "namespace": NAMESPACE}
        ports = [{"name": "s3", "port": server.port}]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"clusterIP": "None", "ports": ports},
        }
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [server.host]}],
            "ports": ports,
        }
        self.run(
            "kubectl",
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, endpoints]}),
        )
        port = self._forwarded(f"{server.host}:{server.port}", S3_PORT)
        return Storage(f"127.0.0.1:{port}", server.access_key, server.secret_key)

    def forward(self, service: str, port: int, here: int) -> int:
        """Stays open until `make down`; one that an earlier demo opened is used again."""
        return self._forwarded(f"{NAMESPACE}/{service}:{port}", here)

    def _forwarded(self, there: str, here: int) -> int:
        from cluster import forward
        from cluster.errors import ClusterError

        notes = self._cluster.state.root / "demo-ports.json"
        known: dict[str, int] = json.loads(notes.read_text()) if notes.exists() else {}
        if there in known and _listens(known[there]):
            return known[there]
        try:
            known[there] = forward.detached(self._cluster, f"{here if not _listens(here) else 0}:{there}")
        except ClusterError as error:
            raise DemoError(str(error)) from error
        notes.write_text(json.dumps(known))
        return known[there]

    def close(self) -> None:
        """The cluster stays until `make down`."""


class ContextCluster:
    """A cluster of the user's own, through kubectl and helm. Its nodes must be able to pull the three images."""

    lasting = False

    def __init__(self, context: str, environment: Mapping[str, str]) -> None:
        self._context = context
        self.kubectl = f"kubectl --context {context}"
        registry, tag = environment.get("BLUETUNE_IMAGES", "localhost"), environment.get("BLUETUNE_TAG", "dev")
        self.images = Images(*(f"{registry}/bluetune-{part}:{tag}" for part in ("operator", "trainer", "search")))
        self._minio = environment.get("MINIO_IMAGE", MINIO_IMAGE)
        self._open = ExitStack()

    def start(self) -> None:
        """See that the cluster answers and the programs are there."""
        for program in ("kubectl", "helm"):
            if shutil.which(program, path=_path()) is None:
                raise DemoError(f"{program} is not on the PATH; the demo needs it to use the context {self._context}")
        self.run("kubectl", "get", "--raw", "/readyz", timeout=20)

    def run(self, *line: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run with the context."""
        flag = "--kube-context" if line[0] == "helm" else "--context"
        return _run([line[0], f"{flag}={self._context}", *line[1:]], {**os.environ, "PATH": _path()}, stdin, timeout)

    def storage(self) -> Storage:
        """A MinIO in the namespace, made for the demo; what it holds goes with its pod."""
        storage = Storage("", "demo", secrets.token_urlsafe(24))
        objects = minio_objects(self._minio, storage)
        self.run(
            "kubectl", "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )
        self.run("kubectl", "-n", NAMESPACE, "rollout", "status", "deployment/minio", "--timeout=180s", timeout=200)
        port = self.forward("minio", S3_PORT, S3_PORT)
        return Storage(f"127.0.0.1:{port}", storage.access_key, storage.secret_key)

    def forward(self, service: str, port: int, here: int) -> int:
        """By `kubectl port-forward`, for the time of the demo."""
        here = here if not _listens(here) else _free_port()
        line = [
            "kubectl",
            f"--context={self._context}",
            "-n",
            NAMESPACE,
            "port-forward",
            f"service/{service}",
            f"{here}:{port}",
        ]
        process = subprocess.Popen(
            line, env={**os.environ, "PATH": _path()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._open.callback(process.terminate)
        deadline = time.monotonic() + 20
        while not _listens(here):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"`{' '.join(line)}` does not forward; try it by hand to see why")
            time.sleep(0.2)
        return here

    def close(self) -> None:
        """End the port-forwards."""
        self._open.close()


def chosen(environment: Mapping[str, str]) -> Target:
    """The cluster that KUBE_CONTEXT names, or else the local one."""
    context = environment.get("KUBE_CONTEXT")
    return ContextCluster(context, environment) if context else LocalCluster()


def minio_objects(image: str, storage: Storage) -> list[dict[str, Any]]:
    """A MinIO server that may run in a restricted namespace."""
    meta = {"name": "minio", "namespace": NAMESPACE}
    keys = {"MINIO_ROOT_USER": storage.access_key, "MINIO_ROOT_PASSWORD": storage.secret_key}
    container = {
        "name": "minio",
        "image": image,
        "args": ["server", "/data"],
        "envFrom": [{"secretRef": {"name": "minio"}}],
        "ports": [{"containerPort": S3_PORT}],
        "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": S3_PORT}, "periodSeconds": 2},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    labels = {"app": "minio"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": keys},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": S3_PORT}]},
        },
    ]


def code_fingerprint(*folders: Path) -> str:
    """A hash of all Python files below some folders: what a pod that runs the working tree was started with."""
    found = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _path() -> str:
    return f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
