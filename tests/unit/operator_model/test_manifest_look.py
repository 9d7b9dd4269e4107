"""A look at the manifest precedes every patch: what follows from it."""

from datetime import UTC, datetime, timedelta

import pytest

from bluetune_api.model import Rollout, Serving
from bluetune_operator.core.manifest_look import look_verdict
from bluetune_operator.core.rollout import Failure
from bluetune_operator.core.times import stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVING = Serving(deployment="blue", container="server", rollout_timeout_seconds=60)
AWAY, GONE = Failure("StoreUnreachable", "no answer"), Failure("VersionNotFound", "it has no manifest.json")


def rollout(step: str) -> Rollout:
    fields = {"from": "v000000000001", "to": "v000000000002", "digest": "sha256:" + "0" * 64, "step": step}
    return Rollout.model_validate({**fields, "startedAt": stamp(NOW), "stepStartedAt": stamp(NOW), "message": "why"})


@pytest.mark.parametrize(
    ("case", "step", "problem", "seconds", "becomes"),
    [
        ("it is there", "Patch", None, 0, None),
        ("it is gone", "Patch", GONE, 0, "Failed"),
        ("the store is away", "Patch", AWAY, 59, "Patch"),
        ("the store is away for long", "Patch", AWAY, 61, "Failed"),
        ("going back to what is there", "RollingBack", None, 0, None),
        ("going back while the store is away", "RollingBack", AWAY, 0, None),
        ("going back to what is gone", "RollingBack", GONE, 0, "Failed"),
    ],
)
def test_what_becomes_of_the_patch(
    case: str, step: str, problem: Failure | None, seconds: int, becomes: str | None
) -> None:
    move = look_verdict(rollout(step), problem, SERVING, NOW + timedelta(seconds=seconds))
    assert (move.rollout.step if move else None) == becomes, case
    if move is not None:
        assert problem is not None
        assert problem.message in (move.rollout.message or "")
        assert move.action is None
