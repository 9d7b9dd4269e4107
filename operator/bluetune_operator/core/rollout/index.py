"""The Jobs of `serving.index`: one that encodes the catalogue in shards, and one that loads the vectors."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from bluetune_api.clickstream import Clickstream
from bluetune_api.index_records import IndexManifest, IndexProgress
from bluetune_api.index_target import Index, IndexTarget
from bluetune_api.method import FineTuningMethodSpec
from bluetune_api.model import EmbeddingModelSpec, IndexLoss, Rollout
from bluetune_api.plans import method_plan
from bluetune_api.pods import KeyReference
from bluetune_api.reading import RecordProblem, read_record
from bluetune_api.records import IndexPlan, MethodPlan, Plan, RunOwner
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import TrainerJob, trainer_job
from bluetune_operator.core.jobs.cpu_pods import cpu_template
from bluetune_operator.core.jobs.state import Trouble, ended_badly, job_state
from bluetune_operator.core.kinds import (
    Object,
    child_labels,
    is_deleting,
    name_of,
    namespace_of,
    true_condition,
    uid_of,
)
from bluetune_operator.core.rollout.moves import Failure, JobView
from bluetune_operator.core.rollout.record import index_asked
from bluetune_operator.core.rollout.reindex import INDEX_ANNOTATION, KEPT_SECONDS, ROLLOUT_ANNOTATION, is_of, owner_view

Json = Mapping[str, Any]
Work = Literal["index", "load"]
"""What a Job does; also its label, and part of its name."""

MAX_READ = 8
"""Shards whose progress is read: more are not worth the requests."""
STAGES = {"Encoding": "encoding", "Shortening": "shortening the vectors", "Loading": "loading"}
"""What pods that count items do, in words."""
DATABASE = "BLUETUNE_INDEX_DATABASE"
"""Variable of the loading container: the database's address."""
USERNAME, PASSWORD, AUTHORITY = "BLUETUNE_INDEX_USERNAME", "BLUETUNE_INDEX_PASSWORD", "BLUETUNE_INDEX_CA"
"""Variables of the loading container: how it gets into OpenSearch."""


def work_of(rollout: Rollout) -> Work:
    """What the rollout's step does for the index."""
    return "load" if rollout.step == "Load" else "index"


def work_name(model: str, work: Work, version: str) -> str:
    """Name of the Job. A pod of an indexed Job has its number behind it, and all of that has 63 characters at most."""
    return f"{model}-{work}-{version.removeprefix('v')}"


def run_of(rollout: Rollout, asked: str) -> str:
    """What the rollout's pods that make one index share: the catalogue as the first of them saw it.

    Args:
        rollout: theirs.
        asked: `index_asked` of the model's serving.
    """
    return hashlib.sha256(f"{rollout.to} {rollout.started_at} {asked}".encode()).hexdigest()[:16]


def asked_of(spec: EmbeddingModelSpec) -> str:
    """`index_asked` of a model that is served."""
    assert spec.serving is not None  # noqa: S101 - the rollout's caller looked
    return index_asked(spec.serving)


def unfit(method: FineTuningMethodSpec | None) -> Failure | None:
    """Why a method cannot have an index of one vector an item, by its manifest; a plugin may say so later."""
    if method is None or method.settings is None or method.settings.long_items != "Split":
        return None
    text = (
        "serving.index makes one vector an item, and the method's settings.longItems: Split ranks items by their parts;"
        " use longItems: Truncate, or make the index by a Job of your own (serving.reindex)"
    )
    return Failure("ReindexRefused", text)


def index_plan(
    model: Object, spec: EmbeddingModelSpec, index: Index, method: FineTuningMethodSpec | None, rollout: Rollout
) -> Plan:
    """What the pods are told."""
    whole = method_plan(method) if method else MethodPlan()
    load = rollout.step == "Load"
    return Plan(
        kind="Load" if load else "Index",
        owner=RunOwner(kind="EmbeddingModel", name=name_of(model), namespace=namespace_of(model), uid=uid_of(model)),
        model=name_of(model),
        store=spec.store.location(),
        method=MethodPlan(
            plugin=whole.plugin,
            items=whole.items,
            settings=whole.settings,
            # how clicked queries are read, which shorter vectors are judged by
            clickstream=whole.clickstream if index.vectors is not None and not load else Clickstream(),
        ),
        index=IndexPlan(
            version=rollout.to,
            digest=rollout.digest,
            run=run_of(rollout, asked_of(spec)),
            shards=index.shards,
            vectors=index.vectors,
            pgvector=index.target.pgvector if load else None,
            opensearch=index.target.opensearch,
        ),
    )


