"""What must hold after any schedule: pure functions of what was observed. Each yields its violations, as sentences."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bluetune_api import store_layout
from bluetune_api.records import Manifest, digest_of, version_of
from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    JOB_LABEL,
    TASK_LABEL,
    TASK_UID_LABEL,
    condition_status,
    labels_of,
    name_of,
    true_condition,
    uid_of,
)
from bluetune_operator.core.lock.rules import has_ended, holder_of
from chaos.api import Event

Object = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """An object in the store."""

    data: bytes
    modified: float


@dataclass(frozen=True)
class Observed:
    """All that the invariants look at."""

    history: list[Event]
    """Every change of tasks, models, Jobs, pods and Leases, in order."""
    tasks: list[Object]
    models: list[Object]
    jobs: list[Object]
    pods: list[Object]
    config_maps: list[Object]
    leases: list[Object]
    deployments: list[Object]
    store: Mapping[str, Stored]
    """The model's part of the store, by key."""
    base: str
    """Version of the model's base."""
    deleted_by_hand: Mapping[str, int] = field(default_factory=dict)
    """How many Jobs of a task (by uid) the suite deleted."""
    defects: list[str] = field(default_factory=list)
    """Exceptions in the operators' logs."""


def never_two_at_work(seen: Observed) -> Iterator[str]:
    """At no moment two tasks of a model have an unfinished Job or a pod that may still run."""
    work: dict[str, tuple[str, str]] = {}
    reported: set[frozenset[str]] = set()
    for event in seen.history:
        owner = labels_of(event.thing).get(TASK_UID_LABEL)
        if event.kind not in ("Job", "Pod") or owner is None:
            continue
        over = is_finished_job(event.thing) if event.kind == "Job" else not is_active_pod(event.thing)
        if event.type == "DELETED" or over:
            work.pop(uid_of(event.thing), None)
            continue
        work[uid_of(event.thing)] = (owner, f"{event.kind} {name_of(event.thing)}")
        owners = frozenset(owner for owner, _ in work.values())
        if len(owners) > 1 and owners not in reported:
            reported.add(owners)
            yield f"two tasks at work at revision {event.revision}: {sorted(name for _, name in work.values())}"


