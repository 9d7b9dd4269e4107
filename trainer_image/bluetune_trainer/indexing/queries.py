"""Queries that people clicked results of: what an index is searched for with, to see what shorter vectors lose."""

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import MethodPlan, PinnedObject
from bluetune_trainer.data.event_types import types_of
from bluetune_trainer.data.hygiene import Hygiene
from bluetune_trainer.data.input_format import sessions_of
from bluetune_trainer.data.reading import listing, stream
from bluetune_trainer.data.sessions import logged
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.ubi import Line
from bluetune_trainer.errors import DataInvalid, raise_if
from bluetune_trainer.indexing.reading import STOPPED
from bluetune_trainer.plugin.method import FineTuningMethod, overridden

log = logging.getLogger(__name__)


MAX_RECORDS = 1_000_000
"""Maximum number of records of a batch that are read. UBI and tables of events give no session before all that is
read has been read."""


def clicked_queries(
    store: ObjectStore,
    batch: str,
    method: MethodPlan,
    plugin: FineTuningMethod,
    most: int,
    *,
    workdir: Path,
    stop: threading.Event,
) -> list[str]:
    """The first different queries of a batch with a click that counts; none if the batch is gone.

    No more than about MAX_RECORDS records are read, of each object from its beginning, by its share of the batch's
    bytes: so queries and events of UBI both come. Where an object changed meanwhile, what lies before it is all
    that is read.

    Raises:
        PluginFailed: a hook returned what is no session, or no query.
        Stopped: `stop` was set.
    """
    objects, table = listing(store, store_layout.batch(batch))
    if table is not None:
        return []
    tally, types, hygiene = SessionTally(), types_of(method.clickstream), Hygiene(method.clickstream)
    transform = overridden(plugin, "session")
    records = sessions_of(
        _first(store, objects, tally, workdir, stop), method.clickstream, (), tally, find=transform is None
    )
    found: dict[str, None] = {}
    for session, _ in logged(records, types, tally, transform, overridden(plugin, "query")):
        raise_if(stop, STOPPED)
        if session.clicked and hygiene.problem(session.query, len(session.clicked)) is None:
            found[session.query] = None
            if len(found) == most:
                break
    return list(found)


def _first(
    store: ObjectStore, objects: Sequence[PinnedObject], tally: SessionTally, workdir: Path, stop: threading.Event
) -> Iterator[Line]:
    """The first records of each object, up to one that is not what was listed."""
    total = sum(one.size for one in objects)
    for one in objects:
        share = math.ceil(MAX_RECORDS * one.size / max(total, 1))
        with closing(stream(store, [one], tally, workdir=workdir, stop=stop)) as records:
            try:
                for record in islice(records, share):
                    raise_if(stop, STOPPED)
                    yield record
                if next(records, None) is not None:
                    log.info("of a large batch the first records are read", extra={"object": one.key, "records": share})
            except DataInvalid as error:  # clicked queries need not be: items are searched for, too
                log.warning("the version's batch changed while it was read", extra={"problem": error.message})
                return