def index_job(
    model: Object,
    spec: EmbeddingModelSpec,
    index: Index,
    method: FineTuningMethodSpec | None,
    rollout: Rollout,
    config: Config,
) -> Object:
    """The Job of the rollout's step: the method's image, and its pods with their GPUs to encode, without to load."""
    work, name = work_of(rollout), name_of(model)
    training = method.pod_template if method else None
    job = trainer_job(
        TrainerJob(
            name=work_name(name, work, rollout.to),
            namespace=namespace_of(model),
            owner=model,
            labels=child_labels(model=name, job=work),
            command=work,
            image=(method.image if method else None) or config.trainer_image,
            image_pull_policy=config.trainer_image_pull_policy,
            fixed_ids=config.fixed_ids,
            queue_name=spec.queue_name,
            store=spec.store,
            template=(index.pod_template or training)
            if work == "index"
            else cpu_template(training, method.cpu_pod_template if method else None),
            gpu=work == "index",
            annotations={ROLLOUT_ANNOTATION: rollout.started_at, INDEX_ANNOTATION: asked_of(spec)},
            plan=index_plan(model, spec, index, method, rollout),
            shards=index.shards if work == "index" else None,
            secrets=secrets_of(index.target) if work == "load" else {},
        )
    )
    job["spec"]["ttlSecondsAfterFinished"] = KEPT_SECONDS
    return job


def secrets_of(target: IndexTarget) -> dict[str, KeyReference]:
    """Variables of the loading container that are keys of Secrets."""
    if target.pgvector is not None:
        return {DATABASE: target.pgvector.connection_secret_ref}
    if target.opensearch is None:
        return {}
    credentials, authority = target.opensearch.credentials_secret_ref, target.opensearch.ca_secret_ref
    found = {}
    if credentials is not None:
        found[USERNAME] = KeyReference(name=credentials.name, key="username")
        found[PASSWORD] = KeyReference(name=credentials.name, key="password")
    if authority is not None:
        found[AUTHORITY] = KeyReference(name=authority.name, key="ca.crt")
    return found


def index_view(
    job: Json | None,
    pods: Sequence[Object],
    rollout: Rollout,
    refused: Trouble | None,
    model: Json,
    now: datetime,
    asked: str,
) -> JobView | None:
    """The Job of the step as the rollout sees it; `pods` are its pods, `refused` is why it gets none, `asked` is
    `index_asked` of the model's serving."""
    if job is None:
        return None
    if (others := owner_view(job, model)) is not None:
        return others
    ours = is_of(rollout, job, asked)
    state = job_state(dict(job), pods, now)
    if state.state == "Failed":
        # the Job stops the pods of the other shards, so that the last one to end need not be the one to blame
        state = job_state(dict(job), list(filter(ended_badly, pods)) or pods, now)
        failed = state.trouble or Trouble("ReindexFailed", "it failed")
        return JobView("Failed", ours, failed.message, reason=failed.reason)
    if true_condition(job, "Complete"):
        return JobView("Complete", ours)
    if state.outlived_by is not None:
        text = (
            f"container {state.outlived_by} keeps a pod alive after the trainer has ended, so the Job does not end;"
            " make it a sidecar that Kubernetes knows (an init container with restartPolicy: Always)"
        )
        return JobView("Running", ours, text)
    works = any((pod.get("status") or {}).get("phase") == "Running" and not is_deleting(pod) for pod in pods)
    trouble = None if works else refused or state.trouble  # pods of other shards may wait for a GPU meanwhile
    return JobView("Running", ours, trouble.message if trouble else "")


def whole_index(data: bytes | None, rollout: Rollout) -> IndexManifest | Failure:
    """The manifest in the store, or why it is not that of the version's index."""
    if data is None:
        text = (
            "every shard ended well, and there is no _manifest.json: the catalogue changed while it was read, or a part"
            " was removed; it is tried again"
        )
        return Failure("IndexMissing", text)
    try:
        manifest = read_record(IndexManifest, data, "operator")
    except RecordProblem as error:
        return Failure("IndexMissing", f"_manifest.json of the index cannot be read: {error}")
    if (manifest.version, manifest.digest) != (rollout.to, rollout.digest):
        return Failure("IndexMissing", f"_manifest.json is of version {manifest.version}, not of {rollout.to}")
    return manifest


def loss_of(manifest: IndexManifest) -> IndexLoss | None:
    """What the index's shorter vectors lose; None if they are the version's own."""
    if manifest.vectors is None:
        return None
    loss = manifest.vectors.loss
    return IndexLoss(recall=loss.recall, queries=loss.queries, searched=loss.searched)


def progress_words(told: Sequence[IndexProgress], done: int, shards: int) -> str:
    """How far a step's pods are, in words.

    Args:
        told: what those that are at work say.
        done: shards that are whole.
        shards: all of them.
    """
    parts = [f"{done} of {shards} shards done"] if shards > 1 else []
    counted = [one for one in told if one.total]
    if counted:
        stage = STAGES.get(counted[0].stage, "at work")
        items, total = sum(one.done for one in counted), sum(one.total for one in counted)
        parts.append(f"{stage}: {items} of {total} items, {sum(one.rate for one in counted):.0f} a second")
        left = [one.seconds_left for one in counted if one.seconds_left is not None]
        if left:
            parts.append(f"{_minutes(max(left))} left")
    elif told:
        parts.append({"Building": "building the HNSW index"}.get(told[0].stage, "reading the catalogue"))
    return ", ".join(parts)


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
