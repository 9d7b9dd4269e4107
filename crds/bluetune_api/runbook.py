"""docs/runbook.md: all phases, conditions, reasons, Events and alerts, when they occur and what to do."""

from dataclasses import dataclass

from bluetune_api.alerts import ALERTS
from bluetune_api.reasons import ConditionType, Entry, Phase, Reason
from bluetune_api.reasons_of_models import MODEL_GROUPS
from bluetune_api.reasons_of_releases import RELEASE_GROUPS
from bluetune_api.reasons_of_tasks import TASK_GROUPS

REASONS: dict[Reason, Entry] = {
    reason: entry for group in (*TASK_GROUPS, *MODEL_GROUPS, *RELEASE_GROUPS) for reason, entry in group.entries.items()
}
"""All of them."""

WARNINGS: frozenset[Reason] = frozenset(
    reason
    for group in (*TASK_GROUPS, *MODEL_GROUPS, *RELEASE_GROUPS)
    if group.warns
    for reason, entry in group.entries.items()
    if entry.do
) - {"ContainerCreating"} | {"BlueNotAvailable"}
"""Reasons whose Events are Warnings. An image that takes its time to load is no cause to act."""

PHASES: dict[Phase, Entry] = {
    "Pending": Entry("a reference is missing, or the task is suspended", "see its reason"),
    "Waiting": Entry("it stands in the model's queue", "see `status.queue`"),
    "Running": Entry("it holds the lock and has a Job, or makes one", "follow `status.progress`"),
    "Deploying": Entry("its version is being rolled out; `spec.suspend` does not stop that, `spec.cancel` does", ""),
    "Succeeded": Entry("it is over, and did what there was to do", "see the reason of `Promoted`"),
    "Failed": Entry("it is over", "see the reason of `Failed`; correct it and apply a new task"),
    "Refused": Entry("it did not want to wait", "apply a new task later"),
    "Cancelled": Entry("it was cancelled; its record and best trial are kept", ""),
}


@dataclass(frozen=True)
class ConditionEntry:
    """A condition's line in the runbook."""

    kinds: str
    """Whose it is."""
    true: str
    """What True says."""
    otherwise: str
    """What False or Unknown says."""


CONDITIONS: dict[ConditionType, ConditionEntry] = {
    "Accepted": ConditionEntry("task", "model, method and store can be used", "its reason says what is missing"),
    "LockAcquired": ConditionEntry("task", "the task holds the model", "it waits, is suspended, or has ended"),
    "DataValid": ConditionEntry("task", "the check passed", "Unknown while it runs"),
    "Trained": ConditionEntry("task", "the search ended", "Unknown while it runs; also says why a pod does not start"),
    "Published": ConditionEntry("task", "the version is in the store", ""),
    "Promoted": ConditionEntry(
        "task, model",
        "blue serves the version, or what `spec.serving.promote` of a model names was promoted",
        "Unknown while it is rolled out; else why not",
    ),
    "PlanCurrent": ConditionEntry(
        "task", "method and model are as they were when the run began", "they were edited since; the run keeps its plan"
    ),
    "Succeeded": ConditionEntry("task", "terminal: the task succeeded", ""),
    "Failed": ConditionEntry("task", "terminal: the task failed, was refused or was cancelled", ""),
    "Ready": ConditionEntry("task, model, method", "a task succeeded; a model or method can be used", "why not (yet)"),
    "Reconciling": ConditionEntry("task, model", "it moves by itself; for readers of kstatus", ""),
    "Stalled": ConditionEntry("task, model", "a person has to do something; for readers of kstatus", ""),
    "Imported": ConditionEntry("model", "the base is published", "why it is not yet"),
    "ServingUnsafe": ConditionEntry("model", "the Deployment cannot switch without dropping requests", ""),
    "StoreUnsafe": ConditionEntry(
        "model", "the store has no conditional writes; what is lost is in the message", "it has them"
    ),
    "StatusUnreadable": ConditionEntry(
        "task, model",
        "a newer operator wrote the status; nothing is written over, and nothing goes on",
        "it was read since",
    ),
    "LockInconsistent": ConditionEntry("model", "Lease and work contradict each other", ""),
    "Retraining": ConditionEntry(
        "model", "`spec.retrain` makes tasks; its reason says what it waits for", "paused; Unknown: postponed"
    ),
}

INTRODUCTION = """# Runbook

Generated from the constants in `crds/bluetune_api` by `make generate`. The operator sets no other phase, condition or
reason than these.

```
kubectl get ftt,emodel                 # REASON
kubectl get ftt -o wide                # MESSAGE, which says what to do in this very case; its first 320 characters
kubectl describe ftt NAME              # all conditions with their whole messages, and the Events
```

Look the reason up below; [When something goes wrong](troubleshooting.md) is the way there.

An Event is written when the reason of `Ready` changes, when a task fails, and for `PlanCurrent=False`, `ServingUnsafe`,
`StoreUnsafe`, `LockInconsistent`, `Retraining=False`, `Promoted` of a model, tasks that retrain makes, and the steps of
a rollout. It has that reason and message. It is a Warning when the task failed, and where a person may have to do
something: the resource is `Stalled`, a pod does not start or ended badly, the store cannot be used, blue has no ready
pod, a rollout fails, retraining is paused. What a user asked for (`Cancelled`) is Normal.
"""


def runbook_page() -> str:
    """The page."""
    lines = [INTRODUCTION, "## Phases of a task", "", "| phase | when | what to do |", "|---|---|---|"]
    lines += [_row(phase, entry) for phase, entry in PHASES.items()]
    lines += ["", "## Conditions", "", "| condition | of | True | otherwise |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {c.kinds} | {c.true} | {c.otherwise} |" for name, c in CONDITIONS.items()]
    for group in (*TASK_GROUPS, *MODEL_GROUPS, *RELEASE_GROUPS):
        lines += ["", f"## {group.title}", "", group.about, "", "| reason | when | what to do |", "|---|---|---|"]
        lines += [_row(reason, entry) for reason, entry in group.entries.items()]
    about = "Of the chart's `monitoring.alerts` ([watching it](operations.md#watching-it))."
    lines += ["", "## Alerts", "", about]
    for name, entry in ALERTS.items():
        lines += ["", f"### {name}", "", entry.when, "", entry.do]
    return "\n".join([*lines, ""])


def _row(word: str, entry: Entry) -> str:
    return f"| `{word}` | {entry.when} | {entry.do} |"
