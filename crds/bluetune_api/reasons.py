"""Every word that a status, an Event or a trainer's end gives as its reason: when it occurs, and what to do.

The types of the operator and of the trainer's errors take nothing else (mypy checks every use of `Reason`), and what
comes from outside is turned into one of these. `reasons_of_tasks` and `reasons_of_models` say what each means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Phase = Literal["Pending", "Waiting", "Running", "Deploying", "Succeeded", "Failed", "Refused", "Cancelled"]
"""Phase of a task, for people; programs read the conditions."""

ConditionType = Literal[
    "Accepted",
    "LockAcquired",
    "DataValid",
    "Trained",
    "Published",
    "Promoted",
    "PlanCurrent",
    "Succeeded",
    "Failed",
    "Ready",
    "Reconciling",
    "Stalled",
    "Imported",
    "ServingUnsafe",
    "LockInconsistent",
    "StoreUnsafe",
    "Retraining",
    "StatusUnreadable",
]
"""Types of the conditions of tasks, models and methods."""

Reason = Literal[
    "Accepted",
    "Acquired",
    "Adopted",
    "AllTrialsFailed",
    "AlreadyClaimed",
    "AlreadyCurrent",
    "AlreadyTried",
    "AsBegun",
    "Available",
    "BackoffLimitExceeded",
    "BaseUnreachable",
    "BatchNotFound",
    "BlueNotAvailable",
    "BucketOrObjectNotFound",
    "BudgetSpent",
    "Busy",
    "Cancelled",
    "Cancelling",
    "CheckInvalid",
    "CheckMissing",
    "Checking",
    "Completed",
    "ConditionalWrites",
    "Consistent",
    "ContainerCreating",
    "ContainerNotFound",
    "CoolingDown",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "DataChanged",
    "DataInvalid",
    "DataValid",
    "DatabaseFailed",
    "DeadlineExceeded",
    "DeploymentNotFound",
    "DeploymentPaused",
    "DeviceLost",
    "DigestMismatch",
    "DiskFull",
    "Done",
    "Duplicate",
    "EditedSince",
    "Ended",
    "ErrImageNeverPull",
    "Evicted",
    "Failed",
    "FieldConflict",
    "FormatTooNew",
    "GateGuarded",
    "GateNotMeasured",
    "GateNotPassed",
    "GatePassed",
    "GateStale",
    "GateUndecided",
    "GpuNotVisible",
    "HolderUnknown",
    "ImagePullBackOff",
    "Importing",
    "IndexInvalid",
    "IndexMissing",
    "InvalidImageName",
    "InvalidSpec",
    "ItemFileMissing",
    "JobDeleted",
    "JobFailed",
    "JobRefused",
    "KueueOwnsSuspend",
    "ListingTooLong",
    "Load",
    "LockInconsistent",
    "LockLost",
    "MethodInvalid",
    "MethodNotFound",
    "ModelInvalid",
    "ModelNotFound",
    "ModelNotReady",
    "NameTaken",
    "NoBatch",
    "NoConditionalWrites",
    "NoNewBatch",
    "NoProgress",
    "NoServing",
    "NotRequested",
    "NotStalled",
    "NotifyFailed",
    "OOMKilled",
    "ObjectTooLarge",
    "OutOfMemory",
    "OverwrittenByOthers",
    "Patch",
    "PatchRefused",
    "PausedAfterFailures",
    "PausedAfterRefusals",
    "Pending",
    "PendingTimeout",
    "Pinned",
    "PlanInvalid",
    "PluginFailed",
    "PodFailed",
    "PodRefused",
    "PodStuck",
    "ProbeMismatch",
    "ProcessLost",
    "ProgressDeadlineExceeded",
    "Promote",
    "PromoteStale",
    "PromoteUnknown",
    "PromoteWithdrawn",
    "Promoted",
    "Published",
    "Queued",
    "RecallTooLow",
    "Refused",
    "Reindex",
    "ReindexFailed",
    "ReindexJobDeleted",
    "ReindexRefused",
    "ReindexTimeout",
    "ResultInvalid",
    "ResultMissing",
    "ResumeRefused",
    "ResumeWaiting",
    "RetentionFailed",
    "RetrainStarted",
    "RollbackVersionNotFound",
    "RolledOut",
    "RollingBack",
    "RollingOut",
    "RolloutFailed",
    "RolloutQueued",
    "RolloutRequested",
    "RolloutStarted",
    "RolloutTimeout",
    "RunContainerError",
    "RunDamaged",
    "RunInProgress",
    "Safe",
    "ScaledToZero",
    "ScheduleInvalid",
    "Scheduled",
    "SecretInvalid",
    "SecretNotFound",
    "ServiceAccountNotFound",
    "Serving",
    "ServingMoved",
    "ServingRemoved",
    "ServingUnsafe",
    "Settled",
    "SpecInvalid",
    "Starting",
    "StatusReadable",
    "StatusUnreadable",
    "Stopped",
    "StoreDenied",
    "StoreError",
    "StoreFailed",
    "StoreTakenOver",
    "StoreUnreachable",
    "Suspended",
    "SuspendedByOthers",
    "TaskCancelled",
    "TaskDeleted",
    "TaskRefused",
    "Terminating",
    "TooFewSessions",
    "Trained",
    "TrainerCrashed",
    "Training",
    "Unschedulable",
    "Valid",
    "Verify",
    "VerifyFailed",
    "VerifyUnreachable",
    "VersionIncomplete",
    "VersionInvalid",
    "VersionNotFound",
    "VersionOfAnotherModel",
    "VersionsRemoved",
    "Wait",
    "Waiting",
    "WaitingForBatch",
    "WorkWithoutLock",
    "WorkloadIdentityUnavailable",
]
"""One word for programs; what it means is in `runbook.REASONS`."""


STORE_REASONS: frozenset[Reason] = frozenset(
    {"StoreUnreachable", "StoreDenied", "StoreError", "StoreFailed", "BucketOrObjectNotFound"}
)
"""Why a store cannot be used: of a task as of its model."""


@dataclass(frozen=True)
class Entry:
    """A reason's line in the runbook."""

    when: str
    """When it occurs."""
    do: str
    """What to do; empty: nothing."""


@dataclass(frozen=True)
class Group:
    """Reasons that people meet together."""

    title: str
    about: str
    """Which conditions carry them, and what they have in common."""
    entries: Mapping[Reason, Entry]
    warns: bool = False
    """Whether something is wrong that a person may have to mend: Events with these reasons are Warnings. Events with
    others are when the resource is Stalled."""


_KNOWN: dict[str, Reason] = {reason: reason for reason in get_args(Reason)}


def known_reason(text: str | None) -> Reason | None:
    """What others wrote as a reason, if it is one of these."""
    return _KNOWN.get(text or "")
