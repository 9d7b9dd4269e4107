"""The Jobs that run the trainer, and the ConfigMaps with their plans: built whole, the same from the same input."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bluetune_api.exit_codes import NOT_COUNTED, NOT_WORTH_RETRYING
from bluetune_api.pods import GPUS, KeyReference, PodTemplate, gpus
from bluetune_api.reading import read_record
from bluetune_api.records import Plan
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.pod_resources import CHECK_OR_IMPORT, TRAINING, filled
from bluetune_operator.core.jobs.store_env import store_env
from bluetune_operator.core.kinds import CONFIG_MAPS, JOBS, Object, owner_reference

CONTAINER = "trainer"
USER = 10001
"""User and group of the trainer's image; no pod of bluetune runs as root."""
GRACE_SECONDS = 120
"""From SIGTERM to SIGKILL: enough to save a checkpoint and the best trial."""
SHARED_MEMORY = "1Gi"
"""Most that the processes of a GPU pod may share. What they use counts as the container's memory."""
PLAN_FOLDER, CA_FOLDER = "/etc/bluetune", "/etc/bluetune-ca"
PLAN_ANNOTATION = "bluetune.dev/plan"
"""Annotation of a pod that carries its plan: no ConfigMap is left behind by a Job that a version has once."""
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"

SCHEDULING = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "topologySpreadConstraints",
    "resourceClaims",
    "imagePullSecrets",
)
"""Fields of a method's podTemplate that go into the pod as they are."""

Command = Literal["import", "check", "run", "index", "load"]


@dataclass(frozen=True)
class TrainerJob:
    """What differs between the Jobs that run the trainer."""

    name: str
    """Name of the Job and of its plan's ConfigMap."""
    namespace: str
    owner: Object
    """The task, or the model for an import."""
    labels: Mapping[str, str]
    """From `kinds.child_labels`."""
    command: Command
    image: str
    image_pull_policy: str
    store: StoreSpec
    template: PodTemplate | None = None
    gpu: bool = False
    """Whether extended resources (GPUs) are asked for."""
    online: bool = False
    """Whether models may be fetched from the Hugging Face hub."""
    max_retries: int = 3
    deadline_seconds: int | None = None
    suspend: bool = False
    queue_name: str | None = None
    """Kueue LocalQueue; None: the one that the template's labels name, if any."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the Job."""
    fixed_ids: bool = True
    """Whether the pods name user and groups; not where the platform assigns them."""
    plan: Plan | None = None
    """What the pods are told, if it is not in a ConfigMap of the Job's name."""
    shards: int | None = None
    """Pods that do a numbered part each; None: one pod does all."""
    secrets: Mapping[str, KeyReference] = field(default_factory=dict)
    """Variables of the container that are keys of Secrets."""


def plan_config_map(job: TrainerJob, plan: Plan, **more: str) -> Object:
    """The ConfigMap that the Job's pods read their plan from, with what else is kept beside it. It never changes."""
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.name,
        "metadata": _metadata(job),
        "immutable": True,
        "data": {"plan.json": json.dumps(plan.wire(), sort_keys=True, indent=1), **more},
    }


def plan_of(config_map: Mapping[str, Any]) -> Plan:
    """The plan in a ConfigMap. Raises RecordProblem."""
    return read_record(Plan, (config_map.get("data") or {}).get("plan.json") or "", "operator")


def trainer_job(job: TrainerJob) -> Object:
    """A batch/v1 Job whose single pod runs the trainer, restricted and without an API token."""
    template = job.template or PodTemplate()
    spec: Object = {
        "backoffLimit": job.max_retries,
        "completions": job.shards or 1,
        "parallelism": job.shards or 1,
        "podReplacementPolicy": "Failed",  # no second pod while the first still terminates on the GPU
        "podFailurePolicy": {"rules": _failure_rules()},
        "suspend": job.suspend,
        "template": {
            "metadata": {
                "labels": {**(template.labels or {}), **job.labels},
                "annotations": {**(template.annotations or {}), **_plan_annotation(job)},
            },
            "spec": _pod_spec(job, template),
        },
    }
    if job.shards is not None:
        spec["completionMode"] = "Indexed"
    if job.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = job.deadline_seconds
    metadata = _metadata(job)
    metadata["labels"] = {**(template.labels or {}), **job.labels}
    if annotations := {**(template.annotations or {}), **job.annotations}:
        metadata["annotations"] = annotations
    if job.queue_name:
        metadata["labels"][KUEUE_QUEUE] = job.queue_name
    if KUEUE_QUEUE in metadata["labels"]:
        spec["suspend"] = True  # Kueue starts it
    return {"apiVersion": JOBS.api_version, "kind": JOBS.name, "metadata": metadata, "spec": spec}


def _metadata(job: TrainerJob) -> Object:
    return {
        "name": job.name,
        "namespace": job.namespace,
        "labels": dict(job.labels),
        "ownerReferences": [owner_reference(job.owner)],
    }


