"""What tests of models and rollouts stand on: versions in a store, a model, its Deployment, and an operator process."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bluetune_api import store_layout
from bluetune_api.records import Manifest, ManifestFile, Probe, Result, RunOwner, digest_of, version_of
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from cluster.buckets import Bucket
from cluster.forked import OperatorProcess
from cluster.images import HOST
from cluster.kubectl import Kubectl, KubectlError
from rights.granting import operator_environment

CRDS = Path(__file__).parents[2] / "crds"
SERVER = Path(__file__).with_name("server.py")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SETTLE_SECONDS = 60.0


@dataclass
class Blue:
    """A namespace, a bucket, and what is in them."""

    kubectl: Kubectl
    bucket: Bucket
    logs: Path
    started: int = 0

    # The store

    def store(self, prefix: str = "model") -> S3Store:
        """The store of a model."""
        server = self.bucket.server
        location = StoreLocation(endpoint=server.address, bucket=self.bucket.name, prefix=prefix, secure=False)
        return S3Store(location, access_key=server.access_key, secret_key=server.secret_key)

    def publish(self, content: str, prefix: str = "model") -> tuple[str, str]:
        """A version of one file, as the trainer would publish it; its id and digest."""
        data = content.encode()
        file = ManifestFile(path="config.json", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        manifest = Manifest(files=[file], dimension=2, probe=Probe(texts=["a"], vectors=[[1.0, 0.0]])).encode()
        digest = digest_of(manifest)
        version, store = version_of(digest), self.store(prefix)
        store.put(store_layout.version(version) + "config.json", data)
        store.create(store_layout.manifest(version), manifest)
        return version, digest

    def imported(self, model: str, prefix: str = "model") -> tuple[str, str]:
        """The model's base as if its import Job had run."""
        uid = self.model(model)["metadata"]["uid"]
        version, digest = self.publish(f"base of {prefix}", prefix)
        store = self.store(prefix)
        owner = RunOwner(kind="EmbeddingModel", name=model, namespace=self.kubectl.namespace, uid=uid)
        uri = store.uri(store_layout.version(version))
        result = Result(kind="Import", owner=owner, version=version, digest=digest, uri=uri)
        store.create(store_layout.result(uid), result.model_dump_json(by_alias=True, exclude_none=True).encode())
        return version, digest

    # A task that has trained and asks

    def asking_task(self, name: str, version: str, digest: str) -> str:
        """A task that holds the model's lock, has published a version, and asks for its rollout; its uid."""
        kubectl, now = self.kubectl, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        api = {"apiVersion": "bluetune.dev/v1alpha1"}
        kubectl.apply({**api, "kind": "FineTuningMethod", "metadata": {"name": "text"}, "spec": {}})
        spec = {"modelRef": {"name": "shop"}, "methodRef": {"name": "text"}, "batchId": "b1", "deployAsBlue": True}
        kubectl.apply({**api, "kind": "FineTuningTask", "metadata": {"name": name}, "spec": spec})
        uid: str = kubectl.json("get", "ftt", name)["metadata"]["uid"]
        labels = {"app.kubernetes.io/managed-by": "bluetune", "bluetune.dev/model": "shop"}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "bluetune-shop", "labels": labels},
            "spec": {"holderIdentity": f"{name}/{uid}", "acquireTime": now.replace("Z", ".000000Z")},
        }
        kubectl.apply(lease)
        said = {kind: ("True", kind) for kind in ("Accepted", "LockAcquired", "DataValid", "Trained", "Published")}
        said["Promoted"] = ("Unknown", "RolloutRequested")
        conditions = [
            {"type": kind, "status": status, "reason": reason, "lastTransitionTime": now, "message": ""}
            for kind, (status, reason) in said.items()
        ]
        current = self.current()
        status = {
            "phase": "Deploying",
            "batchId": "b1",
            "startVersion": current,
            "liveVersion": current,
            "bestModelId": version,
            "bestModelUrl": f"s3://{self.bucket.name}/model/versions/{version}",
            "digest": digest,
            "metrics": {"candidate": {"ndcg@10": 0.5}},
            "startTime": now,
            "conditions": conditions,
        }
        kubectl("patch", "ftt", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        return uid

    # Kubernetes

    def secret(self) -> None:
        """The store's keys."""
        server = self.bucket.server
        keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys}
        self.kubectl.apply(secret)

    def make_model(
        self,
        name: str = "shop",
        *,
        prefix: str = "model",
        base: str = "/nowhere",
        serving: dict[str, Any] | None = None,
    ) -> None:
        """An EmbeddingModel; `serving` None is the usual one, {} none at all."""
        store = {
            "endpoint": self.bucket.server.address,
            "bucket": self.bucket.name,
            "prefix": prefix,
            "secure": False,
            "credentialsSecretRef": {"name": "keys"},
        }
        spec: dict[str, Any] = {"base": {"uri": base}, "store": store}
        chosen = usual_serving() if serving is None else serving
        if chosen:
            spec["serving"] = chosen
        self.kubectl.apply(
            {"apiVersion": "bluetune.dev/v1alpha1", "kind": "EmbeddingModel", "metadata": {"name": name}, "spec": spec}
        )

    def make_deployment(self, name: str = "blue", **env: str) -> None:
        """The blue Deployment; UNREADY, LYING, SKEWED and CRASHING make versions misbehave."""
        self.kubectl.apply(blue_deployment(name, env))

    def pin(self, version: str | None, name: str = "shop") -> None:
        """Set or remove rollbackTo."""
        patch = '{"spec":{"serving":{"rollbackTo":%s}}}' % (f'"{version}"' if version else "null")
        self.kubectl("patch", "emodel", name, "--type=merge", "-p", patch)

    def promote(self, version: str, replaces: str, name: str = "shop") -> None:
        """Set promote."""
        serving = {"promote": {"version": version, "replaces": replaces}}
        self.kubectl("patch", "emodel", name, "--type=merge", "-p", json.dumps({"spec": {"serving": serving}}))

    def model(self, name: str = "shop") -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.json("get", "emodel", name)
        return found

    def status(self, name: str = "shop") -> dict[str, Any]:
        status: dict[str, Any] = self.model(name).get("status") or {}
        return status

    def condition(self, kind: str, name: str = "shop") -> dict[str, Any]:
        return next((c for c in self.status(name).get("conditions") or () if c["type"] == kind), {})

    def current(self, name: str = "shop") -> str | None:
        version: str | None = (self.status(name).get("current") or {}).get("version")
        return version

    def step(self, name: str = "shop") -> str | None:
        step: str | None = (self.status(name).get("rollout") or {}).get("step")
        return step

    def served(self, app: str = "blue") -> list[str]:
        """Digests that the living pods' templates name, each once."""
        pods = self.kubectl.json("get", "pods", "-l", f"app={app}")["items"]
        alive = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
        return sorted({p["metadata"].get("annotations", {}).get("bluetune.dev/version", "") for p in alive})

    def until(self, what: Callable[[], Any], seconds: float = SETTLE_SECONDS) -> Any:
        """Wait until `what()` is true; fail with the model's status."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := what():
                    return found
            except KubectlError as error:
                print(error)
            if time.monotonic() > deadline:
                pods = self.kubectl("get", "pods,jobs,deployments", "-o", "wide")
                raise AssertionError(f"not within {seconds} s; model: {self.status()}\n{pods}\n{self.log_tail()}")
            time.sleep(0.5)

    # The operator

    def log_tail(self) -> str:
        logs = sorted(self.logs.glob("operator-*.log"))
        return logs[-1].read_text()[-4000:] if logs else ""

    def start_operator(self, **env: str) -> OperatorProcess:
        """An operator for this namespace, in this process's network."""
        self.started += 1
        variables = {
            "BLUETUNE_NAMESPACES": self.kubectl.namespace,
            "BLUETUNE_TRAINER_IMAGE": HOST,
            "BLUETUNE_HEALTH_PORT": "0",
            "BLUETUNE_METRICS_PORT": "0",
            "BLUETUNE_LOG_FORMAT": "text",
            "POD_NAMESPACE": self.kubectl.namespace,
            "POD_NAME": "operator-under-test",
        }
        environment = {**os.environ, **operator_environment(), **variables, **env}
        return OperatorProcess(environment, self.logs / f"operator-{self.started:03d}.log")

    @contextmanager
    def operator(self, **env: str) -> Iterator[OperatorProcess]:
        """An operator for the time of a `with`."""
        process = self.start_operator(**env)
        try:
            yield process
        finally:
            kill(process)


def kill(process: OperatorProcess) -> None:
    """SIGKILL, as a node that loses power."""
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def usual_serving(**more: Any) -> dict[str, Any]:
    """Serving by Env, verified, with short timeouts."""
    return {
        "deployment": "blue",
        "container": "server",
        "rolloutTimeoutSeconds": 45,
        "verify": {"port": 8080, "timeoutSeconds": 15},
        **more,
    }


def reindex(script: str) -> dict[str, Any]:
    """A reindex Job that runs a shell script."""
    container = {
        "name": "reindex",
        "image": HOST,
        "command": ["sh", "-c", script],
        "securityContext": RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "template": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        "timeoutSeconds": 60,
    }


def blue_deployment(name: str, env: dict[str, str], replicas: int = 2) -> dict[str, Any]:
    """A Deployment that can switch without dropping requests."""
    container = {
        "name": "server",
        "image": HOST,
        "command": ["python", str(SERVER)],
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "securityContext": RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {"terminationGracePeriodSeconds": 2, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }
