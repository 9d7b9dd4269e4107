"""The operator as a process in the cluster's network, serving one namespace; trainer pods are real pods."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.runbook import CONDITIONS, PHASES, REASONS
from cluster.buckets import Bucket, new_bucket
from cluster.forked import OperatorProcess
from cluster.fresh import new_namespace
from cluster.kubectl import Kubectl, KubectlError
from cluster.lifecycle import Cluster
from cluster.scripted import scripted_trainer
from rights.granting import operator_environment

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("stand_in.py")
Object = dict[str, Any]


@pytest.fixture(scope="session")
def resources(cluster: Cluster) -> None:
    """The custom resources of the working tree."""
    kubectl = Kubectl()
    files = [f"--filename={path}" for path in sorted((CHECKOUT / "crds").glob("*.yaml"))]
    kubectl("apply", "--server-side", "--force-conflicts", *files)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)


@pytest.fixture(scope="session")
def stand_in(cluster: Cluster) -> str:
    """An image whose bluetune-trainer is stand_in.py."""
    return scripted_trainer(cluster, SCRIPT)


class Operator:
    """The operator as a process, started and killed at will; always as the same pod, so it goes on at once."""

    def __init__(self, namespace: str, folder: Path, image: str) -> None:
        folder.mkdir(exist_ok=True)
        self.namespace = namespace
        self.log = folder / "operator.log"
        self._environment = (
            os.environ
            | operator_environment()
            | {
                "BLUETUNE_NAMESPACES": namespace,
                "POD_NAMESPACE": namespace,
                "POD_NAME": "operator-under-test",
                "BLUETUNE_TRAINER_IMAGE": image,
                "BLUETUNE_HEALTH_PORT": "0",
                "BLUETUNE_METRICS_PORT": "0",
            }
        )
        self.process: OperatorProcess | None = None

    def start(self, **environment: str) -> None:
        """Start it."""
        self._starts = 1 + sum(line["message"].startswith("started") for line in self.lines())
        self.process = OperatorProcess(self._environment | environment, self.log)

    def wait_until_started(self, seconds: float = 60) -> None:
        """Until this life of it has seen everything once and begins to work."""
        deadline = time.monotonic() + seconds
        while sum(line["message"].startswith("started") for line in self.lines()) < self._starts:
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal, wait, and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def assert_no_defect(self) -> None:
        """Nothing that it has logged is an exception."""
        defects = [line for line in self.lines() if "exception" in line]
        assert not defects, defects[0]["exception"]

    def lines(self) -> list[Object]:
        """What it has logged."""
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


@pytest.fixture
def operator(
    resources: None, namespace: str, stand_in: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Operator]:
    """A running operator."""
    running = Operator(namespace, tmp_path, stand_in)
    running.start()
    yield running
    running.end()
    assert_in_runbook(Kubectl(namespace))
    if hasattr(request.node, "failed_here"):
        print(running.log.read_text())
    running.assert_no_defect()


class World:
    """Manifests of one namespace, and what becomes of them."""

    def __init__(self, kubectl: Kubectl, bucket: Bucket, image: str) -> None:
        self.kubectl = kubectl
        self.bucket = bucket
        self._image = image
        self.models: list[str] = []

    def secret(self, **keys: str) -> Object:
        """The store's Secret."""
        data = {
            "AWS_ACCESS_KEY_ID": self.bucket.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.bucket.server.secret_key,
        }
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": data | keys}

    def method(self, name: str = "text", **spec: Any) -> Object:
        """A FineTuningMethod."""
        return _resource("FineTuningMethod", name, {"image": self._image, **spec})

    def model(self, name: str = "m", **spec: Any) -> Object:
        """An EmbeddingModel with the store's prefix of its name."""
        store = {
            "endpoint": self.bucket.server.address,
            "bucket": self.bucket.name,
            "prefix": name,
            "secure": False,
            "credentialsSecretRef": {"name": "store"},
        }
        base = {"base": {"uri": "/models/base"}, "methodRef": {"name": "text"}, "store": store}
        return _resource("EmbeddingModel", name, base | spec)

    def task(self, name: str, model: str = "m", **spec: Any) -> Object:
        """A FineTuningTask."""
        return _resource("FineTuningTask", name, {"modelRef": {"name": model}, **spec})

    def batch(self, name: str = "b1", model: str = "m") -> None:
        """A complete batch of clicks."""
        for key, data in ((f"{name}/part.jsonl", b"{}\n"), (f"{name}/_SUCCESS", b"")):
            self.bucket.client.put_object(self.bucket.name, f"{model}/clickstream/{key}", BytesIO(data), len(data))

    def basics(self, *, method: Mapping[str, Any] | None = None) -> None:
        """Secret, method, model and batch; waits for the model's first version."""
        self.batch()
        self.kubectl.apply(self.secret(), self.method(**(method or {})), self.model())
        self.until("embeddingmodel/m", lambda o: bool(o.get("status", {}).get("current")), 60)

    def get(self, what: str) -> Object:
        """An object, by `kind/name`."""
        found: Object = self.kubectl.json("get", what)
        return found

    def until(self, what: str, holds: Callable[[Object], bool], seconds: float = 90) -> Object:
        """Wait until something holds for an object, and return it. Until somebody writes its status, that is empty."""
        deadline, found = time.monotonic() + seconds, {}
        while time.monotonic() < deadline:
            try:
                found = {"status": {}} | self.get(what)
            except KubectlError:
                found = {}
            if found and holds(found):
                return found
            time.sleep(0.2)
        around = self.kubectl("get", "jobs,pods", "-o", "wide")
        raise AssertionError(f"{what} after {seconds} s: {json.dumps(found.get('status'), indent=1)}\n{around}")

    def ready_reason(self, name: str, reason: str, seconds: float = 40) -> Object:
        """Wait until a task's Ready condition has a reason; return the condition."""
        task = self.until(f"finetuningtask/{name}", lambda o: condition(o, "Ready").get("reason") == reason, seconds)
        return condition(task, "Ready")

    def ended(self, name: str, seconds: float = 60) -> Object:
        """Wait until a task has ended; return it."""
        return self.until(
            f"finetuningtask/{name}",
            lambda o: "True" in (condition(o, "Succeeded").get("status"), condition(o, "Failed").get("status")),
            seconds,
        )

    def versions(self, model: str = "m") -> list[str]:
        """Published versions."""
        prefix = f"{model}/versions/"
        found = self.bucket.client.list_objects(self.bucket.name, prefix, recursive=True)
        names = [(o.object_name or "").removeprefix(prefix) for o in found]
        return sorted(n.split("/")[0] for n in names if n.endswith("/manifest.json"))


