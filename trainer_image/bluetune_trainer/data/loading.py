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
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.splits import checked_split, split
from bluetune_trainer.data.tally import CatalogueTally, SessionTally
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.plugin.method import FineTuningMethod, overridden

log = logging.getLogger(__name__)

CLOCKS_SECONDS = 60.0
"""By which the clocks of two machines may differ: a batch that one has chosen as settled is settled for the other."""


def check(
    store: ObjectStore,
    batch_id: str,
    method: MethodPlan,
    plugin: FineTuningMethod,
    *,
    gate: Gate | None = None,
    stop: threading.Event,
) -> CheckReport:
    """Pin a batch and its catalogue as they are now, read them, and judge them. Never raises for bad data.

    `gate` is what will be asked of a model that learns from the batch, if that is not the preset.
    """
    gate = gate or Gate()
    settle = method.clickstream.settle
    now = time.time() + CLOCKS_SECONDS
    incomplete = why_incomplete(store, batch_id, settle=seconds_of(settle) if settle else None, now=now)
    (batch, log), (items, items_log) = listing(store, store_layout.batch(batch_id)), listing(store, method.items.path)
    logs = [found for found in (log, items_log) if found is not None]
    readable = incomplete is None and batch and items and not logs
    seen, _ = _observe(
        store,
        batch_id,
        method,
        plugin,
        batch if readable else [],
        items if readable else [],
        hold_out=gate.judgments is None,
        stop=stop,
    )
    return report(replace(seen, incomplete=incomplete, batch=batch, items=items, transaction_logs=logs), method, gate)


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
    hold_out: bool = True,
    stop: threading.Event,
) -> tuple[Catalogue, Split]:
    """The training data, from exactly the objects that the check saw.

    `hold_out` says whether the gate needs sessions.

    Raises:
        DataInvalid: the check failed, or an object is not the one that it saw, or the report of it was changed.
        Stopped: `stop` was set.
    """
    if not checked.valid:
        raise DataInvalid(in_short(checked))
    seen, catalogue = _observe(
        store, checked.batch_id, method, plugin, checked.batch, checked.items, hold_out=hold_out, stop=stop
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
    return catalogue, seen.split


def _observe(
    store: ObjectStore,
    batch_id: str,
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
        workdir = Path(folder)
        records = stream(store, items, items_tally, workdir=workdir, stop=stop)
        catalogue = read_catalogue(records, method.items, plugin.item_text, items_tally)
        transform = overridden(plugin, "session")
        sessions = read_sessions(
            sessions_of(
                stream(store, batch, sessions_tally, workdir=workdir, stop=stop),
                method.clickstream,
                catalogue.position,
                sessions_tally,
                find=transform is None,
            ),
            catalogue,
            sessions_tally,
            transform,
            overridden(plugin, "query"),
            clickstream=method.clickstream,
        )
    if sessions_tally.left_out or items_tally.left_out:
        log.info("left out by the plugin", extra={"sessions": sessions_tally.left_out, "items": items_tally.left_out})
    plugin.data_read(sessions, catalogue)
    own = plugin.split(sessions)
    seen = Observed(
        batch_id=batch_id,
        items_path=method.items.path,
        incomplete=None,
        batch=list(batch),
        items=list(items),
        sessions=sessions_tally,
        catalogue=items_tally,
        split=split(sessions, batch_id, hold_out=hold_out) if own is None else checked_split(own),
    )
    return seen, catalogue
