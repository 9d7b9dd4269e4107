"""The kinds of objects that the command line reads and writes, and where the API server serves them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bluetune_api import GROUP, VERSION

Object = dict[str, Any]
"""An object of the Kubernetes API, as JSON has it."""


@dataclass(frozen=True)
class Kind:
    """A kind. `group` is empty for the core API."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def full_name(self) -> str:
        """`finetuningtasks.bluetune.dev`, as kubectl and roles name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection (of all namespaces with None), of an object, or of its subresource."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace is not None and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts += [self.plural, *(quote(part, safe="") for part in (name, subresource) if part)]
        return "/".join(parts)


TASKS = Kind(GROUP, VERSION, "finetuningtasks", "FineTuningTask")
MODELS = Kind(GROUP, VERSION, "embeddingmodels", "EmbeddingModel")
METHODS = Kind(GROUP, VERSION, "finetuningmethods", "FineTuningMethod")
PODS = Kind("", "v1", "pods", "Pod")
SECRETS = Kind("", "v1", "secrets", "Secret")
NODES = Kind("", "v1", "nodes", "Node", namespaced=False)
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False)

TASK_UID_LABEL = "bluetune.dev/task-uid"
"""Label of a task's Jobs and pods."""


def name_of(thing: Mapping[str, Any]) -> str:
    """metadata.name"""
    return str(thing["metadata"]["name"])