@pytest.fixture
def world(kubectl: Kubectl, bucket: Bucket, stand_in: str) -> World:
    """Manifests and their fate."""
    return World(kubectl, bucket, stand_in)


@pytest.fixture(scope="module")
def shared_world(
    cluster: Cluster,
    resources: None,
    stand_in: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    """One operator for the tests of a module, and models whose bases are published: `models.pop()` is a test's own."""
    users = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    count = sum("shared_world" in item.fixturenames for item in users)
    with new_namespace("shared") as namespace, new_bucket(cluster.s3("minio")) as bucket:
        world = World(Kubectl(namespace), bucket, stand_in)
        world.models = [f"m{number}" for number in range(count)]
        for name in world.models:
            world.batch(model=name)
        world.kubectl.apply(world.secret(), world.method(), *(world.model(name) for name in world.models))
        running = Operator(namespace, tmp_path_factory.mktemp("operator"), stand_in)
        running.start()
        try:
            for name in world.models:
                world.until(f"emodel/{name}", lambda o: bool((o.get("status") or {}).get("current")), 300)
            yield world
            assert_in_runbook(world.kubectl)
        finally:
            running.end()
        running.assert_no_defect()


def assert_in_runbook(kubectl: Kubectl) -> None:
    """Every phase, condition, reason and Event of the namespace has a line in the runbook."""
    for thing in kubectl.json("get", "ftt,emodel,ftm")["items"]:
        status = thing.get("status") or {}
        assert status.get("phase", "Pending") in PHASES
        for said in status.get("conditions") or []:
            assert said["type"] in CONDITIONS
            assert said["reason"] in REASONS
    for event in kubectl.json("get", "events")["items"]:
        ours = event.get("reportingComponent") == "bluetune.dev/operator"
        assert not ours or event["reason"] in REASONS


def condition(thing: Object, kind: str) -> Object:
    """A condition of an object, or {}."""
    found = (thing.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {})


def _resource(kind: str, name: str, spec: Mapping[str, Any]) -> Object:
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
