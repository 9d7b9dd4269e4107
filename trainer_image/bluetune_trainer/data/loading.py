"""Read a batch and its catalogue: to judge them (check), or as they were judged (train)."""

import logging
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.base import seconds_of
from bluetune_api.batch_window import BatchSelection
from bluetune_api.batches import why_incomplete
from bluetune_api.model import Gate
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import CheckReport, MethodPlan, PinnedObject
from bluetune_trainer.data.catalogue import read_catalogue
from bluetune_trainer.data.input_format import sessions_of
from bluetune_trainer.data.inspect import in_short, report
from bluetune_trainer.data.judgments import read_judgments
from bluetune_trainer.data.problems import Observed, data_problems
from bluetune_trainer.data.reading import listing, stream
from bluetune_trainer.data.replay import with_replay
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.splits import checked_split, split
from bluetune_trainer.data.tally import CatalogueTally, SessionTally
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.plugin.method import FineTuningMethod, overridden

log = logging.getLogger(__name__)

CLOCKS_SECONDS = 60.0
"""Maximum difference of the clocks of two machines: a batch that one has chosen as settled is settled for the other."""


def check(
    store: ObjectStore,
    batches: BatchSelection,
    method: MethodPlan,
    plugin: FineTuningMethod,
    *,
    gate: Gate | None = None,
    stop: threading.Event,
) -> CheckReport:
    """Pin batches and catalogue as they are now, read them, and judge them. Never raises for bad data.

    Several batches are read as one: a search whose events lie in another batch is found. Of batches to replay only the
    objects are pinned; they were judged when they were new.

    `gate` is what will be asked of a model that learns from the batches, if that is not the preset.
    """
    gate = gate or Gate()
    settle = method.clickstream.settle
    now = time.time() + CLOCKS_SECONDS
    incomplete, logs, batch = None, [], []
    for name in batches.learn:
        why = why_incomplete(store, name, settle=seconds_of(settle) if settle else None, now=now)
        incomplete = incomplete or ((name, why) if why is not None else None)
        found, log = listing(store, store_layout.batch(name))
        batch.extend(found)
        logs.extend([log] if log is not None else [])
    items, items_log = listing(store, method.items.path)
    logs.extend([items_log] if items_log is not None else [])
    readable = incomplete is None and batch and items and not logs
    seen, _ = _observe(
        store,
        batches.learn,
        method,
        plugin,
        batch if readable else [],
        items if readable else [],
        hold_out=gate.judgments is None,
        stop=stop,
    )
    seen = replace(seen, incomplete=incomplete, batch=batch, items=items, transaction_logs=logs)
    replay = [one for name in batches.replay for one in listing(store, store_layout.batch(name)).objects]
    return report(seen, method, gate).model_copy(update={"replay": replay or None})


def check_judgments(
    store: ObjectStore,
    path: str,
    method: MethodPlan,
    plugin: FineTuningMethod,
    items: Sequence[PinnedObject],
    *,
    stop: threading.Event,
) -> int:
    """Read the gate's judgments against the catalogue, before anything is trained; how many there are.

    Raises:
        DataInvalid: the gate could not use them.
    """
    with tempfile.TemporaryDirectory(prefix="bluetune-data-") as folder:
        workdir = Path(folder)
        tally = CatalogueTally()
        records = stream(store, items, tally, workdir=workdir, stop=stop)
        catalogue = read_catalogue(records, method.items, plugin.item_text, tally)
        return len(read_judgments(store, path, catalogue, workdir, stop=stop))


