"""Only so many rollouts run at a time; the longest waiting is next, and going back waits for nobody."""

import random
from itertools import count
from typing import Any

import pytest

from bluetune_operator.core.kinds import DEPLOYMENTS, MODELS, Object
from bluetune_operator.core.rollout.turns import has_turn, queue_of, takes_a_turn
from unit.operator_model.scene import NEW, OLD, Scene

STAMP = "2026-01-01T00:00:00Z"
VERSIONS = count(1)


def model(name: str, step: str | None = None, *, ready: str = "RollingOut", **rollout: Any) -> Object:
    status: Object = {"conditions": [{"type": "Ready", "status": "True", "reason": ready}]}
    if step is not None:
        status["rollout"] = {"step": step, **rollout}
    metadata = {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": STAMP}
    store = {"endpoint": "s:9000", "bucket": "bucket", "prefix": name}
    return {
        "metadata": {**metadata, "resourceVersion": str(next(VERSIONS))},
        "spec": {"store": store},
        "status": status,
    }


def waiting(name: str, since: str = STAMP, **more: Any) -> Object:
    return model(name, "Patch", queuedSince=since, reason="RolloutQueued", **more)


EARLIER = "2025-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("others", "starting", "expected"),
    [
        ([], [], True),
        ([model("a", "Wait")], [], True),
        ([model("a", "Wait"), model("b", "Reindex")], [], False),
        ([model("a", "Wait")], ["b"], False),
        ([model("a", "Wait")], ["a"], True),
        ([model("a", "Done"), model("b", "Failed"), model("c")], [], True),
        ([model("a", "RollingBack"), model("b", "Promote")], [], False),
        ([model("a", "Wait"), model("b", "Patch", reason="ScaledToZero")], [], True),
        ([model("a", "Wait"), model("b", "Wait", ready="InvalidSpec")], [], True),
        ([model("a", "Wait"), waiting("b", ready="InvalidSpec")], [], True),
        ([model("a", "Wait"), model("b", "Canary")], [], True),
        ([model("a", "Wait"), waiting("b")], [], False),
        ([waiting("a"), waiting("b")], [], False),
        ([waiting("a")], [], True),
    ],
)
def test_a_rollout_that_is_due_starts_if_there_is_room_behind_all_that_wait(
    others: list[Object], starting: list[str], expected: bool
) -> None:
    assert has_turn(("ns", "me"), [*others, model("me")], [("ns", name) for name in starting], most=2) == expected


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], True),
        ([model("a", "Wait")], True),
        ([model("a", "Wait"), model("b", "Wait")], False),
        ([model("a", "Wait"), waiting("z")], True),
        ([model("a", "Wait"), waiting("b")], False),
        ([model("a", "Wait"), waiting("z", EARLIER)], False),
        ([model("a", "Wait"), waiting("b", EARLIER, ready="InvalidSpec")], True),
    ],
)
def test_of_those_that_wait_the_longest_waiting_starts(others: list[Object], expected: bool) -> None:
    assert has_turn(("ns", "me"), [*others, waiting("me")], (), most=2) == expected


@pytest.mark.parametrize("seed", range(20))
def test_however_they_come_and_go_the_limit_holds_and_all_have_their_turn_in_order(seed: int) -> None:
    chance, most = random.Random(seed), 3
    models = {f"m{n:02d}": model(f"m{n:02d}") for n in range(12)}
    due, begun = list(models), list[str]()
    for moment in range(2000):
        running = [name for name, each in models.items() if takes_a_turn(each)]
        assert len(running) <= most
        if due and chance.random() < 0.3:
            name = due.pop(chance.randrange(len(due)))
            models[name] = waiting(name, f"{moment:05d}")
            if has_turn(("ns", name), [each for each in models.values() if each is not models[name]], (), most):
                models[name] = model(name, "Wait", since=moment)
                begun.append(name)
        if running and chance.random() < 0.2:
            name = chance.choice(running)
            models[name] = model(name, "Done")
        for _, name in chance.sample(queue_of(models.values()), len(queue_of(models.values()))):
            first = queue_of(models.values())[0][1]
            if has_turn(("ns", name), models.values(), (), most):
                assert name == first or len(running) + 2 <= most
                models[name] = model(name, "Wait")
                begun.append(name)
    assert sorted(begun) == sorted(models)


