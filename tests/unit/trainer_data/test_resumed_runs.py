"""A run takes over what an earlier one finished: whole, once, and only if both have the same plan and the same data."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.objectstore import LocalStore, StoreUnreachable
from bluetune_api.records import CheckReport, Lineage, MethodPlan, PinnedObject, Plan, Resumed, RunPrecision, Trial
from bluetune_api.task import EarlierRun
from bluetune_trainer.errors import PlanInvalid, StoreDamaged
from bluetune_trainer.store.resuming import take_over
from bluetune_trainer.store.runs import StoredTrials, create, keep_plan, keep_precision, read
from unit.trainer_data.test_runs import _model, _plan

DATA = PinnedObject(key="clickstream/b/p.jsonl", etag="e1", size=3)
ITEMS = PinnedObject(key="items/i.jsonl", etag="e2", size=4)
COUNTS = ("sessions", "sessions_with_clicks", "positives", "results", "duplicates", "broken_lines", "catalogue_size")


def check(**changes: Any) -> CheckReport:
    fields: dict[str, Any] = {"valid": True, "batch_id": "b", "batch": [DATA], "items": [ITEMS], "coverage": 1.0}
    return CheckReport(**{**fields, **dict.fromkeys(COUNTS, 9), **changes})


def plan(uid: str, earlier: str | None = None, **changes: Any) -> Plan:
    made = _plan(**changes)
    goes_on_from = EarlierRun(task=f"task-{earlier}", uid=earlier) if earlier else None
    return made.model_copy(update={"owner": made.owner.model_copy(update={"uid": uid}), "resume_from": goes_on_from})


def trial(number: int, quality: float | None = 0.5, **fields: Any) -> Trial:
    return Trial(trial=number, status="ok" if quality else "fail", params={"margin": 0.1}, quality=quality, **fields)


def begun(store: LocalStore, tmp_path: Path, uid: str = "u1") -> None:
    """A run with three trials that ended, of which number 1 is the best; one waits at a rung, one is under way."""
    keep_plan(store, plan(uid))
    create(store, store_layout.check(uid), check())
    create(store, store_layout.lineage(uid), Lineage())
    keep_precision(store, uid, RunPrecision(precision="BF16", machine="then"))
    log = StoredTrials(store, uid)
    for number, quality in ((0, 0.4), (1, 0.6), (2, None)):
        model = _model(tmp_path / f"{uid}-{number}", f"weights {number}") if quality else None
        log.record(trial(number, quality), model)
    log.record_rung(trial(3, 0.3, rungs=[0.3]))
    for number in (3, 4):
        (tmp_path / "state").write_text(f"state {number}")
        log.keep_checkpoint(number, tmp_path / "state")


def contents(store: LocalStore, uid: str) -> dict[str, bytes]:
    """All that a run's folder holds but its plan and the word of what it took over."""
    own = (store_layout.plan(uid), store_layout.resumed(uid), store_layout.check(uid))
    prefix = store_layout.run(uid)
    return {info.key.removeprefix(prefix): store.get(info.key) for info in store.list(prefix) if info.key not in own}


