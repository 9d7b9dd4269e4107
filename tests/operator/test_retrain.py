"""A model that makes its tasks by itself, on a real cluster: each batch once, whatever dies or is away meanwhile."""

import json
import time
from typing import Any

import pytest

Fixture = Any
pytestmark = pytest.mark.timeout(1000)

MADE = "bluetune.dev/made-by=retrain"


def retraining(model: dict[str, Any]) -> dict[str, Any]:
    return next((c for c in (model.get("status") or {}).get("conditions") or [] if c["type"] == "Retraining"), {})


def runs(model: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ((model.get("status") or {}).get("retrain") or {}).get("runs") or []
    return found


def retrain(world: Fixture, **spec: Any) -> None:
    patch = {"spec": {"retrain": {"triggers": [{"newBatch": {}}], **spec}}}
    world.kubectl("patch", "emodel", "m", "--type=merge", "-p", json.dumps(patch))


def ended_runs(world: Fixture, count: int, seconds: float) -> list[dict[str, Any]]:
    model = world.until(
        "emodel/m", lambda o: len(runs(o)) == count and all("outcome" in run for run in runs(o)), seconds
    )
    return runs(model)


def made(world: Fixture) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.kubectl.json("get", "ftt", "-l", MADE)["items"]
    return found


def test_tasks_come_by_themselves_and_each_batch_once_through_an_outage(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("mine", batchId="b1"))
    world.ended("mine", 90)
    for name in ("b2", "b3"):
        world.batch(name)
    retrain(world, brakes={"maxRunsPerWeek": 20}, history={"succeeded": 1}, template={"metadata": {"by": "retrain"}})
    first = ended_runs(world, 2, 240)
    assert [run["batchId"] for run in first] == ["b3", "b2"]
    assert {run["outcome"] for run in first} == {"Published"}
    world.kubectl.apply(world.secret(AWS_SECRET_ACCESS_KEY="wrong"))
    world.batch("b4")
    model = world.until("emodel/m", lambda o: retraining(o).get("reason") == "StoreDenied", 120)
    assert retraining(model)["status"] == "Unknown"
    assert "postponed" in retraining(model)["message"]
    world.kubectl.apply(world.secret())
    all_runs = ended_runs(world, 3, 240)
    assert [run["batchId"] for run in all_runs] == ["b3", "b2", "b4"]
    world.until("emodel/m", lambda o: retraining(o).get("reason") == "WaitingForBatch", 120)
    deadline = time.monotonic() + 120  # the next look removes them
    while len(made(world)) > 1 and time.monotonic() < deadline:
        time.sleep(0.5)
    (kept,) = made(world)
    assert kept["metadata"]["name"] == all_runs[-1]["task"]
    assert kept["spec"]["metadata"] == {"by": "retrain"}
    assert kept["metadata"]["ownerReferences"][0]["kind"] == "EmbeddingModel"
    assert world.get("ftt/mine")["status"]["phase"] == "Succeeded"
    assert "NEXT RUN" in world.kubectl("get", "emodel", "-o", "wide").upper()
    world.kubectl("delete", "emodel", "m")
    world.kubectl("wait", "--for=delete", f"ftt/{kept['metadata']['name']}", "--timeout=60s")
    assert world.get("ftt/mine")


def test_killed_after_every_single_write_it_makes_one_task_for_a_batch(operator: Fixture, world: Fixture) -> None:
    world.basics()
    operator.end()
    retrain(world)
    seen: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 900
    while not any("outcome" in run for run in runs(world.get("emodel/m"))):
        assert time.monotonic() < deadline, world.get("emodel/m")["status"]
        operator.start(BLUETUNE_CRASH_AFTER="1")
        assert operator.process.wait(120) == 137
        seen |= {(task["metadata"]["name"], task["metadata"]["uid"]) for task in made(world)}
    assert len(seen) == 1
    (run,) = runs(world.get("emodel/m"))
    assert (run["batchId"], run["outcome"]) == ("b1", "Published")
    operator.start()
    world.until("emodel/m", lambda o: retraining(o).get("reason") == "WaitingForBatch", 120)
    assert len(made(world)) == 1


def test_a_batch_that_is_too_small_trains_nothing_and_counts_as_no_run(operator: Fixture, world: Fixture) -> None:
    world.basics()
    retrain(world, minSessions=1)  # the stand-in's check finds no informative sessions
    model = world.until("emodel/m", lambda o: retraining(o).get("reason") == "WaitingForBatch", 180)
    (task,) = made(world)
    assert (task["status"]["phase"], task["spec"]["minSessions"]) == ("Succeeded", 1)
    succeeded = next(c for c in task["status"]["conditions"] if c["type"] == "Succeeded")
    assert succeeded["reason"] == "TooFewSessions"
    assert runs(model) == []
    assert "train" not in world.kubectl("get", "jobs", "-o", "name")


def test_a_schedule_without_a_zone_that_exists_is_said_at_once(operator: Fixture, world: Fixture) -> None:
    world.basics()
    retrain(world, triggers=[{"schedule": "0 3 * * *", "timeZone": "Mars/Base"}])
    model = world.until("emodel/m", lambda o: retraining(o).get("reason") == "ScheduleInvalid", 30)
    assert "triggers[0].timeZone" in retraining(model)["message"]
    retrain(world, triggers=[{"schedule": "* * * * *", "timeZone": "Europe/Berlin"}])
    assert ended_runs(world, 1, 240)[0]["trigger"] == "Schedule"
