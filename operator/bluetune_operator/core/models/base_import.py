"""The import of a model's base: its Job and plan, and what came of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bluetune_api.method import FineTuningMethodSpec
from bluetune_api.model import PLUGIN_BASE, EmbeddingModelSpec
from bluetune_api.plans import method_plan
from bluetune_api.reading import FormatTooNew, RecordInvalid, RecordProblem, read_record
from bluetune_api.reasons import STORE_REASONS
from bluetune_api.records import MethodPlan, Plan, Result, RunOwner, digest_of, version_of
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import TrainerJob, plan_of, trainer_job
from bluetune_operator.core.jobs.cpu_pods import cpu_template
from bluetune_operator.core.jobs.resuming import resume_command
from bluetune_operator.core.jobs.state import ended_for_an_outage, job_state
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import Object, child_labels, name_of, namespace_of, true_condition, uid_of
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.tasks.jobs import is_kueues

Json = Mapping[str, Any]

OUTAGES = STORE_REASONS | {"BaseUnreachable"}
"""Ends of an attempt that use up none of the Job's retries."""
GENERATION_ANNOTATION = "bluetune.dev/generation"
"""Generation of the model that the Job was made for: after a change, a failed one is tried again."""

WAITS_ANNOTATION = "bluetune.dev/waits-for"
"""On a Job that the operator has suspended: what it waits for."""


def import_name(model: str) -> str:
    """Name of the Job and of its plan's ConfigMap."""
    return f"{model}-import"


def import_labels(model: str) -> dict[str, str]:
    """Labels of the Job and its pods."""
    return child_labels(model=model, job="import")


def import_plan(model: Object, spec: EmbeddingModelSpec, method: FineTuningMethodSpec | None) -> Plan:
    """What the Job is told. The method's settings hold prompts and the longest text, which the probe depends on."""
    owner = RunOwner(kind="EmbeddingModel", name=name_of(model), namespace=namespace_of(model), uid=uid_of(model))
    return Plan(
        kind="Import",
        owner=owner,
        model=name_of(model),
        store=spec.store.location(),
        base_uri=spec.base.uri,
        method=method_plan(method) if method else MethodPlan(),
    )


def import_settings(
    model: Object, spec: EmbeddingModelSpec, method: FineTuningMethodSpec | None, config: Config
) -> TrainerJob:
    """The Job's settings: the method's image and pods, but no GPU."""
    return TrainerJob(
        name=import_name(name_of(model)),
        namespace=namespace_of(model),
        owner=model,
        labels=import_labels(name_of(model)),
        command="import",
        image=(method.image if method else None) or config.trainer_image,
        image_pull_policy=config.trainer_image_pull_policy,
        fixed_ids=config.fixed_ids,
        store=spec.store,
        template=cpu_template(method.pod_template, method.cpu_pod_template) if method else None,
        queue_name=spec.queue_name,
        online=spec.base.uri.startswith(("hf://", PLUGIN_BASE)),
    )


def import_job(model: Object, settings: TrainerJob) -> Object:
    """The Job, marked with the generation it was made for."""
    job = trainer_job(settings)
    generation = {GENERATION_ANNOTATION: str(model["metadata"].get("generation", 0))}
    job["metadata"]["annotations"] = job["metadata"].get("annotations", {}) | generation
    return job


def outdated(job: Json, model: Object, pods: Sequence[Object] = ()) -> bool:
    """Whether a Job was made for another generation of the model and failed, keeps failing for an outage, or waits
    suspended without a pod: the edit may correct what it fails or waits for, such as the store's endpoint or the queue,
    and it would go on with the plan of before."""
    annotations = job["metadata"].get("annotations") or {}
    made_for = annotations.get(GENERATION_ANNOTATION)
    if made_for == str(model["metadata"].get("generation", 0)) or true_condition(job, "Complete"):
        return False
    if job["spec"].get("suspend") and not waits_for_store(job) and not any(map(is_active_pod, pods)):
        return True
    return true_condition(job, "Failed") is not None or any(map(ended_for_an_outage, pods))


def waits_for_store(job: Json) -> bool:
    """Whether the operator suspended a Job for the store."""
    return WAITS_ANNOTATION in (job["metadata"].get("annotations") or {})


def another_plan(config_map: Json, plan: Plan) -> bool:
    """Whether a ConfigMap left by an earlier try tells something else."""
    try:
        return plan_of(config_map) != plan
    except RecordProblem:
        return True


def job_problem(job: Object, pods: Sequence[Object], now: datetime) -> Failure:
    """Why the base is not published yet: the Job failed, its pod does not start, or it is at work."""
    state, name = job_state(job, pods, now), name_of(job)
    if state.state == "Failed" and state.trouble is not None:
        again = f"correct it, then delete Job {name} to try again"
        return Failure(state.trouble.reason, f"the import failed: {state.trouble.message}; {again}")
    if is_finished_job(job):
        return Failure("ResultMissing", f"Job {name} ended without a result in the store; delete it to try again")
    if state.state == "Suspended" and is_kueues(job):
        return Failure("Queued", f"Job {name} waits to be admitted by its queue")
    if state.state == "Suspended" and not waits_for_store(job):
        said = f"Job {name} was suspended by others, as Kueue does with Jobs that have no queue"
        again = resume_command(name)
        return Failure(
            "SuspendedByOthers", f"{said}: set spec.queueName, and the Job is made again; or resume it: {again}"
        )
    if state.trouble is None:
        return Failure("Importing", "the base is being imported")
    if state.trouble.reason in OUTAGES:  # the same while the next attempt runs into it
        return Failure(state.trouble.reason, f"{state.trouble.message}; the import is tried again")
    starts = state.state == "Pending" and any(is_active_pod(pod) for pod in pods)  # or it is how an attempt ended
    return Failure(state.trouble.reason if starts else "Importing", state.trouble.message)


def read_result(data: bytes, model_uid: str) -> Result | Failure:
    """result.json of the import, believed only if it is this model's."""
    try:
        result = read_record(Result, data, "operator")
    except FormatTooNew as error:
        return Failure("FormatTooNew", f"result.json of the import cannot be read: {error}")
    except RecordInvalid as error:
        return Failure("ResultInvalid", f"result.json of the import cannot be read: {error}")
    if result.kind != "Import" or result.owner.uid != model_uid:
        return Failure("ResultInvalid", "result.json in this model's run folder belongs to another run")
    return result


def manifest_problem(manifest: bytes | None, version: str, digest: str) -> Failure | None:
    """Why a version must not be served: its manifest is missing, or not the one that the digest is about."""
    if manifest is None:
        return Failure("VersionNotFound", f"version {version} does not exist in the store: it has no manifest.json")
    found = digest_of(manifest)
    if found != digest or version_of(found) != version:
        return Failure("VersionInvalid", f"manifest.json of version {version} has digest {found} instead of {digest}")
    return None
