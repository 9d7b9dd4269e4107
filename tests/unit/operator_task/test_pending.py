"""How long a task may hold the lock without a pod."""

from datetime import UTC, datetime

import pytest

from bluetune_api.reasons import Reason
from bluetune_operator.core.jobs.state import WAITING
from bluetune_operator.core.tasks.pending import NO_POD, Pending, pending, timeout_message

NOW = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)
STAMP, BEFORE = "2026-01-01T00:01:00Z", "2026-01-01T00:00:30Z"


@pytest.mark.parametrize(
    ("reason", "since", "limit", "expected"),
    [
        # a pod runs, or none is wanted: there is no wait, and one that was is over
        ("Training", None, 60, Pending(None)),
        ("Training", BEFORE, 60, Pending(None)),
        ("Suspended", BEFORE, 1, Pending(None)),
        ("StoreUnreachable", BEFORE, 1, Pending(None)),
        # a pod that may still run: the lock would not be free
        ("PodStuck", BEFORE, 1, Pending(None)),
        ("Terminating", BEFORE, 1, Pending(None)),
        ("JobDeleted", BEFORE, 1, Pending(None)),
        # the wait begins
        ("Starting", None, None, Pending(STAMP)),
        ("Starting", None, 60, Pending(STAMP, 60)),
        # it goes on, whatever the reason is meanwhile
        ("Unschedulable", BEFORE, None, Pending(BEFORE)),
        ("Unschedulable", BEFORE, 60, Pending(BEFORE, 30)),
        ("PodRefused", BEFORE, 60, Pending(BEFORE, 30)),
        ("Queued", BEFORE, 31, Pending(BEFORE, 1)),
        # it is too long
        ("ImagePullBackOff", BEFORE, 30, Pending(BEFORE, 0)),
        ("Queued", BEFORE, 10, Pending(BEFORE, 0)),
        ("JobRefused", BEFORE, 10, Pending(BEFORE, 0)),
    ],
)
def test_the_wait_for_a_pod(reason: Reason, since: str | None, limit: int | None, expected: Pending) -> None:
    assert pending(reason, since, limit, NOW) == expected


def test_each_reason_why_a_container_does_not_start_counts() -> None:
    reasons = {reason for reason, _ in WAITING.values()}
    assert reasons - NO_POD == {"CrashLoopBackOff"}  # which a pod that is never restarted cannot have


def test_the_message_names_the_field_and_the_last_reason() -> None:
    said = timeout_message(60, "Unschedulable: no node fits")
    assert "spec.pendingTimeoutSeconds" in said
    assert "60 s" in said
    assert said.endswith("Unschedulable: no node fits")
