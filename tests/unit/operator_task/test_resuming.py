"""Jobs that others suspend are resumed a few times, later each time, and no more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bluetune_operator.core.jobs.resuming import FIRST_SECONDS, MAX_RESUMES, RESUMED, resumed_once_more, undone
from bluetune_operator.core.tasks.jobs import suspension
from bluetune_operator.core.times import stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(resumed: str | None = None, *, suspend: bool = True) -> dict[str, Any]:
    annotations = {} if resumed is None else {RESUMED: resumed}
    metadata = {"name": "t-train", "resourceVersion": "5", "annotations": annotations}
    return {"metadata": metadata, "spec": {"suspend": suspend}}


@pytest.mark.parametrize(
    ("resumed", "left"),
    [
        (None, "now"),
        ("1 2026-01-01T00:00:00Z", 10.0),
        ("1 2025-12-31T23:59:50Z", "now"),
        ("2 2025-12-31T23:59:50Z", 10.0),
        ("5 2026-01-01T00:00:00Z", 160.0),
        ("6 2020-01-01T00:00:00Z", None),
        ("edited", "now"),
        ("1 by hand", "now"),
    ],
)
def test_when_a_suspended_job_is_resumed(resumed: str | None, left: float | str | None) -> None:
    found = undone(job(resumed), NOW)
    assert ("now" if found is None else found.left) == left


def test_against_one_who_always_suspends_it_the_writes_have_an_end() -> None:
    now, thing, writes = NOW, job(), 0
    for _ in range(1000):
        found = undone(thing, now)
        if found is None:
            patch = suspension(thing, suspend=False, now_stamp=stamp(now))
            assert patch is not None
            thing["metadata"]["annotations"] |= patch["metadata"]["annotations"]  # and it is suspended again at once
            writes += 1
        elif found.left is None:
            break
        now += timedelta(seconds=found.left if found else 0)
    assert writes == MAX_RESUMES
    assert now - NOW == timedelta(seconds=FIRST_SECONDS * (1 + 2 + 4 + 8 + 16))
    assert "queueName" in undone(thing, now).message  # type: ignore[union-attr]


def test_a_suspension_of_the_operators_own_is_not_counted() -> None:
    running = job(resumed_once_more(job(), "2026-01-01T00:00:00Z"), suspend=False)
    patch = suspension(running, suspend=True, now_stamp="2026-01-01T00:00:00Z")
    assert patch is not None
    assert patch["metadata"]["annotations"] == {RESUMED: None}
    assert undone(job(), NOW) is None
