"""A model, its Deployment and its pods in memory, for the model's reconciler: one look at a time, whatever was changed
between two. Kubernetes rolls the Deployment when it is told to."""

import asyncio
import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from bluetune_api import store_layout
from bluetune_api.records import Manifest, ManifestFile, Probe, digest_of, version_of
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.store import Stores
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import AlreadyExists, ForeignObject
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS, MODELS, PODS, Kind, Object, is_owned_by, name_of
from bluetune_operator.core.rollout.serving_patch import FIELD_MANAGER
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.models.reconcile import ModelReconciler
from unit.operator_lock_model.store import MemoryStore

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
PROBE = Probe(texts=["a"], vectors=[[1.0, 0.0]])


def manifest(content: str, base_uri: str | None = None) -> tuple[str, str, bytes]:
    """A version: its id, digest and manifest."""
    files = [ManifestFile(path=content, size=1, sha256="0" * 64)]
    data = Manifest(files=files, dimension=2, probe=PROBE, base_uri=base_uri).encode()
    return version_of(digest_of(data)), digest_of(data), data


OLD, OLD_DIGEST, OLD_DATA = manifest("old")
NEW, NEW_DIGEST, NEW_DATA = manifest("new")
ANOTHER, ANOTHER_DIGEST, ANOTHER_DATA = manifest("another")


