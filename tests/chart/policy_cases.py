"""What the chart's policies let pass and refuse: requests of the operator's account, and of tenants."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from bluetune_api.model import Reindex, Rollout, Serving
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.build import TrainerJob, trainer_job
from bluetune_operator.core.kinds import child_labels
from bluetune_operator.core.rollout.reindex import reindex_job
from bluetune_operator.core.rollout.serving_patch import Fetcher, serving_patch

Object = dict[str, Any]

OPERATOR_IMAGE = "registry.example.com/bluetune-operator:v1"
TRAINER_IMAGE = "registry.example.com/bluetune-trainer:v1"
VALUES = (
    "policies.enabled=true",
    "workloadIdentity.enabled=true",
    "image.repository=registry.example.com/bluetune-operator",
    "image.tag=v1",
    'policies.images=["registry.example.com/*","python:3"]',
    'policies.tenants.endpoints=["minio.storage:9000"]',
    "policies.tenants.prefixByNamespace=true",
    "policies.tenants.maxPriority=10",
)
STORE = StoreSpec.model_validate(
    {"endpoint": "minio.storage:9000", "bucket": "models", "prefix": "p", "caSecretRef": {"name": "ca"}}
    | {"credentialsSecretRef": {"name": "store"}}
)
VERSION, DIGEST = "v0123456789ab", "sha256:" + "0" * 64


@dataclass(frozen=True)
class Case:
    """A request, and a part of the message that it is refused with (None: it passes)."""

    name: str
    policy: str
    """The one that judges it: jobs, children, leases, deployments, tokens, tenants or deletion."""
    object: Object | None
    refused: str | None = None
    old: Object | None = None
    namespace: str | None = None
    """Another than the test's own."""
    account: str | None = None
    """Whose request it is, where it is neither the operator's nor the test's own."""


def changed(thing: Object, path: str, value: Any) -> Object:
    """A copy with another value at a path of keys and numbers."""
    copy = deepcopy(thing)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    inner: Any = copy
    for part in parents:
        inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
    inner[last] = value
    return copy


def owner(namespace: str) -> Object:
    metadata = {"name": "m", "namespace": namespace, "uid": "00000000-0000-0000-0000-000000000001"}
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": "EmbeddingModel", "metadata": metadata}


def check(namespace: str) -> Object:
    """The Job of a check, as the operator makes it."""
    labels = child_labels(model="m", job="check")
    wanted = TrainerJob("t-check", namespace, owner(namespace), labels, "check", TRAINER_IMAGE, "IfNotPresent", STORE)
    return trainer_job(wanted)


def reindex(namespace: str) -> Object:
    """A reindex Job, as the operator makes it."""
    pod = {
        "containers": [{"name": "index", "image": "python:3"}],
        "initContainers": [{"name": "i", "image": "python:3"}],
    }
    stamp = "2026-01-01T00:00:00Z"
    rollout = Rollout(to=VERSION, digest=DIGEST, step="Reindex", started_at=stamp, step_started_at=stamp)
    return reindex_job(owner(namespace), Reindex(template={"template": {"spec": pod}}), STORE, rollout)


def deployment(namespace: str) -> Object:
    """A search service, as its owner made it."""
    container = {"name": "server", "image": "search:1", "env": [{"name": "A", "value": "b"}]}
    pod = {"containers": [container], "volumes": [{"name": "cache", "emptyDir": {}}]}
    template = {"metadata": {"labels": {"app": "search"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "search"}}, "template": template}
    metadata = {"name": "search", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def told(namespace: str) -> Object:
    """The same, once the operator has told it a version, with all that it ever sets."""
    serving = Serving(deployment="search", container="server", delivery="InitContainer", mount_path="/model")
    wanted = serving_patch(serving, STORE, namespace, VERSION, DIGEST, Fetcher(OPERATOR_IMAGE))["spec"]["template"]
    made = deployment(namespace)
    template, ours = made["spec"]["template"], wanted["spec"]
    template["metadata"]["annotations"] = wanted["metadata"]["annotations"]
    template["spec"]["containers"][0]["env"] += ours["containers"][0]["env"]
    template["spec"]["containers"][0]["volumeMounts"] = ours["containers"][0]["volumeMounts"]
    template["spec"]["initContainers"] = ours["initContainers"]
    template["spec"]["volumes"] += ours["volumes"]
    return made


def named(api: str, kind: str, name: str, namespace: str, **fields: Any) -> Object:
    labels = {"app.kubernetes.io/managed-by": "bluetune"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def token(audience: str) -> Object:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [audience]}}


