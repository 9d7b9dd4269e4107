"""Queries that people clicked results of: what an index is searched for with, to see what shorter vectors lose."""

import threading
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import MethodPlan
from bluetune_trainer.data.event_types import types_of
from bluetune_trainer.data.hygiene import Hygiene
from bluetune_trainer.data.input_format import sessions_of
from bluetune_trainer.data.reading import listing, stream
from bluetune_trainer.data.sessions import logged
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.plugin.method import FineTuningMethod, overridden


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

    Raises:
        DataInvalid: an object changed while it was read.
        PluginFailed: a hook returned what is no session, or no query.
    """
    objects, table = listing(store, store_layout.batch(batch))
    if table is not None:
        return []
    tally, types, hygiene = SessionTally(), types_of(method.clickstream), Hygiene(method.clickstream)
    transform = overridden(plugin, "session")
    records = sessions_of(
        stream(store, objects, tally, workdir=workdir, stop=stop), method.clickstream, (), tally, find=transform is None
    )
    found: dict[str, None] = {}
    for session, _ in logged(records, types, tally, transform, overridden(plugin, "query")):
        if session.clicked and hygiene.problem(session.query, len(session.clicked)) is None:
            found[session.query] = None
            if len(found) == most:
                break
    return list(found)
