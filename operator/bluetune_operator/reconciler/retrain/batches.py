"""Which batches of a store are open to spec.retrain: one listing, and what was read once and cannot change."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bluetune_api import store_layout
from bluetune_api.base import seconds_of
from bluetune_api.batch_window import CompleteBatch
from bluetune_api.batches import MAX_PAGES, BatchSearch, Found, ListingTooLong, too_many
from bluetune_api.method import FineTuningMethod
from bluetune_api.reading import RecordProblem, read_record
from bluetune_api.records import CheckReport, Manifest, RetrainedBatch
from bluetune_api.retrain import Outcome
from bluetune_operator.adapters.store import AsyncStore, StoreProblem
from bluetune_operator.core.kinds import Object, name_of, namespace_of, uid_of
from bluetune_operator.core.retrain.decide import Handled, batch_digest, open_batches
from bluetune_operator.reconciler.models.store_claim import store_refusal

LISTING_SECONDS = 120.0
"""Timeout of all pages of a listing, far less than a reconcile may take."""


@dataclass(frozen=True)
class Looked:
    """What a look at the store came to."""

    open: list[CompleteBatch]
    found: Found


@dataclass
class _Known:
    """What was read of a store, and what it was read for."""

    what: object
    handled: Handled | None = None
    version: str | None = None
    lineage: frozenset[str] = frozenset()
    listed: tuple[object, float, Found] | None = None
    """The last listing: what it was made for, and when."""


class _Closed(Collection[str]):
    """Batches that a listing need not look into. Their number is not known: of most there is a digest alone."""

    def __init__(self, lineage: frozenset[str], handled: Handled, min_sessions: int | None) -> None:
        self._lineage, self._handled, self._min_sessions = lineage, handled, min_sessions

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._lineage or self._handled.closes(name, self._min_sessions))

    def __iter__(self) -> Iterator[str]:
        return iter(self._lineage)

    def __len__(self) -> int:
        return len(self._lineage)


class RetrainBatches:
    """Looks at stores; remembers their records, which only the operator that works writes, and a version's lineage."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}

    def forget(self, namespace: str, name: str) -> None:
        """The model is gone, or has no spec.retrain."""
        self._known.pop((namespace, name), None)

    async def look(
        self,
        model: Object,
        store: AsyncStore,
        start: str,
        method: FineTuningMethod,
        *,
        believed: float,
        taken: frozenset[str],
        min_sessions: int | None,
        now: float,
    ) -> Looked:
        """List the store's batches; a listing that is `believed` seconds old will do, whoever wakes the model.

        Raises StoreError, StoreProblem, ListingTooLong.
        """
        known = self._of(model)
        settle = method.spec.clickstream.settle
        made_for = (start, settle, min_sessions)
        if known.listed is not None and known.handled is not None:
            before, when, found = known.listed
            if before == made_for and 0 <= now - when < believed:
                return Looked(open_batches(found.complete, known.lineage, known.handled, taken, min_sessions), found)
        await require_ours(model, store)
        if known.handled is None:
            known.handled = await _handled(store)
        if known.version != start:
            known.lineage, known.version = await _lineage(store, start), start
        closed = _Closed(known.lineage, known.handled, min_sessions)
        search = BatchSearch(learned=closed, settle=seconds_of(settle) if settle is not None else None, now=now)
        await _list_all(store, store_layout.CLICKSTREAM, search)
        found = search.found()
        known.listed = made_for, now, found
        return Looked(open_batches(found.complete, known.lineage, known.handled, taken, min_sessions), found)

    async def still_open(self, model: Object, store: AsyncStore, batch_id: str) -> bool:
        """Whether no run has taken the batch, by a live look: another operator may have worked meanwhile."""
        if await store.stat(store_layout.retrained(batch_digest(batch_id))) is None:
            return True
        self.forget(namespace_of(model), name_of(model))
        return False

    async def record(
        self, model: Object, store: AsyncStore, *, batches: Sequence[str], task: Object, outcome: Outcome
    ) -> None:
        """Write down what a run has done with its batches. Raises StoreError, StoreProblem."""
        await require_ours(model, store)
        sessions = await _informative(store, uid_of(task)) if outcome == "TooFewSessions" else None
        for batch_id in batches:
            await self._record(model, store, batch_id, task, outcome, sessions)

    async def _record(
        self, model: Object, store: AsyncStore, batch_id: str, task: Object, outcome: Outcome, sessions: int | None
    ) -> None:
        digest = batch_digest(batch_id)
        key = store_layout.too_small(digest, sessions) if sessions is not None else store_layout.retrained(digest)
        record = RetrainedBatch(
            batch_id=batch_id, task=name_of(task), outcome=outcome, informative_sessions=sessions
        ).model_dump_json(by_alias=True, exclude_none=True)
        if await store.get_or_none(key) != record.encode():  # or one that dies after each of its writes never comes on
            await store.put(key, record.encode())
        known = self._of(model)
        if known.handled is not None:
            known.handled = _with_key(known.handled, key)

    def _of(self, model: Object) -> _Known:
        where, what = (namespace_of(model), name_of(model)), (uid_of(model), str(model["spec"]["store"]))
        known = self._known.get(where)
        if known is None or known.what != what:
            known = self._known[where] = _Known(what)
        return known


