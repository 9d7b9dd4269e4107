"""A task from apply to its end, on a real cluster with real pods."""

from typing import Any

import pytest

Fixture = Any
pytestmark = pytest.mark.timeout(180)


def conditions_of(task: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in task["status"]["conditions"]}


def test_a_task_trains_publishes_and_ends(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:4"}))
    training = world.until("ftt/t", lambda o: ((o.get("status") or {}).get("progress") or {}).get("percent", 0) > 0)
    assert training["status"]["progress"]["summary"].endswith("left")
    assert training["status"]["jobName"] == "t-train"
    task = world.ended("t")
    status = task["status"]
    seen = conditions_of(task)
    assert seen["Succeeded"] == ("True", "Completed"), status
    assert seen["Promoted"] == ("False", "NotRequested")
    assert seen["Ready"][0] == "True"
    assert (seen["Reconciling"][0], seen["Stalled"][0]) == ("False", "False")
    assert status["batchId"] == "b1"
    assert status["bestModelId"] in world.versions()
    assert status["progress"]["percent"] == 100
    lease = world.until("lease/bluetune-m", lambda o: not o["spec"].get("holderIdentity"))
    assert lease["metadata"]["ownerReferences"][0]["kind"] == "EmbeddingModel"
    columns = world.kubectl("get", "ftt")
    assert "Completed" in columns


def test_the_second_task_of_a_model_waits_for_the_first(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("first", metadata={"train": "sleep:3"}))
    world.until("ftt/first", lambda o: "startTime" in (o.get("status") or {}))
    world.kubectl.apply(world.task("second", batchId="b1"))
    waiting = world.until("ftt/second", lambda o: (o.get("status") or {}).get("phase") == "Waiting")
    assert waiting["status"]["queue"] == {"position": 1, "blockedBy": "first"}
    assert "jobName" not in waiting["status"]
    first = world.ended("first")
    second = world.ended("second")
    assert conditions_of(first)["Succeeded"][0] == "True"
    assert second["status"]["startTime"] >= first["status"]["completionTime"]


def test_a_busy_model_refuses_a_task_that_does_not_wait(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("holder", metadata={"train": "sleep:5"}))
    world.until("ftt/holder", lambda o: "startTime" in (o.get("status") or {}))
    world.kubectl.apply(world.task("impatient", waitOnConflict=False))
    task = world.ended("impatient", 15)
    assert task["status"]["phase"] == "Refused"
    assert conditions_of(task)["Failed"] == ("True", "Refused")
    assert "'holder' holds the model" in task["status"]["message"]


def test_nothing_new_to_learn_is_a_success_that_says_so(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.bucket.client.remove_object(world.bucket.name, "m/clickstream/b1/_SUCCESS")
    world.kubectl.apply(world.task("t"))
    task = world.ended("t")
    assert conditions_of(task)["Succeeded"] == ("True", "NoNewBatch")
    assert "passed over: 'b1' (no _SUCCESS)" in task["status"]["message"]


def test_a_batch_in_folders_of_dates_is_found_and_tried_once(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.batch("dt=2026-01-31/hour=05 00")
    world.kubectl.apply(world.task("first"))
    assert world.ended("first")["status"]["batchId"] == "dt=2026-01-31/hour=05 00"
    world.kubectl.apply(world.task("older"))
    assert world.ended("older")["status"]["batchId"] == "b1"
    world.kubectl.apply(world.task("again"))
    again = world.ended("again", 15)
    assert conditions_of(again)["Succeeded"] == ("True", "AlreadyTried")
    assert "by task 'first'" in again["status"]["message"]


def test_several_batches_are_learned_together_and_not_tried_again(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.batch("b2")
    world.kubectl.apply(world.task("both", batches={"last": 5}))
    both = world.ended("both")["status"]
    assert (both["batchId"], both["batches"]) == ("b2", {"learn": ["b2", "b1"], "replay": []})
    world.kubectl.apply(world.task("again", batches={"last": 5}))
    assert conditions_of(world.ended("again", 15))["Succeeded"] == ("True", "AlreadyTried")
    world.kubectl.apply(world.task("named", batchId="b2", batches={"last": 5}))
    assert world.ended("named")["status"]["batches"] == {"learn": ["b2", "b1"], "replay": []}
    world.batch("b3")
    world.kubectl.apply(world.task("more", batches={"last": 2, "replay": 0.5}, startFrom=both["bestModelId"]))
    more = world.ended("more")["status"]
    assert more["batches"] == {"learn": ["b3"], "replay": ["b2", "b1"], "replayShare": 0.5}


def test_a_second_task_with_the_same_key_takes_the_result_over(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("one", idempotencyKey="nightly-1", metadata={"train": "sleep:3"}))
    world.until("ftt/one", lambda o: "startTime" in (o.get("status") or {}))
    world.kubectl.apply(world.task("two", idempotencyKey="nightly-1"))
    one, two = world.ended("one"), world.ended("two")
    assert conditions_of(two)["Succeeded"] == ("True", "Duplicate")
    assert two["status"]["duplicateOf"] == "one"
    assert two["status"]["bestModelId"] == one["status"]["bestModelId"]
    world.kubectl("delete", "ftt", "one", "two")
    world.kubectl.apply(world.task("three", idempotencyKey="nightly-1"))  # as Git would apply it again
    three = world.ended("three")
    assert three["status"]["bestModelId"] == one["status"]["bestModelId"]
    assert world.kubectl("get", "jobs", "-l", "bluetune.dev/task", "-o", "name") == ""


def test_cancel_stops_the_job_and_lets_the_next_one_on(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(
        world.task("long", metadata={"train": "sleep:100"}, batchId="b1"), world.task("next", batchId="b1")
    )
    world.until("ftt/long", lambda o: (o.get("status") or {}).get("jobName") == "long-train")
    world.kubectl("patch", "ftt", "long", "--type=merge", "-p", '{"spec":{"cancel":true}}')
    task = world.ended("long")
    assert task["status"]["phase"] == "Cancelled"
    assert conditions_of(world.ended("next", 90))["Succeeded"][0] == "True"


def test_suspending_keeps_the_lock_and_resuming_goes_on(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "sleep:6"}))
    world.until("job/t-train", lambda o: (o.get("status") or {}).get("active") == 1)
    world.kubectl("patch", "ftt", "t", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    world.ready_reason("t", "Suspended")
    world.until("job/t-train", lambda o: o["spec"]["suspend"] is True)
    assert world.get("lease/bluetune-m")["spec"]["holderIdentity"].startswith("t/")
    world.kubectl("patch", "ftt", "t", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    assert conditions_of(world.ended("t", 90))["Succeeded"][0] == "True"


def test_deleting_a_running_task_frees_the_lock_when_its_pods_are_gone(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("doomed", metadata={"train": "sleep:100"}))
    world.until("ftt/doomed", lambda o: (o.get("status") or {}).get("jobName") == "doomed-train")
    world.kubectl.apply(world.task("next"))
    world.kubectl("delete", "ftt", "doomed")
    assert conditions_of(world.ended("next", 90))["Succeeded"][0] == "True"


def test_a_crash_is_retried_and_counted(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": "crash-once"}))
    task = world.ended("t", 90)
    assert conditions_of(task)["Succeeded"][0] == "True"
    assert task["status"]["attempt"] == 2


def test_a_finished_task_goes_after_its_time(operator: Fixture, world: Fixture) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", ttlSecondsAfterFinished=2))
    world.ended("t")
    world.kubectl("wait", "--for=delete", "ftt/t", "--timeout=20s")
