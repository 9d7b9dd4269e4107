"""What the reasons mean that come from releases which differ, and what to do."""

from bluetune_api.reasons import Entry, Group

RELEASE_GROUPS: tuple[Group, ...] = (
    Group(
        "Releases that differ",
        "Operator, definitions and trainer images are of different releases"
        " ([operations](operations.md#releases-that-differ)). Nothing is lost: what waits goes on by itself when"
        " the older side is upgraded.",
        {
            "FormatTooNew": Entry(
                "a record in the store, or a run's plan, has a `formatVersion` that the older side does not know; on"
                " `Ready` of a task or model, or as a trainer's end, which is not tried again",
                "upgrade the side that the message names: the operator, or the trainer's image",
            ),
            "StatusUnreadable": Entry(
                "a newer operator wrote the status of the task or model, and this one cannot read it: it writes nothing"
                " else there, starts nothing, and leaves Jobs and a rollout as they are; the queue passes a task that"
                " does not hold the lock",
                "upgrade the operator; or delete the task",
            ),
            "StatusReadable": Entry("an operator has read the status again (`StatusUnreadable=False`)", ""),
        },
        warns=True,
    ),
)
