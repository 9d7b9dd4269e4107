"""What surrounds the operators: people, the Job controller, kubelets, the garbage collector. Each move is one step."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bluetune_operator.core.jobs.build import plan_of
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    METHODS,
    MODELS,
    PODS,
    TASKS,
    Kind,
    Object,
    is_deleting,
    is_owned_by,
    lease_name,
)
from bluetune_operator.core.lock.rules import has_ended
from bluetune_operator.core.rollout.serving_patch import VERSION_ANNOTATION
from unit.operator_lock_model.apiserver import ApiServer, copied
from unit.operator_lock_model.store import BATCH, MemoryStore

Move = tuple[str, ...]
"""What is done, and to what."""

NAMESPACE, MODEL, METHOD, BLUE = "n", "m", "text", "blue"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = "2026-01-01T00:00:00Z"
GARBAGE = "nobody-can-read-this"


class World:
    """One model, its store, and what Kubernetes and people do."""

    def __init__(self, *, serving: bool = False) -> None:
        self.server = ApiServer(NAMESPACE, lambda: STAMP)
        self.store = MemoryStore()
        self.lease_touched = False
        """Whether a person has edited or removed the Lease; with its model, too."""
        self.specs: dict[str, Object] = {}
        """With what a task is created that was deleted, by its name: as Git has it."""
        version, digest = self.store.import_base()
        self.server.create("setup", METHODS, _method())
        self._first_model = _model(version, digest, serving=serving)
        self.server.create("setup", MODELS, self._first_model)
        if serving:
            self.server.create("setup", DEPLOYMENTS, _deployment(version))

    def absent(self) -> list[Move]:
        """How what people removed, and tasks need, comes back."""
        moves = {("restore-method",): (METHODS, METHOD), ("restore-model",): (MODELS, MODEL)}
        return [move for move, where in moves.items() if self.server.get(*where) is None]

    # What Kubernetes does by itself

    def kubernetes(self) -> Iterator[Move]:
        """Moves that Kubernetes can make now."""
        uids = self.server.uids()
        for kind in (JOBS, PODS, CONFIG_MAPS, LEASES):
            for thing in self.server.all(kind):
                # ReplicaSets are not objects here; what they own goes when the Deployment rolls on
                references = thing["metadata"].get("ownerReferences") or ()
                owners = [ref["uid"] for ref in references if ref["kind"] != "ReplicaSet"]
                if owners and not uids & set(owners) and not (kind == PODS and is_deleting(thing)):
                    yield "collect", kind.plural, thing["metadata"]["name"]
        for job in self.server.all(JOBS):
            if self._synced(job) is not None:
                yield "job", job["metadata"]["name"]
        for pod in self.server.all(PODS):
            name, phase = pod["metadata"]["name"], pod["status"]["phase"]
            if is_deleting(pod):
                yield "kill", name
            if phase == "Pending" and not is_deleting(pod):
                yield "start", name
            if phase == "Running" and pod["metadata"]["labels"].get("app") != BLUE:
                yield "succeed", name
        blue = self.server.get(DEPLOYMENTS, BLUE)
        if blue is not None and blue["status"] != _settled(blue):
            yield ("roll",)

    def failures(self) -> Iterator[Move]:
        """Pods that can crash."""
        for pod in self.server.all(PODS):
            if pod["status"]["phase"] == "Running":
                yield "crash", pod["metadata"]["name"]

    def people(self, names: tuple[str, ...]) -> Iterator[Move]:
        """Moves of people about tasks of these names, and about the model and method that they refer to."""
        yield ("remove-method" if self.server.get(METHODS, METHOD) else "restore-method",)
        yield ("remove-model" if self.server.get(MODELS, MODEL) else "restore-model",)
        for name in names:
            task = self.server.get(TASKS, name)
            if task is None:
                yield "create", name
                continue
            yield "delete", name
            if has_ended(task):
                continue
            yield "resume" if task["spec"].get("suspend") else "suspend", name
            if not task["spec"].get("cancel"):
                yield "cancel", name
            yield "prioritise", name
            for stage in ("check", "train"):
                if self.server.get(JOBS, f"{name}-{stage}") is not None:
                    yield "delete-job", f"{name}-{stage}"

    def vandals(self, names: tuple[str, ...]) -> Iterator[Move]:
        """What people should not do: edits of the Lease by hand."""
        lease = self.server.get(LEASES, lease_name(MODEL))
        if lease is None:
            return
        yield ("delete-lease",)
        for who in ("", "ghost/ghost-uid", GARBAGE):
            yield "edit-lease", who
        for name in names:
            task = self.server.get(TASKS, name)
            if task is not None:
                yield "edit-lease", f"{name}/{task['metadata']['uid']}"

    def move(self, move: Move) -> None:
        """Make a move."""
        what, *about = move
        getattr(self, "_" + what.replace("-", "_"))(*about)

    def _collect(self, plural: str, name: str) -> None:
        kind = next(k for k in (JOBS, PODS, CONFIG_MAPS, LEASES) if k.plural == plural)
        self.lease_touched |= kind == LEASES
        self.server.remove("collector", kind, name)

    def _synced(self, job: Object) -> Object | str | None:
        """What the Job controller does next: the Job as it should be, "pod" for a new pod, or None."""
        if is_finished_job(job) or is_deleting(job):
            return None
        pods = [pod for pod in self.server.all(PODS) if is_owned_by(pod, job["metadata"]["uid"])]
        active = [pod for pod in pods if is_active_pod(pod)]
        new = copied(job)
        new["status"] = {**(job.get("status") or {}), "active": len(active)}
        if job["spec"].get("suspend"):
            if any(not is_deleting(pod) for pod in active):
                return "stop"
            new["status"].pop("startTime", None)
            return new if new != job else None
        new["status"]["startTime"] = STAMP
        crashed = sum(pod["status"].get("crashed", False) for pod in pods)
        if not active:
            done = any(pod["status"]["phase"] == "Succeeded" for pod in pods)
            if not done and crashed <= job["spec"]["backoffLimit"]:
                return "pod"
            condition = "Complete" if done else "Failed"
            new["status"]["conditions"] = [{"type": condition, "status": "True", "reason": "BackoffLimitExceeded"}]
        return new if new != job else None

    def _job(self, name: str) -> None:
        job = self.server.get(JOBS, name)
        assert job is not None
        wanted = self._synced(job)
        if wanted == "stop":
            for pod in self.server.all(PODS):
                if is_owned_by(pod, job["metadata"]["uid"]) and is_active_pod(pod):
                    self.server.remove("controller", PODS, pod["metadata"]["name"])
        elif wanted == "pod":
            number = sum(event.type == "ADDED" for event in self.server.watched[PODS.plural])
            owner = {"kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}
            # padded, so that the order of names is that of time: all are made in the same second
            metadata = {"name": f"{name}-{number:03d}", "labels": job["metadata"]["labels"], "ownerReferences": [owner]}
            body = {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": "Pending"}}
            self.server.create("controller", PODS, body)
        else:
            assert isinstance(wanted, dict)
            self.server.put("controller", JOBS, wanted)

    def _start(self, name: str) -> None:
        self._change(PODS, name, lambda pod: pod["status"].update(phase="Running"))

    def _kill(self, name: str) -> None:
        pod = self.server.get(PODS, name)
        assert pod is not None
        self.server.finalize("kubelet", PODS, name)

    def _crash(self, name: str) -> None:
        self._change(PODS, name, lambda pod: pod["status"].update(phase="Failed", crashed=not is_deleting(pod)))

    def _succeed(self, name: str) -> None:
        stage, plan_name = name.rsplit("-", 2)[1], name.rsplit("-", 1)[0]
        config_map = self.server.get(CONFIG_MAPS, plan_name)
        pod = self.server.get(PODS, name)
        assert pod is not None
        if config_map is not None and config_map["metadata"]["labels"] == pod["metadata"]["labels"]:
            plan = plan_of(config_map)
            (self.store.check if stage == "check" else self.store.train)(plan)
            self._change(PODS, name, lambda pod: pod["status"].update(phase="Succeeded"))
        else:  # the plan went with its owner before the pod could mount it
            self._crash(name)

    def _roll(self) -> None:
        blue = copied(self.server.get(DEPLOYMENTS, BLUE))
        blue["status"] = _settled(blue)
        self.server.put("controller", DEPLOYMENTS, blue)
        for pod in self.server.all(PODS):
            if pod["metadata"]["labels"].get("app") == BLUE:
                self.server.finalize("kubelet", PODS, pod["metadata"]["name"])
        number = sum(event.type == "ADDED" for event in self.server.watched[PODS.plural])
        annotations = blue["spec"]["template"]["metadata"]["annotations"]
        metadata = {
            "name": f"blue-serve-{number}",
            "labels": {"app": BLUE, "pod-template-hash": str(number)},
            "annotations": annotations,
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{BLUE}-{number}", "uid": f"rs-{number}"}],
        }
        ready = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        self.server.create("controller", PODS, {"metadata": metadata, "spec": {"containers": []}, "status": ready})

    # What people do

    def add(self, name: str, *, created: str = STAMP, **spec: Any) -> None:
        """Create a task."""
        self.specs[name] = spec
        defaults = {"modelRef": {"name": MODEL}, "maxRetries": 1, "batchId": BATCH}
        body = {
            "apiVersion": TASKS.api_version,
            "kind": TASKS.name,
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {k: v for k, v in ({**defaults, **spec}).items() if v is not None},
        }
        self.server.create("person", TASKS, body)

    def _create(self, name: str) -> None:
        self.add(name, **self.specs.get(name, {}))

    def _delete(self, name: str) -> None:
        self.server.remove("person", TASKS, name)

    def _remove_method(self) -> None:
        self.server.remove("person", METHODS, METHOD)

    def _restore_method(self) -> None:
        self.server.create("person", METHODS, _method())

    def _remove_model(self) -> None:
        self.server.remove("person", MODELS, MODEL)

    def _restore_model(self) -> None:
        """As it was created; its base is in the store already, so its import is over at once."""
        self.server.create("person", MODELS, self._first_model)

    def _delete_job(self, name: str) -> None:
        self.server.remove("person", JOBS, name)

    def _suspend(self, name: str) -> None:
        self._change(TASKS, name, lambda task: task["spec"].update(suspend=True))

    def _resume(self, name: str) -> None:
        self._change(TASKS, name, lambda task: task["spec"].update(suspend=False))

    def _cancel(self, name: str) -> None:
        self._change(TASKS, name, lambda task: task["spec"].update(cancel=True))

    def _prioritise(self, name: str) -> None:
        self._change(TASKS, name, lambda task: task["spec"].update(priority=(task["spec"].get("priority") or 0) + 1))

    def _delete_lease(self) -> None:
        self.lease_touched = True
        self.server.remove("person", LEASES, lease_name(MODEL))

    def _edit_lease(self, identity: str) -> None:
        self.lease_touched = True
        self._change(LEASES, lease_name(MODEL), lambda lease: lease["spec"].update(holderIdentity=identity))

    def _change(self, kind: Kind, name: str, edit: Any) -> None:
        thing = copied(self.server.get(kind, name))
        edit(thing)
        self.server.put("person", kind, thing)


def _settled(blue: Object) -> Object:
    return {
        "observedGeneration": blue["metadata"]["generation"],
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
    }


def _method() -> Object:
    return {
        "apiVersion": METHODS.api_version,
        "kind": METHODS.name,
        "metadata": {"name": METHOD},
        "spec": {"image": "trainer"},
    }


def _model(version: str, digest: str, *, serving: bool) -> Object:
    store = {"endpoint": "s3", "bucket": "bucket", "prefix": "m", "credentialsSecretRef": {"name": "store"}}
    spec: Object = {"base": {"uri": "/models/base"}, "methodRef": {"name": METHOD}, "store": store}
    if serving:
        spec["serving"] = {"deployment": BLUE, "container": "server"}
    current = {"version": version, "uri": f"s3://bucket/m/versions/{version}/", "digest": digest, "promotedAt": STAMP}
    return {
        "apiVersion": MODELS.api_version,
        "kind": MODELS.name,
        "metadata": {"name": MODEL},
        "spec": spec,
        "status": {"baseVersion": version, "baseDigest": digest, "current": current},
    }


def _deployment(version: str) -> Object:
    template = {
        "metadata": {"annotations": {VERSION_ANNOTATION: version}},
        "spec": {"containers": [{"name": "server", "readinessProbe": {}}]},
    }
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.name,
        "metadata": {"name": BLUE},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": BLUE}}, "template": template},
        "status": {},
    }
