"""A newer operator or trainer left statuses and records that this operator cannot read: nothing is written over,
nothing begins anew, and all goes on when an operator that can read them is back."""

import json
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_operator.core.kinds import JOBS, LEASES, MODELS, TASKS, Kind, Object, condition, lease_name
from bluetune_operator.core.unreadable_status import UNREADABLE
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import at_work, kubernetes_works, operator_works, said
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL

NEWER: dict[str, dict[str, Any]] = {
    "phase": {"phase": "Canarying"},
    "progress": {"progress": {"percent": "most of it", "updatedAt": "2026-01-01T00:00:00Z"}},
}


def get(system: System, kind: Kind, name: str) -> Object:
    found = system.world.server.get(kind, name)
    assert found is not None
    return copied(found)


def newer(system: System, kind: Kind, name: str, **status: Any) -> Object:
    """A newer operator writes into a status; what it was before."""
    before = get(system, kind, name)
    system.world.server.put("newer", kind, {**before, "status": {**before["status"], **status}})
    return before


def readable(system: System, kind: Kind, name: str, before: Object) -> None:
    """An operator is back that can read it: here, the fields are what they were. The condition stays."""
    now = get(system, kind, name)
    status = {**before["status"], "conditions": now["status"]["conditions"]}
    system.world.server.put("newer", kind, {**now, "status": status})


def without_warning(status: Object) -> Object:
    return {**status, "conditions": [c for c in status.get("conditions") or () if c["type"] != UNREADABLE]}


def goes_on(system: System) -> None:
    for _ in range(20):
        kubernetes_works(system, succeed=True)
        operator_works(system)


@pytest.mark.parametrize("stage", ["check", "train"])
@pytest.mark.parametrize("what", NEWER)
def test_a_task_at_work_is_left_as_it_is_and_goes_on_later(stage: str, what: str) -> None:
    system = at_work(stage)
    before = newer(system, TASKS, "a", **NEWER[what])
    kept, jobs = get(system, TASKS, "a")["status"], system.world.server.all(JOBS)
    operator_works(system)
    task = get(system, TASKS, "a")
    assert without_warning(task["status"]) == kept
    warning = condition(task, UNREADABLE) or {}
    assert warning["status"] == "True"
    assert f"status.{what}" in warning["message"]
    assert "upgrade the operator" in warning["message"]
    assert [level for level, reason, _ in system.operators[0].told if reason == UNREADABLE] == ["Warning"]
    assert [job["metadata"]["uid"] for job in system.world.server.all(JOBS)] == [j["metadata"]["uid"] for j in jobs]

    goes_on(system)  # its Job ends, and nothing comes after it
    assert without_warning(get(system, TASKS, "a")["status"]) == kept
    lease = get(system, LEASES, lease_name(MODEL))
    assert lease["spec"]["holderIdentity"].startswith("a/")
    assert len(system.operators[0].told) == len({*system.operators[0].told}), "said once"

    readable(system, TASKS, "a", before)
    goes_on(system)
    assert said(system)[0] == "Completed"
    after = get(system, TASKS, "a")
    assert after["status"]["batchId"] == before["status"]["batchId"]
    assert (condition(after, UNREADABLE) or {})["status"] == "False"
    assert {job["metadata"]["name"] for job in system.world.server.all(JOBS)} == {"a-check", "a-train"}


def test_a_task_that_only_waits_lets_others_pass() -> None:
    system = at_work("check")
    system.world.add("b")
    system.world.add("c")
    operator_works(system)
    newer(system, TASKS, "b", **NEWER["phase"])
    goes_on(system)
    assert [said_by(system, name) for name in ("a", "c")] == ["Completed", "Completed"]
    assert get(system, TASKS, "b")["status"]["phase"] == "Canarying"
    assert system.world.server.get(JOBS, "b-check") is None


def test_a_model_is_left_as_it_is_and_its_tasks_wait() -> None:
    system = at_work("train")
    before = newer(system, MODELS, MODEL, rollout={"step": "Canary"})
    kept = get(system, MODELS, MODEL)["status"]
    operator_works(system)
    goes_on(system)
    model = get(system, MODELS, MODEL)
    assert without_warning(model["status"]) == kept
    assert "status.rollout" in (condition(model, UNREADABLE) or {})["message"]
    assert said_by(system, "a") == "ModelNotReady"
    assert (UNREADABLE, "Warning") in {(reason, level) for level, reason, _ in system.operators[0].told}

    readable(system, MODELS, MODEL, before)
    goes_on(system)
    assert said_by(system, "a") == "Completed"
    assert (condition(get(system, MODELS, MODEL), UNREADABLE) or {})["status"] == "False"