async def require_ours(model: Object, store: AsyncStore) -> None:
    """Raises StoreProblem unless owner.json names this model, by a live look."""
    if (refused := await store_refusal(model, store)) is not None:
        raise StoreProblem(refused.reason, refused.message)


async def _handled(store: AsyncStore) -> Handled:
    handled, after = Handled(), ""
    keys: list[str] = []
    for _ in range(MAX_PAGES):
        page = await store.page(store_layout.RETRAINED, after)
        keys += [info.key for info in page.objects]
        if page.after is None:
            break
        after = page.after
    else:
        raise too_many(store.uri(store_layout.RETRAINED))
    done, small = set[str](), dict[str, int]()
    for key in keys:
        _take_in(key, done, small)
    return Handled(frozenset(done), small) if keys else handled


def _with_key(handled: Handled, key: str) -> Handled:
    done, small = set(handled.done), dict(handled.small or {})
    _take_in(key, done, small)
    return Handled(frozenset(done), small)


def _take_in(key: str, done: set[str], small: dict[str, int]) -> None:
    digest, _, sessions = key.removeprefix(store_layout.RETRAINED).removesuffix(".json").partition("-")
    if not sessions:
        done.add(digest)
    elif sessions.isdecimal():
        small[digest] = max(small.get(digest, 0), int(sessions))


async def _lineage(store: AsyncStore, version: str) -> frozenset[str]:
    try:
        data = await store.get(store_layout.manifest(version))
        return frozenset(read_record(Manifest, data, "operator").lineage_batches)
    except RecordProblem as error:
        where = store.uri(store_layout.manifest(version))
        raise StoreProblem("VersionInvalid", f"{where} cannot be read: {error}") from None


async def _informative(store: AsyncStore, uid: str) -> int | None:
    """What the check counted; None if its report is gone: the batch then counts as taken."""
    try:
        data = await store.get_or_none(store_layout.check(uid))
        return read_record(CheckReport, data, "operator").informative_sessions if data is not None else None
    except RecordProblem:
        return None


async def _list_all(store: AsyncStore, prefix: str, search: BatchSearch) -> None:
    began, after = time.monotonic(), ""
    for number in range(MAX_PAGES):
        following = search.take(await store.page(prefix, after))
        if following is None:
            return
        after = following
        if time.monotonic() - began > LISTING_SECONDS:
            raise ListingTooLong(
                f"{store.uri(prefix)} was listed for {LISTING_SECONDS:.0f} s, {number + 1} pages of it, and is not at"
                f" its end; move old batches away, or write {store_layout.SUCCESS_MARKER} into each"
            )
    raise too_many(store.uri(prefix))
