"""The kinds of objects the operator touches, their labels, and the names of children."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bluetune_api import GROUP, VERSION

Object = dict[str, Any]
"""An object of the Kubernetes API, as JSON has it."""


@dataclass(frozen=True)
class Kind:
    """A kind and where the API server serves it. `group` is empty for the core API."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Group and version in the form of `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection, of an object, or of its subresource. A name never leads out of its collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace is not None and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        parts.extend(quote(part, safe="") for part in (name, subresource) if part)
        return "/".join(parts)


TASKS = Kind(GROUP, VERSION, "finetuningtasks", "FineTuningTask")
MODELS = Kind(GROUP, VERSION, "embeddingmodels", "EmbeddingModel")
METHODS = Kind(GROUP, VERSION, "finetuningmethods", "FineTuningMethod")
JOBS = Kind("batch", "v1", "jobs", "Job")
PODS = Kind("", "v1", "pods", "Pod")
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
SECRETS = Kind("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Kind("", "v1", "events", "Event")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
WORKLOADS = Kind("kueue.x-k8s.io", "v1beta2", "workloads", "Workload")
OLDER_WORKLOADS = Kind("kueue.x-k8s.io", "v1beta1", "workloads", "Workload")
"""Workloads as older releases of Kueue serve them."""
NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)

MANAGED_BY = "app.kubernetes.io/managed-by"
BLUETUNE = "bluetune"
MODEL_LABEL = "bluetune.dev/model"
TASK_LABEL = "bluetune.dev/task"
TASK_UID_LABEL = "bluetune.dev/task-uid"
TASK_SEEN = "bluetune.dev/task-resource-version"
JOB_LABEL = "bluetune.dev/job"
CHILD_SELECTOR = f"{MANAGED_BY}={BLUETUNE}"
"""Label selector of everything that bluetune makes."""


LOCK = "Lock"
"""Kind of the keys that the lock's reconciler gets: namespace and model."""
NOTIFY = "Notify"
"""Kind of the keys that the reconciler of spec.notify gets: namespace and model."""
RETRAIN = "Retrain"
"""Kind of the keys that the reconciler of spec.retrain gets: namespace and model."""


@dataclass(frozen=True, order=True)
class Key:
    """What is reconciled: a resource of ours by kind, namespace and name."""

    kind: str
    """FineTuningTask, EmbeddingModel or FineTuningMethod, or a model's Lock, Retention, Retrain or Notify."""
    namespace: str
    name: str


def name_of(thing: Mapping[str, Any]) -> str:
    """metadata.name"""
    return str(thing["metadata"]["name"])


def namespace_of(thing: Mapping[str, Any]) -> str:
    """metadata.namespace"""
    return str(thing["metadata"].get("namespace", ""))


def uid_of(thing: Mapping[str, Any]) -> str:
    """metadata.uid"""
    return str(thing["metadata"].get("uid", ""))


def labels_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """metadata.labels, never None."""
    return thing["metadata"].get("labels") or {}


def is_deleting(thing: Mapping[str, Any]) -> bool:
    """Whether it is being deleted."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def condition(thing: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A condition of an object as JSON has it, which holds one of each type; None if it was never set."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def condition_status(thing: Mapping[str, Any], kind: str) -> str | None:
    """Status of a condition: True, False, Unknown, or None if it was never set."""
    found = condition(thing, kind)
    return None if found is None else str(found["status"])


def true_condition(thing: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A condition that is True, or None."""
    found = condition(thing, kind)
    return found if found is not None and found["status"] == "True" else None


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """A controller reference to `owner`, so that the garbage collector removes the child with it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_owned_by(thing: Mapping[str, Any], owner_uid: str) -> bool:
    """Whether one of its ownerReferences has this uid."""
    return any(ref.get("uid") == owner_uid for ref in thing["metadata"].get("ownerReferences") or [])


def is_left_over(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether `found`, in the place of `wanted`, belongs to an earlier object of the name that `wanted`'s owner has."""
    return bool(_owners(found) & _owners(wanted))


def _owners(thing: Mapping[str, Any]) -> set[tuple[str, str]]:
    references = thing["metadata"].get("ownerReferences") or []
    return {(ref["kind"], ref["name"]) for ref in references if "kind" in ref and "name" in ref}


def child_labels(*, model: str, job: str, task: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Labels of every child; `job` is import, check, train or reindex."""
    labels = {MANAGED_BY: BLUETUNE, MODEL_LABEL: model, JOB_LABEL: job}
    if task is not None:
        labels |= {TASK_LABEL: name_of(task), TASK_UID_LABEL: uid_of(task)}
    return labels


def lease_name(model: str) -> str:
    """Name of the model's Lease."""
    return f"bluetune-{model}"
