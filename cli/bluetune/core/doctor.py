"""Whether a cluster and a namespace are set up: findings, each fine, or with what to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bluetune.core.kinds import METHODS, MODELS, PODS, TASKS, Kind, Object, name_of
from bluetune.core.watch import problems
from bluetune_api import GROUP, VERSION
from bluetune_api.manifest import KINDS
from bluetune_api.schema import part, structural_schema

GPU = "nvidia.com/gpu"
KUEUE, KUBERAY = "kueue.x-k8s.io", "ray.io"
MAX_FIELDS = 5
"""Maximum number of fields that a finding names."""
RIGHTS: tuple[tuple[str, Kind, str], ...] = (
    *((verb, kind, "") for kind in (MODELS, METHODS, TASKS) for verb in ("get", "list")),
    ("create", TASKS, ""),
    ("patch", TASKS, ""),
    ("patch", MODELS, ""),
    ("list", PODS, ""),
    ("get", PODS, "log"),
)
"""(verb, kind, subresource) that the commands use in a namespace."""


@dataclass(frozen=True)
class Finding:
    """Something that was looked at. `unseen`: it could not be looked at, which the text explains."""

    state: Literal["ok", "todo", "unseen"]
    what: str
    text: str


def definitions(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the API server's own schemas have the fields of this release.

    Args:
        document: OpenAPI v3 of bluetune's group, as the API server gives it.
    """
    schemas = (document.get("components") or {}).get("schemas") or {}
    for name, resource in KINDS.items():
        what = f"definition of {name}"
        served = schemas.get(".".join([*reversed(GROUP.split(".")), VERSION, name]))
        if served is None:
            yield Finding("todo", what, "the cluster has none: upgrade the chart, or apply its crds/")
            continue
        ours = {path for p in ("spec", "status") for path in _paths(structural_schema(part(resource, p)), p)}
        theirs = {path for p in ("spec", "status") for path in _paths(served["properties"].get(p) or {}, p)}
        if missing := sorted(ours - theirs):
            yield Finding("todo", what, f"older than this command, without {_some(missing)}: upgrade the chart")
        elif more := sorted(theirs - ours):
            upgrade = "pip install . in a checkout of the chart's release"
            yield Finding("todo", what, f"newer than this command, with {_some(more)}: {upgrade}")
        else:
            yield Finding("ok", what, "has the fields of this release")


def _paths(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        yield f"{path}.{name}"
        yield from _paths(child, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from _paths(inner, path)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_FIELDS} more" if len(names) > MAX_FIELDS else ""
    return ", ".join(names[:MAX_FIELDS]) + more


def operators(deployments: Sequence[Object], release: str) -> Iterator[Finding]:
    """The operator's Deployments, by the chart's labels; `release` is this command's."""
    if not deployments:
        yield Finding("todo", "operator", "there is no Deployment of the chart: helm install bluetune helm/bluetune")
    for found in deployments:
        what = f"operator {found['metadata']['namespace']}/{name_of(found)}"
        version = (found["metadata"].get("labels") or {}).get("app.kubernetes.io/version", "of no version")
        ready, wanted = (found.get("status") or {}).get("readyReplicas", 0), found["spec"].get("replicas", 1)
        if ready < 1 or ready < wanted:
            yield Finding("todo", what, f"{ready} of {wanted} replicas ready: kubectl describe and logs say why")
        elif version != release:
            yield Finding("todo", what, f"its chart is {version}, this command {release}: upgrade the older one")
        else:
            yield Finding("ok", what, f"{version}, {ready} of {wanted} replicas ready")


def rights(allowed: Mapping[tuple[str, Kind, str], bool], namespace: str) -> Finding:
    """What the user may do, of RIGHTS."""
    lacking = [f"{verb} {_resource(kind, sub)}" for (verb, kind, sub), may in allowed.items() if not may]
    if lacking:
        return Finding("todo", "your rights", f"in namespace {namespace} you may not {', '.join(lacking)}")
    return Finding("ok", "your rights", f"in namespace {namespace} you may do all that this command does")


def _resource(kind: Kind, subresource: str) -> str:
    return f"{kind.full_name}/{subresource}" if subresource else kind.full_name


def models(found: Sequence[Object], namespace: str) -> Iterator[Finding]:
    """Each model by the operator's own verdict: its references, its store, its Deployment and a safe switch."""
    if not found:
        yield Finding("ok", "models", f"there is none in namespace {namespace}")
    for model in found:
        what, status = f"model {name_of(model)}", model.get("status") or {}
        generation = model["metadata"].get("generation", 0)
        if not status.get("conditions"):
            yield Finding("todo", what, "no operator has looked at it: see the operator")
        elif (status.get("observedGeneration") or 0) < generation:
            yield Finding("todo", what, "no operator has looked at its last edit: see the operator, or ask again")
        elif said := problems(status):
            yield Finding("todo", what, said)
        else:
            serving = (model["spec"].get("serving") or {}).get("deployment")
            yield Finding("ok", what, f"Ready; Deployment {serving} switches safely" if serving else "Ready")


def gpus(nodes: Sequence[Object], methods: Sequence[Object]) -> Finding:
    """Nodes with GPUs, and whether a method asks for one."""
    having = [node for node in nodes if str(_allocatable(node)) != "0"]
    asking = [name_of(method) for method in methods if _asks(method)]
    if asking and not having:
        return Finding("todo", "GPUs", f"no node has {GPU}, and methods ask for it: {', '.join(asking)}")
    return Finding("ok", "GPUs", f"{len(having)} of {len(nodes)} nodes have {GPU}")


def _allocatable(node: Object) -> Any:
    return ((node.get("status") or {}).get("allocatable") or {}).get(GPU, 0)


def _asks(method: Object) -> bool:
    resources = ((method["spec"].get("podTemplate") or {}).get("resources")) or {}
    return any(GPU in (resources.get(kind) or {}) for kind in ("limits", "requests"))


def neighbours(groups: Sequence[str], users: Sequence[Object]) -> Iterator[Finding]:
    """Kueue and KubeRay, by the API groups that the cluster serves.

    Args:
        groups: their names.
        users: models and tasks, which may name a queue.
    """
    queued = sorted({f"{u['kind']} {name_of(u)}" for u in users if u["spec"].get("queueName")})
    if KUEUE not in groups and queued:
        yield Finding("todo", "Kueue", f"is not installed, and queueName is set by {_some(queued)}")
    else:
        yield Finding("ok", "Kueue", "is installed" if KUEUE in groups else "is not installed; nothing asks for it")
    yield Finding("ok", "KubeRay", "is installed" if KUBERAY in groups else "is not installed; nothing asks for it")


def unseen(what: str, why: str) -> Finding:
    """Something that the user may not look at."""
    return Finding("unseen", what, why)
