"""Each invariant holds for what is right, and names what is wrong."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bluetune_api.records import Manifest, ManifestFile, Probe, digest_of, version_of
from chaos import invariants
from chaos.api import Event
from chaos.invariants import INVARIANTS, Observed, Stored, violations

Object = dict[str, Any]


def stored(data: bytes | Object, modified: float = 0.0) -> Stored:
    return Stored(data if isinstance(data, bytes) else json.dumps(data).encode(), modified)


def version(content: str) -> tuple[str, str, dict[str, Stored]]:
    data = content.encode()
    file = ManifestFile(path="m", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    manifest = Manifest(files=[file], dimension=1, probe=Probe(texts=["a"], vectors=[[1.0]])).encode()
    digest = digest_of(manifest)
    name = version_of(digest)
    return name, digest, {f"versions/{name}/m": stored(data), f"versions/{name}/manifest.json": stored(manifest)}


BASE, BASE_DIGEST, BASE_FILES = version("base")
NEW, NEW_DIGEST, NEW_FILES = version("new")


def task(name: str = "t", uid: str = "u", *conditions: tuple[str, str], **more: Any) -> Object:
    said = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions]
    spec = {"modelRef": {"name": "m"}, **more.pop("spec", {})}
    return {
        "kind": "FineTuningTask",
        "metadata": {"name": name, "uid": uid},
        "spec": spec,
        "status": {"conditions": said, **more},
    }


def child(kind: str, uid: str, owner: str = "u", job: str = "train", **status: Any) -> Object:
    labels = {"bluetune.dev/task-uid": owner, "bluetune.dev/task": f"task-{owner}", "bluetune.dev/job": job}
    metadata = {"name": f"{kind}-{uid}", "uid": uid, "labels": labels, "ownerReferences": [{"uid": owner}]}
    return {"kind": kind, "metadata": metadata, "spec": {}, "status": status}


def lease(holder: str) -> Object:
    return {"kind": "Lease", "metadata": {"name": "bluetune-m", "uid": "l"}, "spec": {"holderIdentity": holder}}


def model(current: str | None = BASE, digest: str = BASE_DIGEST, **more: Any) -> Object:
    status = {"current": {"version": current, "digest": digest, **more}} if current else {}
    return {"kind": "EmbeddingModel", "metadata": {"name": "m", "uid": "m"}, "spec": {}, "status": status}


def history(*things: Object | tuple[str, Object]) -> list[Event]:
    pairs = [thing if isinstance(thing, tuple) else ("MODIFIED", thing) for thing in things]
    return [Event(number, thing["kind"], type_, thing) for number, (type_, thing) in enumerate(pairs)]


DONE = {"conditions": [{"type": "Complete", "status": "True"}]}
RESULT = {"version": NEW, "digest": NEW_DIGEST, "gate": {"delta": 0.1}}
GOOD = Observed(
    history=history(
        lease("t/u"),
        child("Job", "j", job="check"),
        child("Pod", "p", job="check", phase="Running"),
        child("Pod", "p", job="check", phase="Succeeded"),
        child("Job", "j", job="check", **DONE),
        task("t", "u", ("Succeeded", "Promoted")),
        model(NEW, NEW_DIGEST, task="t"),
        lease(""),
        lease("s/v"),
        child("Job", "k", owner="v"),
        ("DELETED", child("Job", "k", owner="v")),
    ),
    tasks=[task("t", "u", ("Succeeded", "Promoted"), ("Published", "Published"), bestModelId=NEW, digest=NEW_DIGEST)],
    models=[model(NEW, NEW_DIGEST, task="t")],
    jobs=[child("Job", "j")],
    pods=[],
    config_maps=[],
    leases=[lease("")],
    deployments=[],
    store={**BASE_FILES, **NEW_FILES, "runs/u/result.json": stored(RESULT)},
    base=BASE,
)

Check = Callable[[Observed], Iterator[str]]
BAD: list[tuple[Check, dict[str, Any], str]] = [
    (
        invariants.never_two_at_work,
        {"history": history(child("Pod", "p", phase="Running"), child("Job", "k", owner="v"))},
        "two tasks at work at revision 1",
    ),
    (invariants.one_job_a_stage, {"history": history(child("Job", "j"), child("Job", "k"))}, "had 2 train Jobs"),
    (
        invariants.an_end_is_for_ever,
        {"history": history(task("t", "u", ("Failed", "Crash")), task("t", "u", ("Succeeded", "Completed")))},
        "ended as",
    ),
    (
        invariants.an_end_is_for_ever,
        {"history": history(task("t", "u", ("Failed", "Crash"), ("Succeeded", "Completed")))},
        "ended as",
    ),
    (invariants.every_task_ends, {"tasks": [task("t", "u", phase="Waiting", message="for X")]}, "Waiting, for X"),
    (invariants.failures_have_causes, {"tasks": [task("t", "u", ("Failed", "OOMKilled"))]}, "failed: OOMKilled"),
    (
        invariants.versions_are_whole,
        {"store": {k: v for k, v in NEW_FILES.items() if k.endswith("json")}},
        "no right m",
    ),
    (
        invariants.versions_are_whole,
        {"store": {**NEW_FILES, f"versions/{NEW}/m": stored(b"other")}},
        "has no right m",
    ),
    (invariants.versions_are_whole, {"store": {f"versions/{BASE}/manifest.json": stored(b"{}")}}, "has the digest"),
    (invariants.current_is_a_version_that_passed, {"models": [model(None)]}, "has no current"),
    (invariants.current_is_a_version_that_passed, {"models": [model(NEW, "sha256:0")]}, "is not in the store"),
    (
        invariants.current_is_a_version_that_passed,
        {"store": {**NEW_FILES, "runs/u/result.json": stored(RESULT | {"gate": {"delta": -0.1}})}},
        "passed no gate",
    ),
    (
        invariants.current_is_a_version_that_passed,
        {"deployments": [{"metadata": {"name": "blue"}, "spec": {"template": {"metadata": {}}}}]},
        "is told None",
    ),
    (
        invariants.promotions_are_by_the_holder,
        {"history": history(lease("s/v"), model(NEW, NEW_DIGEST, task="t"))},
        "while the Lease named",
    ),
    (invariants.nothing_is_left, {"jobs": [child("Job", "j", owner="gone")]}, "has no owner"),
    (invariants.nothing_is_left, {"leases": [lease("t/u")]}, "still names t/u"),
    (invariants.status_is_what_the_store_says, {"store": {}}, "and the store None"),
    (invariants.status_is_what_the_store_says, {"tasks": [task("t", "u", ("Failed", "Crash"))]}, "though its result"),
    (
        invariants.no_trial_twice,
        {"store": {"runs/u/trials/0.json": stored({"message": "p"}, 1), "runs/u/attempts/q/began-0": stored(b"", 9)}},
        "begun after its trial had ended",
    ),
    (
        invariants.the_same_key_is_one_work,
        {
            "tasks": [
                task(n, n, ("Succeeded", "x"), bestModelId=v, spec={"idempotencyKey": "k"})
                for n, v in (("a", NEW), ("b", BASE))
            ]
        },
        "published",
    ),
    (invariants.no_defect, {"defects": ["Traceback"]}, "a defect"),
]


def test_what_is_right_holds() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(("check", "change", "part"), BAD, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_wrong_is_named(check: Check, change: dict[str, Any], part: str) -> None:
    found = list(check(dataclasses.replace(GOOD, **change)))
    assert found
    assert part in found[0]


def test_every_invariant_has_a_case_that_breaks_it() -> None:
    assert {check for check, _, _ in BAD} == set(INVARIANTS)


def test_a_job_that_a_person_deleted_may_be_made_again() -> None:
    seen = dataclasses.replace(GOOD, history=history(child("Job", "j"), child("Job", "k")), deleted_by_hand={"u": 1})
    assert list(invariants.one_job_a_stage(seen)) == []


def test_a_cancelled_run_may_have_a_result() -> None:
    seen = dataclasses.replace(GOOD, tasks=[task("t", "u", ("Failed", "Cancelled"))])
    assert list(invariants.status_is_what_the_store_says(seen)) == []


def test_an_attempt_that_began_before_another_ended_is_no_repetition() -> None:
    store = {"runs/u/trials/0.json": stored({"message": "p"}, 5), "runs/u/attempts/q/began-0": stored(b"", 5)}
    assert list(invariants.no_trial_twice(dataclasses.replace(GOOD, store=store))) == []
