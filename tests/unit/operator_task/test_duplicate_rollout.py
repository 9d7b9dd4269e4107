"""A task that takes over another one's result by its key, and asked for a rollout which that one did not ask for."""

import random

from bluetune_operator.core.kinds import TASKS, condition
from unit.operator_lock_model.system import System


def test_a_duplicate_that_asks_for_a_rollout_says_that_there_is_none() -> None:
    system = System(1, serving=True)
    system.world.add("a", idempotencyKey="k")
    system.run_dry(random.Random(0))
    system.world.add("b", idempotencyKey="k", deployAsBlue=True)
    system.run_dry(random.Random(0))
    task = system.world.server.get(TASKS, "b")
    assert task is not None
    said = condition(task, "Promoted")
    assert said is not None
    assert (said["status"], said["reason"]) == ("False", "NotRequested")
    assert task["status"]["bestModelId"] in said["message"]
    assert "serving.promote" in said["message"]
    assert condition(task, "Succeeded")["reason"] == "Duplicate"  # type: ignore[index]