def test_all_that_the_next_attempt_of_the_earlier_run_would_find_is_taken_over(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    before = contents(store, "u1")
    assert "best/1/model.safetensors" in before
    assert {"trials/0.json", "trials/2.json", "rungs/3-0.json", "checkpoints/4.safetensors"} <= before.keys()
    keep_plan(store, plan("u2", "u1"))
    record = take_over(store, plan("u2", "u1"), check())
    assert contents(store, "u2") == before
    assert (record.trials, record.waiting) == (3, 1) if record else False
    for info in list(store.list("runs/u1/")):  # as a rule of the bucket may remove it
        store.delete(info.key)
    assert take_over(store, plan("u2", "u1"), check()) == record
    StoredTrials(store, "u2").fetch_best(1, tmp_path / "back")


def test_a_run_that_goes_on_from_none_takes_nothing_over(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    assert take_over(store, plan("u2"), check()) is None
    assert contents(store, "u2") == {}


def test_an_attempt_that_dies_at_any_write_is_made_good_by_the_next(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    whole = contents(store, "u1")
    real = {name: getattr(store, name) for name in ("put", "create", "upload")}
    left = 0

    def dying(name: str) -> Any:
        def write(*given: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise StoreUnreachable("no answer")
            left -= 1
            return real[name](*given, **more)

        return write

    for name in real:
        setattr(store, name, dying(name))
    for writes in range(30):
        left = writes
        uid = f"x{writes}"
        try:
            take_over(store, plan(uid, "u1"), check())
        except StoreUnreachable:
            assert read(store, store_layout.resumed(uid), Resumed) is None
            left = 1000
            take_over(store, plan(uid, "u1"), check())
            assert contents(store, uid) == whole
        else:
            assert writes > 8
            return
    raise AssertionError("never whole")


def test_what_a_run_has_trained_since_is_not_written_over(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    take_over(store, plan("u2", "u1"), check())
    ours = StoredTrials(store, "u2")
    (tmp_path / "state").write_text("further")
    ours.keep_checkpoint(3, tmp_path / "state")
    take_over(store, plan("u2", "u1"), check())
    assert store.get(store_layout.checkpoint("u2", 3)) == b"further"


@pytest.mark.parametrize(
    ("changes", "checked", "said"),
    [
        ({"batch_id": "other"}, {}, 'batchId was "b" and is now "other"'),
        ({"method": MethodPlan(initial_max_evals=3)}, {}, "method.initialMaxEvals was absent and is now 3"),
        ({}, {"batch": [DATA.model_copy(update={"etag": "e9"})]}, "clickstream/b/p.jsonl has changed"),
        ({}, {"batch": [DATA, DATA.model_copy(update={"key": "clickstream/b/q.jsonl"})]}, "b/q.jsonl has changed"),
        ({}, {"items": []}, "items/i.jsonl has changed"),
        ({}, {"replay": [DATA]}, "has changed since task 'task-u1' read it"),
    ],
)
def test_trials_of_another_plan_or_of_other_data_are_refused(
    store: Any, tmp_path: Path, changes: dict[str, Any], checked: dict[str, Any], said: str
) -> None:
    begun(store, tmp_path)
    with pytest.raises(PlanInvalid, match="start a task without resumeFrom") as refused:
        take_over(store, plan("u2", "u1", **changes), check(**checked))
    assert said in refused.value.message
    assert refused.value.reason == "ResumeRefused"
    assert contents(store, "u2") == {}


def test_judgments_that_changed_since_are_refused(store: Any, tmp_path: Path) -> None:
    judged = json.loads(_plan().gate.model_dump_json()) | {"judgments": "judged/q.jsonl"}
    gate = type(_plan().gate).model_validate(judged)
    store.write("judged/q.jsonl", {"query": "lamp", "object_id": "a", "grade": 1})
    create(store, store_layout.plan("u1"), plan("u1", gate=gate))
    create(store, store_layout.check("u1"), check())
    assert take_over(store, plan("u2", "u1", gate=gate), check()) is not None
    later = store.stat(store_layout.plan("u1")).modified + 5
    path = next(tmp_path.rglob("q.jsonl"))
    os.utime(path, (later, later))
    with pytest.raises(PlanInvalid, match=r"judged/q.jsonl \(gate.judgments\) has changed"):
        take_over(store, plan("u3", "u1", gate=gate), check())


@pytest.mark.parametrize("gone", [store_layout.plan, store_layout.check])
def test_a_run_that_left_nothing_is_refused(store: Any, tmp_path: Path, gone: Any) -> None:
    begun(store, tmp_path)
    store.delete(gone("u1"))
    with pytest.raises(PlanInvalid, match=r"runs/u1/\w+\.json does not exist"):
        take_over(store, plan("u2", "u1"), check())


def test_a_best_model_that_is_gone_is_no_silent_loss(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    store.delete(store_layout.best("u1") + "1/model.safetensors")
    with pytest.raises(StoreDamaged, match="is missing"):
        take_over(store, plan("u2", "u1"), check())


def test_a_run_that_died_before_it_had_taken_anything_over_leads_to_the_one_before(store: Any, tmp_path: Path) -> None:
    begun(store, tmp_path)
    keep_plan(store, plan("u2", "u1"))
    record = take_over(store, plan("u3", "u2"), check())
    assert record is not None
    assert record.earlier == EarlierRun(task="task-u1", uid="u1")
    create(store, store_layout.check("u3"), check())
    keep_plan(store, plan("u3", "u2"))
    last = take_over(store, plan("u4", "u3"), check())
    assert last is not None
    assert last.earlier.uid == "u3"
    assert contents(store, "u4") == contents(store, "u1")


def test_runs_that_name_each_other_are_refused(store: Any) -> None:
    for uid, earlier in (("u1", "u2"), ("u2", "u1")):
        keep_plan(store, plan(uid, earlier))
    with pytest.raises(PlanInvalid, match="left nothing to go on from"):
        take_over(store, plan("u3", "u1"), check())