def model(namespace: str) -> Object:
    store = {"endpoint": "minio.storage:9000", "bucket": "models", "prefix": f"{namespace}/m"}
    spec = {"base": {"uri": "/base"}, "store": store | {"credentialsSecretRef": {"name": "store"}}}
    return named("bluetune.dev/v1alpha1", "EmbeddingModel", "m", namespace, spec=spec)


def task(namespace: str, **spec: Any) -> Object:
    spec = {"modelRef": {"name": "m"}, **spec}
    return named("bluetune.dev/v1alpha1", "FineTuningTask", "t", namespace, spec=spec)


def method(namespace: str, **spec: Any) -> Object:
    return named("bluetune.dev/v1alpha1", "FineTuningMethod", "text", namespace, spec=spec)


POD = "spec/template/spec"
HOST = {"hostPath": {"path": "/"}}


def cases(namespace: str) -> list[Case]:
    """All of them, for a namespace."""
    judged = (jobs, children, leases, deployments, tokens, tenants, deletion)
    return [case for policy in judged for case in policy(namespace)]


def jobs(namespace: str) -> list[Case]:
    job, index = check(namespace), reindex(namespace)
    containers, volumes = (job["spec"]["template"]["spec"][name] for name in ("containers", "volumes"))
    shell = {"name": "shell", "image": "evil.example.com/x"}
    elsewhere = changed(job, "metadata/namespace", "kube-system")

    def refused(name: str, path: str, value: Any, said: str, of: Object = job) -> Case:
        return Case(name, "jobs", changed(of, path, value), said)

    return [
        Case("a check", "jobs", job),
        Case("a check is resumed", "jobs", changed(job, "spec/suspend", False), old=job),
        Case("a reindex Job", "jobs", index),
        Case("in the system's namespace", "jobs", elsewhere, "policies.forbiddenNamespaces", namespace="kube-system"),
        refused("without our label", "metadata/labels", {"app": "others"}, "managed-by"),
        refused("without an owner", "metadata/ownerReferences", [], "owned by"),
        refused("a container of another registry", f"{POD}/containers", [*containers, shell], "policies.images"),
        refused("of another registry", f"{POD}/containers/0/image", "evil.example.com/x", "policies.images"),
        refused("an image that begins so", f"{POD}/containers/0/image", "python:3.1", "policies.images", index),
        refused("in the node's network", f"{POD}/hostNetwork", True, "nothing of its node"),
        refused("on a node of its choice", f"{POD}/nodeName", "master", "nothing of its node"),
        refused("with the node's files", f"{POD}/volumes", [*volumes, {"name": "h", **HOST}], "nothing of its node"),
        refused(
            "privileged",
            f"{POD}/initContainers/0/securityContext",
            {"privileged": True},
            "nothing of its node",
            index,
        ),
        refused(
            "with capabilities",
            f"{POD}/containers/0/securityContext",
            {"capabilities": {"add": ["SYS_ADMIN"]}},
            "nothing of its node",
            index,
        ),
    ]


def children(namespace: str) -> list[Case]:
    job = check(namespace)
    plan = named("v1", "ConfigMap", "t-check", namespace, data={})
    theirs, said = changed(plan, "metadata/labels", {}), "makes and deletes"
    return [
        Case("a Job is deleted", "children", None, old=job),
        # without any, it would get those of its pods
        Case("a Job of others is deleted", "children", None, said, changed(job, "metadata/labels", {"app": "others"})),
        Case("a plan", "children", plan),
        Case("a ConfigMap without our label", "children", theirs, said),
        Case("a ConfigMap of others is deleted", "children", None, said, theirs),
    ]


def leases(namespace: str) -> list[Case]:
    lease = named("coordination.k8s.io/v1", "Lease", "bluetune-m", namespace, spec={"holderIdentity": ""})
    said = "Leases of models"
    return [
        Case("a model's Lease", "leases", lease),
        Case("a Lease of others", "leases", changed(lease, "metadata/name", "kube-scheduler"), said),
        Case("the operator's Lease", "leases", changed(lease, "metadata/name", "bluetune.operator")),
    ]


