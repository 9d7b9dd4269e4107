"""Before the Deployment is told a version, its manifest is looked at in the store: what follows from that look."""

from datetime import datetime

from bluetune_api.model import Rollout
from bluetune_operator.core.rollout.moves import Failure, Move, hindered, refused

AWAY = frozenset({"StoreUnreachable", "StoreError", "StoreDenied"})
"""What says nothing about the version: it may be there."""


def look_verdict(rollout: Rollout, problem: Failure | None, now: datetime) -> Move | None:
    """What becomes of the rollout instead of the patch; None: patch.

    A version that the store does not hold is never told to pods. While the store does not answer, a rollout waits until
    its timeout: blue is as it was. The way back does not wait: blue served that version a moment ago, and pods of it
    may still run.
    """
    if problem is None or (rollout.step == "RollingBack" and problem.reason in AWAY):
        return None
    if problem.reason not in AWAY:
        return refused(rollout, problem, now)
    text = f"the Deployment is patched when the store confirms {rollout.to}: {problem.message}"
    return hindered(rollout, Failure(problem.reason, text))
