"""A trainer whose keys were stolen: what it writes does not reach the status as it is, and stops nothing."""

import json
from typing import Any

import pytest

Fixture = Any
STATUS_BYTES = 200_000


@pytest.mark.parametrize("what", ["params", "time", "large"])
def test_a_poisoned_progress_is_cleaned_or_ignored_and_the_run_ends(
    operator: Fixture, world: Fixture, what: str
) -> None:
    world.basics()
    world.kubectl.apply(world.task("t", metadata={"train": f"poison:{what}"}))
    task = world.until("ftt/t", lambda o: bool((o.get("status") or {}).get("completionTime")), 60)
    assert task["status"]["phase"] == "Succeeded"
    text = json.dumps(task["status"], ensure_ascii=False)
    assert len(text) < STATUS_BYTES
    assert "\u202e" not in text
    events = world.kubectl("get", "events", "-o", "json")
    assert "\\u001b" not in text + events
