"""A look at the manifest precedes every patch: what follows from it."""

from datetime import UTC, datetime

import pytest

from bluetune_api.model import Rollout
from bluetune_operator.core.rollout.manifest_look import look_verdict
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.times import stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AWAY, GONE = Failure("StoreUnreachable", "no answer"), Failure("VersionNotFound", "it has no manifest.json")


def rollout(step: str) -> Rollout:
    fields = {"from": "v000000000001", "to": "v000000000002", "digest": "sha256:" + "0" * 64, "step": step}
    return Rollout.model_validate({**fields, "startedAt": stamp(NOW), "stepStartedAt": stamp(NOW), "message": "why"})


@pytest.mark.parametrize(
    ("case", "step", "problem", "becomes"),
    [
        ("it is there", "Patch", None, None),
        ("it is gone", "Patch", GONE, ("Failed", "VersionNotFound")),
        ("the store is away", "Patch", AWAY, ("Patch", "StoreUnreachable")),
        ("going back to what is there", "RollingBack", None, None),
        ("going back while the store is away", "RollingBack", AWAY, None),
        ("going back to what is gone", "RollingBack", GONE, ("Failed", "VersionNotFound")),
    ],
)
def test_what_becomes_of_the_patch(
    case: str, step: str, problem: Failure | None, becomes: tuple[str, str] | None
) -> None:
    move = look_verdict(rollout(step), problem, NOW)
    assert (move and (move.rollout.step, move.rollout.reason)) == becomes, case
    if move is not None:
        assert problem is not None
        assert problem.message in (move.rollout.message or "")
        assert move.action is None
