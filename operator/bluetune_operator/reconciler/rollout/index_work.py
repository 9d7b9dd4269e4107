"""What a rollout does for bluetune's own index: its Jobs, how far they are, and whether the index is whole."""

from dataclasses import replace
from datetime import datetime

from bluetune_api import store_layout
from bluetune_api.index_records import IndexProgress
from bluetune_api.index_target import Index
from bluetune_api.model import EmbeddingModelSpec, Rollout, Serving
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import RecordProblem, read_record
from bluetune_operator.adapters.store import AsyncStore, problem_of
from bluetune_operator.core.kinds import Object, uid_of
from bluetune_operator.core.rollout.index import (
    MAX_READ,
    index_job,
    loss_of,
    progress_words,
    run_of,
    unfit,
    whole_index,
    work_of,
)
from bluetune_operator.core.rollout.moves import Failure, JobView
from bluetune_operator.core.rollout.record import index_asked
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.method import method_of

READ_SECONDS = 10.0
"""Between two looks at how far the pods are."""


class IndexWork:
    """Makes and watches the Jobs of `serving.index`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: dict[str, tuple[datetime, str]] = {}
        """When a Job's progress was read and what it was, by the Job's uid."""

    async def job(self, model: Object, spec: EmbeddingModelSpec, index: Index, rollout: Rollout) -> Object | Failure:
        """The Job of the rollout's step, or why it cannot be made: ReindexRefused, or what may be mended meanwhile."""
        method = await method_of(self._context, model, spec)
        if isinstance(method, Failure):
            return method
        if (problem := unfit(method)) is not None:
            return problem
        return index_job(model, spec, index, method, rollout, self._context.config)

    async def judged(
        self, view: JobView, job: Object, rollout: Rollout, serving: Serving, store: AsyncStore | None, now: datetime
    ) -> JobView:
        """The Job as it was seen, with what the store says: of one that ended well whether there is an index, of one
        that is at work how far it is."""
        if not view.of_this_rollout:
            return view
        if view.state == "Complete" and rollout.step == "Reindex":
            self._told.pop(uid_of(job), None)
            return await self._whole(view, rollout, store)
        if view.state == "Running" and not view.message and store is not None:
            return replace(view, message=await self._progress(job, rollout, serving, store, now))
        return view

    async def _whole(self, view: JobView, rollout: Rollout, store: AsyncStore | None) -> JobView:
        if store is None:
            return replace(view, state="Running", message="the store that holds the index cannot be opened")
        try:
            found = whole_index(await store.get_or_none(store_layout.index_manifest(rollout.to)), rollout)
        except StoreError as error:
            return replace(view, state="Running", message=f"the index's manifest cannot be read: {problem_of(error)}")
        if isinstance(found, Failure):
            return replace(view, state="Failed", message=found.message, reason=found.reason)
        return replace(view, loss=loss_of(found))

    async def _progress(self, job: Object, rollout: Rollout, serving: Serving, store: AsyncStore, now: datetime) -> str:
        """How far the pods are; what they said before, if that is not long ago or the store is away."""
        before = self._told.get(uid_of(job))
        if before is not None and (now - before[0]).total_seconds() < READ_SECONDS:
            return before[1]
        done = int((job.get("status") or {}).get("succeeded") or 0)
        shards = serving.index.shards if serving.index is not None and work_of(rollout) == "index" else 1
        try:
            said = progress_words(await _told(store, rollout, serving), done, shards)
        except StoreError:
            said = before[1] if before is not None else ""
        self._told = {uid: told for uid, told in self._told.items() if (now - told[0]).total_seconds() < 3600}
        self._told[uid_of(job)] = now, said
        return said


async def _told(store: AsyncStore, rollout: Rollout, serving: Serving) -> list[IndexProgress]:
    """What the pods said last, of those that are not done."""
    found: list[IndexProgress] = []
    folder = store_layout.index_progress(rollout.to, run_of(rollout, index_asked(serving)))
    for info in sorted(await store.objects(folder), key=lambda one: -one.modified)[:MAX_READ]:
        data = await store.get_or_none(info.key)
        try:
            told = read_record(IndexProgress, data or b"", "operator")
        except RecordProblem:
            continue
        if told.total == 0 or told.done < told.total:
            found.append(told)
    return found
