"""The reindex Job: the user's template, with the version to index in every container's environment."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from bluetune_api import store_layout
from bluetune_api.model import Reindex, Rollout
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.build import KUEUE_QUEUE
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.jobs.store_env import store_env
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    Object,
    child_labels,
    is_left_over,
    is_owned_by,
    name_of,
    namespace_of,
    owner_reference,
    true_condition,
    uid_of,
)
from bluetune_operator.core.rollout.moves import JobView
from bluetune_operator.core.rollout.serving_patch import CA_FOLDER, CA_VOLUME
from bluetune_operator.core.rollout.serving_pods import exit_of, why_not_started

Json = Mapping[str, Any]

ROLLOUT_ANNOTATION = "bluetune.dev/rollout"
"""When the rollout that made the Job began: a Job of an earlier try is told from this one's by it."""
INDEX_ANNOTATION = "bluetune.dev/index"
"""Digest of what `serving.index` said of target and vectors when the Job was made."""


KEPT_SECONDS = 86400
"""How long an ended Job can be looked at, unless the template says otherwise: each version leaves one."""
MIN_KEPT_SECONDS = 300
"""How long it stays at least, so that the operator sees how it ended."""


def reindex_name(model: str, version: str) -> str:
    """Name of the Job."""
    return f"{model}-reindex-{version.removeprefix('v')}"


def reindex_labels(model: str) -> dict[str, str]:
    """Labels of the Job and its pods."""
    return child_labels(model=model, job="reindex")


def template_problem(template: Json) -> str | None:
    """What in `serving.reindex.template` is no Job's spec, as far as bluetune writes into it; None if nothing is.

    The API server judges the rest when the Job is made.
    """
    root = "serving.reindex.template"
    if "template" not in template:
        return f"{root}.template, the pod of the Job, is missing"
    pod_template = template["template"]
    if problem := _no_map(pod_template, f"{root}.template"):
        return problem
    for key in ("metadata", "spec"):
        if problem := _no_map(pod_template.get(key, {}), f"{root}.template.{key}"):
            return problem
    labels, pod = (pod_template.get("metadata") or {}).get("labels"), pod_template.get("spec") or {}
    if labels is not None and (problem := _no_map(labels, f"{root}.template.metadata.labels")):
        return problem
    where = f"{root}.template.spec"
    if not pod.get("containers"):
        return f"{where}.containers is missing; it lists the container that reindexes"
    lists = [(f"{where}.{key}", pod.get(key)) for key in ("initContainers", "containers", "volumes")]
    for key in ("initContainers", "containers"):
        found = pod.get(key)
        for number, container in enumerate(found if isinstance(found, list) else ()):
            if isinstance(container, Mapping):
                lists += [(f"{where}.{key}[{number}].{name}", container.get(name)) for name in ("env", "volumeMounts")]
    return next((problem for path, value in lists if (problem := _no_list_of_maps(value, path))), None)


def _no_map(value: Any, path: str) -> str | None:
    return None if isinstance(value, Mapping) else f"{path} must be a map of fields, not {_kind(value)}"


def _no_list_of_maps(value: Any, path: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return f"{path} must be a list (each entry begins with a dash), not {_kind(value)}"
    problems = (_no_map(entry, f"{path}[{number}]") for number, entry in enumerate(value))
    return next((problem for problem in problems if problem), None)


def _kind(value: Any) -> str:
    known = {dict: "a map", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return known.get(type(value), "a number")


def reindex_job(
    model: Object, reindex: Reindex, store: StoreSpec, rollout: Rollout, *, queue_name: str | None = None
) -> Object:
    """The Job of a rollout. What the template holds is kept, but for the variables that bluetune sets, and a
    ttlSecondsAfterFinished that would remove the Job before its end is seen. `template_problem` must be None."""
    spec: Object = {"ttlSecondsAfterFinished": KEPT_SECONDS, **copy.deepcopy(reindex.template)}
    kept = spec["ttlSecondsAfterFinished"]
    if isinstance(kept, int) and 0 <= kept < MIN_KEPT_SECONDS:
        spec["ttlSecondsAfterFinished"] = MIN_KEPT_SECONDS
    template = spec["template"]
    metadata, pod = template.setdefault("metadata", {}), template["spec"]
    labels = reindex_labels(name_of(model))
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    pod.setdefault("restartPolicy", "Never")
    env = _environment(store, rollout)
    if store.ca_secret_ref is not None:
        volume = {"name": CA_VOLUME, "secret": {"secretName": store.ca_secret_ref.name}}
        pod["volumes"] = [*(pod.get("volumes") or []), volume]
    for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
        ours = {variable["name"] for variable in env}
        # ours come first, so that the template's variables may refer to them as $(BLUETUNE_VERSION)
        container["env"] = [*env, *(v for v in container.get("env") or [] if v.get("name") not in ours)]
        if store.ca_secret_ref is not None:
            mount = {"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": True}
            container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
    if queue_name is not None:
        spec["suspend"] = True  # Kueue starts it
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": reindex_name(name_of(model), rollout.to),
            "namespace": namespace_of(model),
            "labels": labels | ({KUEUE_QUEUE: queue_name} if queue_name is not None else {}),
            "annotations": {ROLLOUT_ANNOTATION: rollout.started_at},
            "ownerReferences": [owner_reference(model)],
        },
        "spec": spec,
    }