def test_a_cancelled_task_whose_model_cannot_be_read_is_not_called_cancelled_while_blue_may_serve_it() -> None:
    system = System(1, serving=True)
    model = get(system, MODELS, MODEL)
    model["spec"]["serving"]["gate"] = {"confidence": 0}
    system.world.server.put("person", MODELS, model)
    system.world.add("a", deployAsBlue=True)
    for _ in range(1000):
        steps = system.work(system.operators[0]) or system.world_moves(system.world.kubernetes())
        system.apply((steps or system.timers(system.operators[0]))[0])
        if (condition(get(system, TASKS, "a"), "Promoted") or {}).get("reason") == "RolloutRequested":
            break
    else:
        raise AssertionError("no rollout")
    before = newer(system, MODELS, MODEL, rollout={"step": "Canary"})
    system.apply(("world", "cancel", "a"))
    operator_works(system)
    assert said_by(system, "a") == "Cancelling"
    readable(system, MODELS, MODEL, before)
    goes_on(system)
    assert get(system, TASKS, "a")["status"]["phase"] in ("Cancelled", "Succeeded")


def test_fields_that_it_does_not_know_are_kept_and_change_nothing() -> None:
    system = at_work("check")
    newer(system, TASKS, "a", canary={"percent": 5})
    newer(system, MODELS, MODEL, quota={"gpus": 2})
    goes_on(system)
    assert said(system)[0] == "Completed"
    assert get(system, TASKS, "a")["status"]["canary"] == {"percent": 5}
    assert get(system, MODELS, MODEL)["status"]["quota"] == {"gpus": 2}


def test_words_of_conditions_that_it_does_not_know_are_read() -> None:
    system = at_work("check")
    task = get(system, TASKS, "a")
    said_newly = {"type": "Approved", "status": "Unknown", "reason": "AwaitingApproval", "message": "x"}
    conditions = [*task["status"]["conditions"], {**said_newly, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    for each in conditions:
        if each["type"] == "Ready":
            each["reason"] = "SomethingNew"
    newer(system, TASKS, "a", conditions=conditions)
    goes_on(system)
    assert said(system)[0] == "Completed"
    assert (condition(get(system, TASKS, "a"), "Approved") or {})["reason"] == "AwaitingApproval"


def test_a_task_whose_spec_is_refused_keeps_the_rest_of_its_status() -> None:
    system = at_work("train")
    task = get(system, TASKS, "a")
    system.world.server.put("person", TASKS, {**task, "spec": {**task["spec"], "priority": "high"}})
    operator_works(system)
    after = get(system, TASKS, "a")["status"]
    assert said_by(system, "a") == "SpecInvalid"
    for field in ("batchId", "startVersion", "jobName", "phase"):
        assert after[field] == task["status"][field]
    assert (condition({"status": after}, "LockAcquired") or {})["status"] == "True"


@pytest.mark.parametrize("stage", ["check", "train"])
@pytest.mark.parametrize(
    ("more", "reason"), [({"ofANewerRelease": 1}, "Completed"), ({"formatVersion": 9}, "FormatTooNew")]
)
def test_what_a_newer_trainer_wrote_is_read_or_waits_for_the_operator(
    stage: str, more: dict[str, Any], reason: str
) -> None:
    system = at_work(stage)
    uid, store = get(system, TASKS, "a")["metadata"]["uid"], system.world.store
    key = store_layout.check(uid) if stage == "check" else store_layout.result(uid)
    kubernetes_works(system, succeed=True)  # the operator has not looked yet
    before = store.kept[key]
    store.kept[key] = json.dumps({**json.loads(before), **more}).encode()
    goes_on(system)
    assert said_by(system, "a") == reason
    if reason == "FormatTooNew":
        assert "upgrade the operator" in get(system, TASKS, "a")["status"]["message"]
        store.kept[key] = before  # as an operator reads it that knows the format
        goes_on(system)
        assert said_by(system, "a") == "Completed"


def said_by(system: System, name: str) -> str:
    return str((condition(get(system, TASKS, name), "Ready") or {}).get("reason"))