def one_job_a_stage(seen: Observed) -> Iterator[str]:
    """A task's Job of a stage is created once, and once more for each time that a person deleted it."""
    jobs: dict[tuple[str, str], set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for event in seen.history:
        labels = labels_of(event.thing)
        if event.kind == "Job" and TASK_UID_LABEL in labels:
            jobs[labels[TASK_UID_LABEL], labels[JOB_LABEL]].add(uid_of(event.thing))
            names[labels[TASK_UID_LABEL]] = labels[TASK_LABEL]
    for (owner, stage), uids in jobs.items():
        if len(uids) > 1 + seen.deleted_by_hand.get(owner, 0):
            yield f"task {names[owner]} had {len(uids)} {stage} Jobs"


def an_end_is_for_ever(seen: Observed) -> Iterator[str]:
    """A task's terminal condition never changes, and there is one."""
    ends: dict[str, tuple[str, str]] = {}
    for event in seen.history:
        if event.kind != "FineTuningTask" or not has_ended(event.thing):
            continue
        found = [
            (c["type"], c["reason"])
            for c in event.thing["status"]["conditions"]
            if c["type"] in ("Succeeded", "Failed") and c["status"] == "True"
        ]
        before = ends.setdefault(uid_of(event.thing), found[0])
        if len(found) > 1 or found[0] != before:
            yield f"task {name_of(event.thing)} ended as {before} and then as {found}"


def every_task_ends(seen: Observed) -> Iterator[str]:
    """With all faults over and nothing suspended, each task has ended."""
    for task in seen.tasks:
        if not has_ended(task):
            status = task.get("status") or {}
            yield f"task {name_of(task)} has not ended: {status.get('phase')}, {status.get('message')}"


def failures_have_causes(seen: Observed) -> Iterator[str]:
    """With as many retries as it takes, only a person ends a task otherwise than well."""
    for task in seen.tasks:
        failed = true_condition(task, "Failed")
        if failed is not None and failed["reason"] not in ("Cancelled", "Refused"):
            yield f"task {name_of(task)} failed: {failed['reason']}: {failed.get('message')}"


def versions_are_whole(seen: Observed) -> Iterator[str]:
    """A version with a manifest has all its files, and its name is its digest."""
    for key, stored in seen.store.items():
        if not key.startswith(store_layout.VERSIONS) or not key.endswith("/" + store_layout.MANIFEST):
            continue
        version = key.split("/")[1]
        if version_of(digest_of(stored.data)) != version:
            yield f"version {version} has the digest {digest_of(stored.data)}"
            continue
        for file in Manifest.model_validate_json(stored.data).files:
            found = seen.store.get(store_layout.version(version) + file.path)
            if found is None or digest_of(found.data) != f"sha256:{file.sha256}":
                yield f"version {version} has no right {file.path}"


def current_is_a_version_that_passed(seen: Observed) -> Iterator[str]:
    """A model's current version is whole, and its base or what a task's gate let pass; blue is told to serve it."""
    for model in seen.models:
        status = model.get("status") or {}
        current = status.get("current")
        if current is None:
            yield f"model {name_of(model)} has no current version"
            continue
        manifest = seen.store.get(store_layout.manifest(current["version"]))
        if manifest is None or digest_of(manifest.data) != current["digest"]:
            yield f"model {name_of(model)}: current {current['version']} is not in the store with its digest"
        rollout = status.get("rollout") or {}
        if rollout and rollout["step"] not in ("Done", "Failed"):
            yield f"model {name_of(model)}: a rollout to {rollout['to']} stays at {rollout['step']}"
        if current["version"] != seen.base and not _passed(seen, current["version"]):
            yield f"model {name_of(model)}: current {current['version']} passed no gate"
        for deployment in seen.deployments:
            told = deployment["spec"]["template"]["metadata"].get("annotations", {}).get("bluetune.dev/version")
            if told != current["version"]:
                yield f"Deployment {name_of(deployment)} is told {told}, and current is {current['version']}"


def _passed(seen: Observed, version: str) -> bool:
    for key, stored in seen.store.items():
        if key.startswith("runs/") and key.endswith("/result.json"):
            result = json.loads(stored.data)
            if result["version"] == version and (result.get("gate") or {}).get("delta", -1) >= 0:
                return True
    return False


def promotions_are_by_the_holder(seen: Observed) -> Iterator[str]:
    """When current moves to a task's version, the Lease names that task."""
    holder, current = None, None
    for event in seen.history:
        if event.kind == "Lease" and event.thing["metadata"]["name"].startswith("bluetune-"):
            holder = None if event.type == "DELETED" else holder_of(event.thing)
        if event.kind != "EmbeddingModel" or event.type == "DELETED":
            continue
        moved = ((event.thing.get("status") or {}).get("current")) or None
        if moved is None or moved["version"] == current:
            continue
        current = moved["version"]
        if moved.get("task") and (holder is None or holder.name != moved["task"]):
            yield f"current moved to {current} of task {moved['task']} while the Lease named {holder}"


def nothing_is_left(seen: Observed) -> Iterator[str]:
    """Every child has its owner, and the lock is free."""
    owners = {uid_of(thing) for thing in (*seen.tasks, *seen.models, *seen.jobs)}
    for thing in (*seen.jobs, *seen.pods, *seen.config_maps):
        references = thing["metadata"].get("ownerReferences") or []
        if not any(reference["uid"] in owners for reference in references):
            yield f"{thing['kind']} {name_of(thing)} has no owner any more"
    for lease in seen.leases:
        if name_of(lease).startswith("bluetune-") and (lease["spec"].get("holderIdentity") or ""):
            yield f"Lease {name_of(lease)} still names {lease['spec']['holderIdentity']}"


def status_is_what_the_store_says(seen: Observed) -> Iterator[str]:
    """A published version is that of the run's result; a run with a result did not fail."""
    for task in seen.tasks:
        status = task.get("status") or {}
        found = seen.store.get(store_layout.result(uid_of(task)))
        result = json.loads(found.data) if found else None
        if condition_status(task, "Published") == "True" and (
            result is None or (result["version"], result["digest"]) != (status.get("bestModelId"), status.get("digest"))
        ):
            yield f"task {name_of(task)} says {status.get('bestModelId')}, and the store {result and result['version']}"
        if result is not None and condition_status(task, "Failed") == "True":
            reason = next(c["reason"] for c in status["conditions"] if c["type"] == "Failed")
            if reason != "Cancelled":
                yield f"task {name_of(task)} failed ({reason}) though its result is in the store"


def no_trial_twice(seen: Observed) -> Iterator[str]:
    """No attempt begins a trial that had ended."""
    for key, stored in seen.store.items():
        parts = key.split("/")
        if len(parts) == 5 and parts[2] == "attempts" and parts[4].startswith("began-"):
            ended = seen.store.get(store_layout.trial(parts[1], int(parts[4].removeprefix("began-"))))
            # the store's clock has whole seconds
            if (
                ended is not None
                and json.loads(ended.data)["message"] != parts[3]
                and stored.modified > ended.modified + 1
            ):
                yield f"{key} was begun after its trial had ended"


def the_same_key_is_one_work(seen: Observed) -> Iterator[str]:
    """Tasks with one idempotency key that ended well have one version."""
    versions: dict[str, set[str]] = defaultdict(set)
    for task in seen.tasks:
        key = task["spec"].get("idempotencyKey")
        if key is not None and condition_status(task, "Succeeded") == "True" and task["status"].get("bestModelId"):
            versions[key].add(task["status"]["bestModelId"])
    for key, found in versions.items():
        if len(found) > 1:
            yield f"tasks with the key {key!r} published {sorted(found)}"


def no_defect(seen: Observed) -> Iterator[str]:
    """No exception that nobody expected."""
    yield from (f"a defect in the operator: {text}" for text in seen.defects)


INVARIANTS: tuple[Callable[[Observed], Iterator[str]], ...] = (
    never_two_at_work,
    one_job_a_stage,
    an_end_is_for_ever,
    every_task_ends,
    failures_have_causes,
    versions_are_whole,
    current_is_a_version_that_passed,
    promotions_are_by_the_holder,
    nothing_is_left,
    status_is_what_the_store_says,
    no_trial_twice,
    the_same_key_is_one_work,
    no_defect,
)


def violations(seen: Observed) -> list[str]:
    """What does not hold: the invariant's name and the sentence."""
    return [f"{invariant.__name__}: {text}" for invariant in INVARIANTS for text in invariant(seen)]