def load(
    store: ObjectStore,
    method: MethodPlan,
    plugin: FineTuningMethod,
    checked: CheckReport,
    *,
    batches: BatchSelection | None = None,
    hold_out: bool = True,
    stop: threading.Event,
) -> tuple[Catalogue, Split]:
    """The training data, from exactly the objects that the check saw.

    `batches` is the run's choice, where it is more than the batch that was checked; `hold_out` says whether the gate
    needs sessions.

    Raises:
        DataInvalid: the check failed, or an object is not the one that it saw, or the report of it was changed.
        Stopped: `stop` was set.
    """
    if not checked.valid:
        raise DataInvalid(in_short(checked))
    batches = batches or BatchSelection(learn=checked.batches or [checked.batch_id])
    seen, catalogue = _observe(
        store, batches.learn, method, plugin, checked.batch, checked.items, hold_out=hold_out, stop=stop
    )
    problems = data_problems(seen, method)
    if problems:
        raise DataInvalid(f"what was checked as fine is not: {'; '.join(problems)}. Start a new task")
    log.info(
        "data read",
        extra={
            "sessions": seen.sessions.sessions,
            "items": len(catalogue.ids),
            "train": len(seen.split.train),
            "validation": len(seen.split.validation),
            "gate": len(seen.split.gate),
        },
    )
    return catalogue, _with_replay(store, batches, method, plugin, checked, catalogue, seen.split, stop)


def _with_replay(
    store: ObjectStore,
    batches: BatchSelection,
    method: MethodPlan,
    plugin: FineTuningMethod,
    checked: CheckReport,
    catalogue: Catalogue,
    new: Split,
    stop: threading.Event,
) -> Split:
    """The split with what trials learn from, where the task asks for old batches or a half-life."""
    tally = SessionTally()
    old = _sessions(store, checked.replay or [], method, plugin, catalogue, tally, stop)
    made = with_replay(new, old, batches, method.settings.seed or 0)
    if made.taught is not None:
        log.info(
            "sessions to learn from",
            extra={
                "new": len(new.train),
                "old": tally.sessions,
                "oldBroken": tally.broken,
                "used": len(made.taught),
                "halfLife": batches.half_life,
            },
        )
    return made


def _sessions(
    store: ObjectStore,
    objects: Sequence[PinnedObject],
    method: MethodPlan,
    plugin: FineTuningMethod,
    catalogue: Catalogue,
    tally: SessionTally,
    stop: threading.Event,
) -> Sessions:
    transform = overridden(plugin, "session")
    with tempfile.TemporaryDirectory(prefix="bluetune-data-") as folder:
        return read_sessions(
            sessions_of(
                stream(store, objects, tally, workdir=Path(folder), stop=stop),
                method.clickstream,
                catalogue.position,
                tally,
                find=transform is None,
            ),
            catalogue,
            tally,
            transform,
            overridden(plugin, "query"),
            clickstream=method.clickstream,
        )


def _observe(
    store: ObjectStore,
    batches: Sequence[str],
    method: MethodPlan,
    plugin: FineTuningMethod,
    batch: Sequence[PinnedObject],
    items: Sequence[PinnedObject],
    *,
    hold_out: bool = True,
    stop: threading.Event,
) -> tuple[Observed, Catalogue]:
    sessions_tally, items_tally = SessionTally(), CatalogueTally()
    with tempfile.TemporaryDirectory(prefix="bluetune-data-") as folder:
        records = stream(store, items, items_tally, workdir=Path(folder), stop=stop)
        catalogue = read_catalogue(records, method.items, plugin.item_text, items_tally)
    sessions = _sessions(store, batch, method, plugin, catalogue, sessions_tally, stop)
    if sessions_tally.left_out or items_tally.left_out:
        log.info("left out by the plugin", extra={"sessions": sessions_tally.left_out, "items": items_tally.left_out})
    plugin.data_read(sessions, catalogue)
    own = plugin.split(sessions)
    seen = Observed(
        batches=batches,
        items_path=method.items.path,
        incomplete=None,
        batch=list(batch),
        items=list(items),
        sessions=sessions_tally,
        catalogue=items_tally,
        split=split(sessions, batches[0], hold_out=hold_out) if own is None else checked_split(own),
    )
    return seen, catalogue
