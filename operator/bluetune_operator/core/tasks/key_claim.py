"""Whose an idempotency key is: what a claim in the store means for a task with the same key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bluetune_api.records import KeyClaim

ClaimantState = Literal["Gone", "Active", "Succeeded", "Failed"]


@dataclass(frozen=True)
class KeyVerdict:
    """What to do with an idempotency key."""

    action: Literal["Claim", "Ours", "Follow", "TakeOver", "Replace"]
    """Claim: nobody has it. Ours: this task has it. Follow: wait for the claimant. TakeOver: the claimant's result is
    this task's. Replace: the claimant failed or is gone without a result; this task may claim it, under the lock."""
    task: str | None = None
    """The claimant's name."""
    task_uid: str | None = None
    """Its uid: where its result is kept."""


def key_verdict(
    task_uid: str, claim: KeyClaim | None, claimant: ClaimantState | None = None, has_result: bool = False
) -> KeyVerdict:
    """Decide about an idempotency key.

    Args:
        task_uid: who asks.
        claim: from the store; None if there is none.
        claimant: how the claiming task is; None if there is no claim.
        has_result: whether the claimant's run has a result.json.
    """
    if claim is None:
        return KeyVerdict("Claim")
    if claim.task_uid == task_uid:
        return KeyVerdict("Ours", claim.task, claim.task_uid)
    if claimant == "Active":
        return KeyVerdict("Follow", claim.task, claim.task_uid)
    if claimant == "Succeeded" or (claimant == "Gone" and has_result):
        return KeyVerdict("TakeOver", claim.task, claim.task_uid)
    return KeyVerdict("Replace", claim.task, claim.task_uid)


def same_work(task: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two tasks of a model have the same key."""
    key = task["spec"].get("idempotencyKey")
    return key is not None and other["spec"].get("idempotencyKey") == key
