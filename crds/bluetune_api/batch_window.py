"""Batches, and several of them for one run: those it learns from, and older ones that it repeats a part of. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bluetune_api.base import BATCH_PATTERN, MAX_BATCH_ID, ApiModel, BatchId, Duration, Rule, StatusModel, seconds_of

MAX_BATCHES = 200
"""Maximum number of batches of a run: they are listed in the task's status."""
_BATCH_ID = re.compile(BATCH_PATTERN)


@dataclass(frozen=True)
class CompleteBatch:
    """A batch to which nothing will be added."""

    batch_id: str
    completed: float
    """When its marker was last written, or the last of its files if it has none, in seconds since the epoch."""


def is_batch_id(name: str) -> bool:
    """Whether a folder below `clickstream/` can be a batch: as `base.BatchId` has it, and nothing in it is invisible or
    turns the writing direction."""
    return len(name) <= MAX_BATCH_ID and name.isprintable() and _BATCH_ID.fullmatch(name) is not None


class Batches(ApiModel):
    """Which batches a run takes, where that is more than the newest one."""

    RULES = (
        Rule(
            "has(self.last) || has(self.since)",
            "one of last and since must be set: how far back does the run go?",
            lambda b: b.last is not None or b.since is not None,
        ),
    )

    last: Annotated[int, Field(ge=1, le=MAX_BATCHES)] | None = None
    """The newest complete batches that the start version has not learned from, at most so many; with `replay`, as many
    of those that it has."""
    since: Duration | None = None
    """Batches that were completed no longer ago than this; of more than 200, the newest 200."""
    replay: Annotated[float, Field(gt=0, le=0.9)] | None = None
    """Share of the training sessions that is drawn from batches that the start version has already learned from, so
    that it does not forget them. They teach only: nothing is measured on them. Absent: such batches are left out."""
    half_life: Duration | None = None
    """Age, before the newest session, at which a session is used for training with half the chance. Absent: all are
    used."""


class BatchSelection(StatusModel):
    """The batches that a run takes."""

    learn: Annotated[list[BatchId], Field(min_length=1, max_length=MAX_BATCHES)]
    """New ones, newest first: they are learned from, and measured on."""
    replay: Annotated[list[BatchId], Field(max_length=MAX_BATCHES)] = Field(default_factory=list)
    """Old ones, newest first: a part of their sessions is learned from again."""
    replay_share: Annotated[float, Field(gt=0, le=0.9)] | None = None
    """Share of the training sessions that is drawn from the old ones."""
    half_life: Duration | None = None
    """Age at which a session is used for training with half the chance."""


@dataclass(frozen=True)
class Window:
    """What lies in the window that a task asks for, newest first."""

    new: list[str]
    learned: list[str]


def window(
    complete: Iterable[CompleteBatch],
    lineage: Collection[str],
    asked: Batches,
    now: float,
    named: str | None = None,
) -> Window:
    """Complete batches in the window, apart by whether the start version has learned from them.

    Args:
        complete: all of the store.
        lineage: ids that the start version or its ancestors were trained on (`Manifest.lineage_batches`).
        asked: the window.
        now: in seconds since the epoch.
        named: the batch that the window ends with: it is new whatever was learned, and later ones are left out.
    """
    usable = sorted(
        (batch for batch in complete if is_batch_id(batch.batch_id)), key=lambda b: (b.completed, b.batch_id)
    )[::-1]
    if named is not None:
        end = next((number for number, batch in enumerate(usable) if batch.batch_id == named), len(usable))
        rest = window(usable[end + 1 :], lineage, asked, now)
        limit = asked.last or MAX_BATCHES
        return Window([named, *rest.new][:limit], rest.learned)
    if asked.since is not None:
        usable = [batch for batch in usable if now - batch.completed <= seconds_of(asked.since)]
    known, limit = set(lineage), asked.last or MAX_BATCHES
    new: list[str] = []
    learned: list[str] = []
    for batch in usable:
        (learned if was_learned(batch.batch_id, known) else new).append(batch.batch_id)
    return Window(new[:limit], learned[:limit])


def was_learned(batch_id: str, lineage: Collection[str]) -> bool:
    """Whether a batch, or a folder that it lies in, is in the lineage."""
    parts = batch_id.split("/")
    return any("/".join(parts[:depth]) in lineage for depth in range(1, len(parts) + 1))


def selection(found: Window, asked: Batches) -> BatchSelection:
    """What a run takes of a window that has a new batch."""
    replayed = found.learned if asked.replay is not None else []
    return BatchSelection(
        learn=found.new,
        replay=replayed,
        replay_share=asked.replay if replayed else None,
        half_life=asked.half_life,
    )