def crowded(**serving: Any) -> Scene:
    """A model at rest, beside five others that are being rolled out."""
    scene = Scene(rolloutTimeoutSeconds=60, **serving)
    scene.look(2)
    for n in range(5):
        scene.cache.put(MODELS, model(f"other-{n}", "Wait"))
    return scene


def others_end(scene: Scene) -> None:
    scene.cache.put(MODELS, model("other-0", "Done"))


def taken_out(scene: Scene) -> None:
    """Somebody takes the version out of the Deployment."""
    template = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]
    template["metadata"]["annotations"] = {}
    template["spec"]["containers"][0]["env"] = []


def test_a_rollout_waits_for_its_turn_says_so_and_has_all_its_time_then() -> None:
    scene = crowded()
    taken_out(scene)
    scene.look(10, seconds=3600)
    assert scene.kube.written == []
    assert scene.conditions[-1][1] == "RolloutQueued"
    assert "5 rollouts run at a time" in scene.conditions[-1][2]
    reconciling = next(c for c in scene.status["conditions"] if c["type"] == "Reconciling")
    assert (reconciling["status"], reconciling["reason"]) == ("True", "RolloutQueued")
    since = scene.rollout["queuedSince"]
    assert scene.rollout["startedAt"] == since, "the order of the queue"
    others_end(scene)
    scene.look()
    assert "queuedSince" not in scene.rollout
    assert scene.rollout["startedAt"] > since
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    assert scene.told() == OLD


def test_a_waiting_rollout_is_written_once() -> None:
    scene = crowded()
    taken_out(scene)
    scene.look()
    version = scene.kube.objects[MODELS.plural, "shop"]["metadata"]["resourceVersion"]
    scene.look(1)
    after = scene.kube.objects[MODELS.plural, "shop"]["metadata"]["resourceVersion"]
    scene.look(5, seconds=600)
    assert scene.kube.objects[MODELS.plural, "shop"]["metadata"]["resourceVersion"] == after
    assert int(after) - int(version) <= 1


def test_going_back_by_hand_waits_for_nobody() -> None:
    scene = crowded()
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    assert scene.told() == NEW


def test_going_back_by_hand_does_not_wait_behind_a_rollout_of_its_own_that_waits() -> None:
    scene = crowded()
    taken_out(scene)
    scene.look(2)
    assert scene.rollout["queuedSince"]
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    assert scene.told() == NEW


def test_a_rollout_that_fails_goes_back_while_others_run() -> None:
    scene = Scene(rolloutTimeoutSeconds=60)
    scene.look(2)
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    for n in range(9):
        scene.cache.put(MODELS, model(f"other-{n}", "Wait"))
    scene.until("RollingBack", seconds=20)
    scene.roll()
    scene.until("Failed")
    assert scene.told() == OLD


def test_serving_that_is_removed_ends_a_rollout_that_waits_with_nothing_touched() -> None:
    scene = crowded()
    taken_out(scene)
    scene.look(2)
    before = list(scene.kube.written)
    scene.edit(serving=None)
    scene.look()
    assert (scene.rollout["step"], scene.rollout["reason"]) == ("Failed", "ServingRemoved")
    assert [verb for verb, _ in scene.kube.written[len(before) :]] == ["patch"], "its fields are given back"


def test_the_next_are_woken_when_a_rollout_ends() -> None:
    scene, woken = Scene(rolloutTimeoutSeconds=60), list[str]()
    scene.wake = woken.append
    scene.look(2)
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    scene.cache.put(MODELS, waiting("next"))
    scene.roll()
    assert "next" not in woken
    scene.until("Done")
    assert "next" in woken


def test_of_those_that_begin_at_the_same_instant_no_more_start_than_may() -> None:
    scene = crowded()
    others_end(scene)
    turns = scene.reconciler._turns
    assert turns.take(model("first"))
    assert not turns.take(model("second")), "the first one's status is not written yet"
    turns.release("ns", "first")
    assert turns.take(model("second"))