def job_view(
    job: Json | None, pods: Sequence[Json], rollout: Rollout, refused: Trouble | None, model: Json
) -> JobView | None:
    """The Job as the rollout of `model` sees it; `pods` are its pods, `refused` is why it gets none."""
    if job is None:
        return None
    if (others := owner_view(job, model)) is not None:
        return others
    ours = is_of(rollout, job)
    if not is_finished_job(job):
        waits = why_not_started(p for p in pods if is_active_pod(p)) or (refused.message if refused else "")
        if (job.get("spec") or {}).get("suspend") and refused is None:
            waits = f"Job {name_of(job)} " + (
                "waits to be admitted by its queue"
                if KUEUE_QUEUE in (job["metadata"].get("labels") or {})
                else "is suspended, by its template or by others; set spec.queueName if Kueue is to run it"
            )
        return JobView("Running", ours, waits)
    failed = true_condition(job, "Failed")
    if failed is None:
        return JobView("Complete", ours)
    said = f"{failed.get('reason', '')}: {failed.get('message', '')}"
    return JobView("Failed", ours, "; ".join([said, *_last_words(pods)]))


def is_of(rollout: Rollout, job: Json, index: str | None = None) -> bool:
    """Whether a Job was made for this rollout, and stays; one of bluetune's index, also whether it makes the one that
    is asked for. A Job that an earlier release made does not say so."""
    annotations = job["metadata"].get("annotations") or {}
    if index is not None and annotations.get(INDEX_ANNOTATION, index) != index:
        return False
    return annotations.get(ROLLOUT_ANNOTATION) == rollout.started_at and not job["metadata"].get("deletionTimestamp")


def owner_view(job: Json, model: Json) -> JobView | None:
    """A Job of the rollout's name that is not the model's; None if it is."""
    if is_owned_by(job, uid_of(model)):
        return None
    if is_left_over(job, {"metadata": {"ownerReferences": [owner_reference(model)]}}):
        text = f"Job {name_of(job)!r} of an earlier model of this name is being removed"
        return JobView("Running", False, text, "Gone")
    text = f"Job {name_of(job)!r} exists and does not belong to this model; delete or rename it"
    return JobView("Running", False, text, "Other")


def _environment(store: StoreSpec, rollout: Rollout) -> list[Object]:
    env = [
        {"name": "BLUETUNE_VERSION", "value": rollout.to},
        {"name": "BLUETUNE_URI", "value": store.uri(store_layout.version(rollout.to))},
        {"name": "BLUETUNE_DIGEST", "value": rollout.digest},
        *store_env(store),
    ]
    if store.ca_secret_ref is not None:
        env.append({"name": "BLUETUNE_CA_FILE", "value": f"{CA_FOLDER}/ca.crt"})
    return env


def _last_words(pods: Sequence[Json]) -> list[str]:
    """How the newest pod's containers ended badly."""
    newest = max(pods, key=lambda p: str(p["metadata"].get("creationTimestamp", "")), default=None)
    statuses = (newest or {}).get("status") or {}
    ended = [
        (c["name"], (c.get("state") or {}).get("terminated"))
        for c in [*(statuses.get("initContainerStatuses") or []), *(statuses.get("containerStatuses") or [])]
    ]
    return [f"container {name}: {exit_of(end)}" for name, end in ended if end and end.get("exitCode")]