def deployments(namespace: str) -> list[Case]:
    before, after = deployment(namespace), told(namespace)
    again = deepcopy(after)
    again["spec"]["template"]["metadata"]["annotations"]["bluetune.dev/version"] = "v0123456789ac"
    containers = after["spec"]["template"]["spec"]["containers"]
    ours = {"name": "bluetune-model", **HOST}

    def refused(name: str, path: str, value: Any, said: str) -> Case:
        return Case(name, "deployments", changed(after, path, value), said, before)

    return [
        Case("the first version", "deployments", after, old=before),
        Case("the next version", "deployments", again, old=after),
        Case("the fields are taken out", "deployments", before, old=after),
        refused("another image", f"{POD}/containers/0/image", "evil:1", "of a container"),
        refused("another command", f"{POD}/containers/0/command", ["sh"], "of a container"),
        refused("another variable", f"{POD}/containers/0/env/0/value", "x", "of a container"),
        refused(
            "another mount",
            f"{POD}/containers/0/volumeMounts",
            [{"name": "cache", "mountPath": "/x"}],
            "of a container",
        ),
        refused("a container", f"{POD}/containers", [*containers, {"name": "x", "image": "x"}], "of a container"),
        refused("another init container", f"{POD}/initContainers/0/name", "x", "bluetune-fetch"),
        refused("a fetcher of another image", f"{POD}/initContainers/0/image", "evil:1", "bluetune-fetch"),
        refused("another volume", f"{POD}/volumes/0", {"name": "cache", **HOST}, "adds the volumes"),
        refused("the node's files as our volume", f"{POD}/volumes/1", ours, "adds the volumes"),
        refused("another account", f"{POD}/serviceAccountName", "admin", "of the pods"),
        refused("in the node's network", f"{POD}/hostNetwork", True, "of the pods"),
        refused("more replicas", "spec/replicas", 3, "pod template"),
        refused("another annotation", "spec/template/metadata/annotations/x", "y", "annotations"),
    ]


def deletion(namespace: str) -> list[Case]:
    """A person deletes a model."""
    held = {"lock": {"holder": "nightly", "holderUid": "u", "since": "2026-01-01T00:00:00Z"}}

    def deleted(
        name: str, status: Object, refused: str | None = None, policy: str = "RefuseWhileBusy", by: str | None = None
    ) -> Case:
        old = changed(model(namespace), "spec/deletionPolicy", policy)
        return Case(name, "deletion", None, refused, {**old, "status": status}, account=by)

    def rolled_out(step: str) -> Object:
        stamp = "2026-01-01T00:00:00Z"
        told = {"to": VERSION, "digest": DIGEST, "step": step, "startedAt": stamp, "stepStartedAt": stamp}
        return {"rollout": told}

    return [
        deleted("a held model", held, "task nightly holds this model: wait for its end, or cancel it"),
        deleted("a model in a rollout", rolled_out("Wait"), f"is under way (Wait of {VERSION})"),
        deleted("a model after a rollout", rolled_out("Done")),
        deleted("an idle model", {}),
        deleted("a held model with its namespace", held, by="system:serviceaccount:kube-system:namespace-controller"),
        deleted("a held model that may go at any time", {**held, **rolled_out("Wait")}, None, "Retain"),
    ]


def tokens(_: str) -> list[Case]:
    said = "workloadIdentity.audience"
    return [
        Case("for the token service", "tokens", token("sts.amazonaws.com")),
        Case("for the API server", "tokens", token("https://kubernetes.default.svc"), said),
    ]


def far(namespace: str) -> Object:
    """A model of a store that is not listed."""
    return changed(model(namespace), "spec/store/endpoint", "elsewhere:9000")


def tenants(namespace: str) -> list[Case]:
    usual, prefix, endpoints = model(namespace), "spec/store/prefix", "policies.tenants.endpoints"
    return [
        Case("a model", "tenants", usual),
        Case("a model of another store", "tenants", far(namespace), endpoints),
        Case("a model moves to another store", "tenants", far(namespace), endpoints, usual),
        Case("a prefix of others", "tenants", changed(usual, prefix, "others/m"), "must begin with"),
        Case("a prefix that begins so", "tenants", changed(usual, prefix, f"{namespace}x"), "must begin with"),
        Case("the namespace as prefix", "tenants", changed(usual, prefix, namespace)),
        Case("a task", "tenants", task(namespace)),
        Case("an urgent task", "tenants", task(namespace, priority=10)),
        Case("too urgent a task", "tenants", task(namespace, priority=11), "at most 10"),
        Case("a method", "tenants", method(namespace)),
        Case("a method with an image", "tenants", method(namespace, image=TRAINER_IMAGE)),
        Case("a method with an image of others", "tenants", method(namespace, image="evil:1"), "policies.images"),
    ]