class Kube:
    """The API server as far as the model's reconciler uses it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.written: list[tuple[str, str]] = []
        """Verb and name of each write that is not of a status."""
        self.refuse: Callable[[str, str], Exception | None] = lambda verb, name: None
        self._version = 0

    def put(self, kind: Kind, thing: Object) -> Object:
        self._version += 1
        thing = copy.deepcopy(thing)
        thing["metadata"]["resourceVersion"] = str(self._version)
        self.objects[kind.plural, name_of(thing)] = thing
        return thing

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get((kind.plural, name)))

    async def list(self, kind: Kind, namespace: str, **_: Any) -> list[Object]:
        return [copy.deepcopy(thing) for (plural, _), thing in self.objects.items() if plural == kind.plural]

    async def create_owned(self, kind: Kind, body: Object, owner_uid: str, *, strict: bool) -> Object:
        assert strict, "a template is a person's"
        found = self.objects.get((kind.plural, name_of(body)))
        if found is not None and not is_owned_by(found, owner_uid):
            raise ForeignObject(f"{name_of(body)} belongs to others")
        if found is not None:
            raise AlreadyExists(409, "AlreadyExists", name_of(body))
        self._wrote("create", name_of(body))
        return self.put(kind, {**body, "metadata": {**body["metadata"], "uid": f"uid-{self._version}"}})

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, propagation: str) -> bool:
        assert uid, "a Job is deleted by its uid"
        self._wrote("delete", name)
        return self.objects.pop((kind.plural, name), None) is not None

    async def apply(self, kind: Kind, body: Object, *, field_manager: str) -> Object:
        self._wrote("apply", name_of(body))
        live = copy.deepcopy(self.objects[kind.plural, name_of(body)])
        assert body["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
        template, wanted = live["spec"]["template"], body["spec"]["template"]
        template["metadata"]["annotations"] = dict(wanted["metadata"]["annotations"])
        (told,) = wanted["spec"]["containers"]
        for container in template["spec"]["containers"]:
            if container["name"] == told["name"]:
                ours = {variable["name"] for variable in told["env"]}
                container["env"] = [v for v in container["env"] if v["name"] not in ours] + told["env"]
                container["volumeMounts"] = told.get("volumeMounts", [])
        for field in ("initContainers", "volumes"):
            template["spec"][field] = copy.deepcopy(wanted["spec"].get(field, []))
        live["metadata"]["generation"] += 1
        others = [e for e in live["metadata"]["managedFields"] if e["manager"] != FIELD_MANAGER]
        owned: Object = {f'k:{{"name":"{told["name"]}"}}': {}}
        fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": owned}}}}
        live["metadata"]["managedFields"] = [*others, {"manager": FIELD_MANAGER, "fieldsV1": fields}]
        return self.put(kind, live)

    async def json_patch(self, kind: Kind, namespace: str, name: str, patch: Sequence[Object]) -> Object:
        self._wrote("patch", name)
        live = copy.deepcopy(self.objects[kind.plural, name])
        fields, version = patch
        assert (fields["path"], version["path"]) == ("/metadata/managedFields", "/metadata/resourceVersion")
        assert version["value"] == live["metadata"]["resourceVersion"]
        live["metadata"]["managedFields"] = fields["value"]
        return self.put(kind, live)

    async def replace_status(self, kind: Kind, thing: Object, status: Object) -> Object:
        return self.put(kind, {**self.objects[kind.plural, name_of(thing)], "status": json.loads(json.dumps(status))})

    def _wrote(self, verb: str, name: str) -> None:
        if (error := self.refuse(verb, name)) is not None:
            raise error
        self.written.append((verb, name))


class _Quiet:
    """Events of which nobody hears."""

    async def emit(self, *_: Any, **__: Any) -> None:
        return

    async def uid(self) -> str | None:
        return None

    async def why_no_pod(self, *_: Any, **__: Any) -> None:
        return


class Scene:
    """What the reconciler sees."""

    def __init__(self, **serving: Any) -> None:
        self.kube, self.store, self.cache, self.now = Kube(), MemoryStore(), ObjectCache(), BEGUN
        self.store.kept |= {
            store_layout.manifest(v): d for v, d in ((OLD, OLD_DATA), (NEW, NEW_DATA), (ANOTHER, ANOTHER_DATA))
        }
        self.store.kept |= {store_layout.version(v) + name: b"x" for v, name in ((NEW, "new"), (ANOTHER, "another"))}
        self.wake: Callable[[str], None] = lambda name: None
        """Told the name of what is to be reconciled."""
        self.conditions: list[tuple[str, str, str]] = []
        """Ready after each look: status, reason, message."""
        self.spec: Object = {
            "base": {"uri": "/models/base"},
            "store": {"endpoint": "s:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}},
            "serving": {"deployment": "blue", "container": "server", **serving},
        }
        stamp = "2026-01-01T00:00:00Z"
        current = {"version": OLD, "uri": "s3://b/x", "digest": OLD_DIGEST, "promotedAt": stamp}
        self.kube.put(
            MODELS,
            {
                "apiVersion": MODELS.api_version,
                "kind": MODELS.name,
                "metadata": {
                    "name": "shop",
                    "namespace": "ns",
                    "uid": "m",
                    "creationTimestamp": stamp,
                    "generation": 1,
                },
                "spec": self.spec,
                "status": {"baseVersion": OLD, "baseDigest": OLD_DIGEST, "current": current},
            },
        )
        self.deploy("blue")
        self._restarted()

    def _restarted(self) -> None:
        quiet = _Quiet()
        self.metrics = Metrics(WorkQueue())
        context = Context(
            kube=cast("KubeApi", self.kube),
            cache=self.cache,
            stores=cast("Stores", self),
            events=cast("Events", quiet),
            job_events=cast("JobEvents", quiet),
            cluster=cast("Cluster", quiet),
            config=Config(fetcher_image="operator:1"),
            enqueue=lambda key, delay, urgent=True: self.wake(key.name),
            clock=lambda: self.now,
            observer=self.metrics,
        )
        self.reconciler = ModelReconciler(context)
        self.reconciler._rollouts._watch._clock = lambda: (self.now - BEGUN).total_seconds()

    async def open(self, model: Object) -> MemoryStore:
        """The model's store."""
        return self.store

    def deploy(self, name: str, **spec: Any) -> None:
        """A Deployment that tells its pods to serve the old version, and is rolled out."""
        env = [
            {"name": "BLUETUNE_VERSION", "value": OLD},
            {"name": "BLUETUNE_URI", "value": f"s3://bucket/versions/{OLD}/"},
            {"name": "BLUETUNE_DIGEST", "value": OLD_DIGEST},
        ]
        annotations = {"bluetune.dev/version": OLD, "bluetune.dev/digest": OLD_DIGEST}
        template = {
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "server", "env": env}]},
        }
        owned = {"manager": FIELD_MANAGER, "fieldsV1": {"f:spec": {}}}
        metadata = {"name": name, "namespace": "ns", "generation": 1, "managedFields": [owned]}
        self.kube.put(DEPLOYMENTS, {"metadata": metadata, "spec": {"replicas": 1, "template": template, **spec}})
        self.roll(name)

    def roll(self, name: str = "blue") -> None:
        """Kubernetes has replaced the Deployment's pod."""
        blue = self.kube.objects[DEPLOYMENTS.plural, name]
        generation, annotations = blue["metadata"]["generation"], blue["spec"]["template"]["metadata"]["annotations"]
        full = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), blue["spec"]["replicas"])
        blue["status"] = {"observedGeneration": generation, **full}
        for key in [k for k in self.kube.objects if k[0] == PODS.plural and k[1].startswith(name + "-")]:
            del self.kube.objects[key]
        if not blue["spec"]["replicas"]:
            return
        metadata = {
            "name": f"{name}-{generation}-x",
            "labels": {"pod-template-hash": str(generation)},
            "annotations": dict(annotations),
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-{generation}", "uid": "rs"}],
        }
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        self.kube.put(PODS, {"metadata": metadata, "status": ready})

    def edit(self, **serving: Any) -> None:
        """Change spec.serving; with `serving=None` remove it."""
        model = copy.deepcopy(self.kube.objects[MODELS.plural, "shop"])
        if serving == {"serving": None}:
            del model["spec"]["serving"]
        else:
            model["spec"]["serving"] |= serving
        model["metadata"]["generation"] += 1
        self.kube.put(MODELS, model)

    def look(self, times: int = 1, *, seconds: float = 1.0) -> None:
        """Let the reconciler look, some seconds apart."""
        for _ in range(times):
            self.cache.put(MODELS, copy.deepcopy(self.kube.objects[MODELS.plural, "shop"]))
            asyncio.run(cast("Any", self.reconciler.reconcile("ns", "shop")))
            ready = next(c for c in self.status["conditions"] if c["type"] == "Ready")
            self.conditions.append((ready["status"], ready["reason"], ready["message"]))
            self.now += timedelta(seconds=seconds)

    def until(self, step: str, *, seconds: float = 1.0) -> Object:
        """Look until the rollout is at a step, and return it."""
        for _ in range(300):
            self.look(seconds=seconds)
            if self.rollout.get("step") == step:
                return self.rollout
        raise AssertionError(f"not {step}: {self.status}")

    @property
    def status(self) -> Object:
        found: Object = self.kube.objects[MODELS.plural, "shop"]["status"]
        return found

    @property
    def rollout(self) -> Object:
        return self.status.get("rollout") or {}

    def told(self, name: str = "blue") -> str:
        """The version that a Deployment tells its pods."""
        template = self.kube.objects[DEPLOYMENTS.plural, name]["spec"]["template"]
        env: dict[str, str] = {v["name"]: v["value"] for v in template["spec"]["containers"][0]["env"]}
        assert template["metadata"]["annotations"]["bluetune.dev/version"] == env["BLUETUNE_VERSION"]
        return env["BLUETUNE_VERSION"]

    def owned(self, name: str = "blue") -> bool:
        """Whether bluetune owns fields of a Deployment."""
        fields = self.kube.objects[DEPLOYMENTS.plural, name]["metadata"]["managedFields"]
        return any(entry.get("manager") == FIELD_MANAGER for entry in fields)

    def jobs(self) -> list[Object]:
        return [thing for (plural, _), thing in self.kube.objects.items() if plural == JOBS.plural]