def _failure_rules() -> list[Object]:
    """In this order: an eviction never counts; what retrying cannot mend ends the Job; neither an outage of the store
    nor a clean stop counts. Kubernetes waits between pods all the same: 10 s after the first failure, 10 min at most.
    """

    def exits(action: str, *codes: int) -> Object:
        return {
            "action": action,
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [int(c) for c in codes]},
        }

    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return [disrupted, exits("FailJob", *NOT_WORTH_RETRYING), exits("Ignore", *NOT_COUNTED)]


def _pod_spec(job: TrainerJob, template: PodTemplate) -> Object:
    chosen = template.wire()
    volumes: list[Object] = [_plan_volume(job), *chosen.get("volumes", ())]
    mounts: list[Object] = [
        {"name": "plan", "mountPath": PLAN_FOLDER, "readOnly": True},
        *chosen.get("volumeMounts", ()),
    ]
    taken = {mount["mountPath"].rstrip("/") for mount in mounts}
    if "/tmp" not in taken:  # noqa: S108 - the pod's own, an emptyDir
        volumes.append({"name": "tmp", "emptyDir": {}})
        mounts.append({"name": "tmp", "mountPath": "/tmp"})  # noqa: S108 - the pod's own, an emptyDir
    if _gpus(job) and "/dev/shm" not in taken:  # noqa: S108 - the pod's own, an emptyDir
        # NCCL's processes share memory through it; a runtime gives 64 MiB, which two GPUs may exceed
        shared = {"medium": "Memory", "sizeLimit": SHARED_MEMORY}
        volumes.append({"name": "shm", "emptyDir": shared})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - the pod's own, an emptyDir
    if job.store.ca_secret_ref is not None:
        volumes.append({"name": "ca", "secret": {"secretName": job.store.ca_secret_ref.name}})
        mounts.append({"name": "ca", "mountPath": CA_FOLDER, "readOnly": True})
    container: Object = {
        "name": CONTAINER,
        "image": job.image,
        "imagePullPolicy": job.image_pull_policy,
        "command": ["bluetune-trainer"],
        "args": [job.command, "--plan", f"{PLAN_FOLDER}/plan.json"],
        "env": _environment(job, template),
        "resources": _resources(template, gpu=job.gpu),
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # as process 1 the trainer would not hear SIGTERM until it has loaded torch and set its handler
        "shareProcessNamespace": True,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **(dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), USER) if job.fixed_ids else {}),
        },
        "containers": [container],
        "volumes": volumes,
    }
    if job.store.service_account_name is not None:
        # workload identity: the cloud's webhook mounts its own token; the API's stays away
        spec["serviceAccountName"] = job.store.service_account_name
    if chosen.get("envFrom"):
        container["envFrom"] = chosen["envFrom"]
    for name in SCHEDULING:
        if chosen.get(name):
            spec[name] = chosen[name]
    return spec


def _plan_annotation(job: TrainerJob) -> dict[str, str]:
    return {PLAN_ANNOTATION: json.dumps(job.plan.wire(), sort_keys=True)} if job.plan is not None else {}


def _plan_volume(job: TrainerJob) -> Object:
    if job.plan is None:
        return {"name": "plan", "configMap": {"name": job.name}}
    source = {"path": "plan.json", "fieldRef": {"fieldPath": f"metadata.annotations['{PLAN_ANNOTATION}']"}}
    return {"name": "plan", "downwardAPI": {"items": [source]}}


def _gpus(job: TrainerJob) -> int:
    """How many of them the pod asks for."""
    return gpus(job.template.resources) if job.gpu and job.template is not None else 0


def _environment(job: TrainerJob, template: PodTemplate) -> list[Object]:
    env: list[Object] = [
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own, an emptyDir
        {"name": "USER", "value": "bluetune"},  # torch asks for it, and an assigned user has no name
        {"name": "BLUETUNE_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        *store_env(job.store),
    ]
    if _gpus(job):
        env.append({"name": GPUS, "value": str(_gpus(job))})
    if not job.online:
        env.append({"name": "HF_HUB_OFFLINE", "value": "1"})
    if job.store.ca_secret_ref is not None:
        env.append({"name": "BLUETUNE_CA_FILE", "value": f"{CA_FOLDER}/ca.crt"})
    for name, key in job.secrets.items():
        env.append({"name": name, "valueFrom": {"secretKeyRef": key.wire()}})
    for variable in template.env or []:
        if variable.secret_key_ref is not None:
            env.append({"name": variable.name, "valueFrom": {"secretKeyRef": variable.secret_key_ref.wire()}})
        elif variable.config_map_key_ref is not None:
            env.append({"name": variable.name, "valueFrom": {"configMapKeyRef": variable.config_map_key_ref.wire()}})
        else:
            env.append({"name": variable.name, "value": variable.value or ""})
    return env


def _resources(template: PodTemplate, *, gpu: bool) -> Object:
    """A check or an import never gets a GPU."""
    if gpu:
        return filled(template.resources, TRAINING).wire()
    wire = filled(template.resources, CHECK_OR_IMPORT).wire()
    amounts = ("requests", "limits")
    return {what: {k: v for k, v in wire[what].items() if "/" not in k} for what in amounts if what in wire}
