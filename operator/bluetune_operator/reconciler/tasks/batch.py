"""The step that chooses start version and batch, under the lock; and what was tried before."""

import time
from collections.abc import Callable

from bluetune_api import store_layout
from bluetune_api.base import seconds_of
from bluetune_api.batch_window import Batches, selection, window
from bluetune_api.batches import MAX_PAGES, BatchSearch, Found, ListingTooLong, too_many
from bluetune_api.method import FineTuningMethod
from bluetune_api.objectstore import ObjectNotFound, Page, StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, RecordProblem, read_record
from bluetune_api.records import Manifest, Result, TriedBatch
from bluetune_operator.adapters.store import AsyncStore, StoreProblem
from bluetune_operator.core.kinds import METHODS, MODELS, TASKS, is_deleting, name_of, uid_of
from bluetune_operator.core.references import start_version
from bluetune_operator.core.tasks.gate import Promotion
from bluetune_operator.core.tasks.run_record import METHOD_DIGEST, MODEL_DIGEST, method_digest, model_digest
from bluetune_operator.core.tasks.tried import TRIED, BatchChoice, Recipe, choose_batch, choose_batches
from bluetune_operator.reconciler.tasks.resume import chosen as chosen_by_the_earlier
from bluetune_operator.reconciler.tasks.run import Run, Stay, own_job
from bluetune_operator.reconciler.tasks.store import store_trouble, too_new

LISTING_SECONDS = 120.0
"""Timeout of all pages in one reconcile. It tells a store that answers slowly from one that does not answer."""


Take = Callable[[Page], str | None]
"""Takes a page in, and says after which key the listing goes on; None ends it."""


class _LeftAlone(Exception):
    """The task was cancelled or deleted while the store was listed."""


async def choice(run: Run) -> Stay | None:
    """Choose start version and batch, once, under the lock; recorded in the status before anything is started."""
    status = run.draft.status
    if status.batch_id and status.start_version:
        return None
    current = run.model.status.current if run.model.status else None
    live = current.version if current else None
    if run.task.spec.resume_from is not None:
        return await chosen_by_the_earlier(run, live)
    start = start_version(run.task, run.model)
    assert start is not None  # noqa: S101 - the model would not be ready without one
    found = Found([], [])
    try:
        chosen = BatchChoice(run.task.spec.batch_id)
        if chosen.batch_id is None or run.task.spec.batches is not None:
            chosen, found = await _newest_batch(run, start, live)
        message = "" if chosen.batch_id else await _nothing_new(run, start, chosen, found)
    except _LeftAlone:
        return Stay(0.05)
    except FormatTooNew as error:
        return too_new(run, f"{run.store.uri(store_layout.manifest(start))} cannot be read: {error}")
    except RecordInvalid as error:
        where = run.store.uri(store_layout.manifest(start))
        run.draft.fail("VersionInvalid", f"{where} cannot be read: {error}")
        return Stay()
    except ObjectNotFound:  # nothing brings it back by itself, and others wait for the lock
        where = run.store.uri(store_layout.manifest(start))
        run.draft.fail("VersionNotFound", f"the start version {start} is not in the store: {where} does not exist")
        return Stay()
    except ListingTooLong as error:
        run.draft.fail("ListingTooLong", str(error))  # it would be too long again; those that name a batch go on
        return Stay()
    except (StoreProblem, StoreError) as error:
        return store_trouble(run, error)
    if chosen.tried and await _was_edited(run):
        return Stay(0.05)
    if chosen.batch_id is None:
        run.draft.set(start_version=start)
        run.draft.succeed("AlreadyTried" if chosen.tried else "NoNewBatch", message)
        return Stay()
    run.draft.set(batch_id=chosen.batch_id, batches=chosen.batches, start_version=start, live_version=live)
    more = len(chosen.batches.learn) - 1 if chosen.batches is not None else 0
    named = f"batch {chosen.batch_id}" if not more else f"batch {chosen.batch_id} and {more} more"
    run.draft.now_doing("Running", "Starting", f"{named} to be checked")
    return Stay(0)


async def _newest_batch(run: Run, start: str, live: str | None) -> tuple[BatchChoice, Found]:
    store = run.store
    manifest = read_record(Manifest, await store.get(store_layout.manifest(start)), "operator")
    learned = frozenset(manifest.lineage_batches)
    method = run.method if run.method_problem is None else None
    began = time.monotonic()
    asked, now = run.task.spec.batches, run.draft.now.timestamp()
    replays = asked is not None and asked.replay is not None
    search = BatchSearch(learned=() if replays else learned, settle=_settle(method), now=now)
    await _list_all(run, store, store_layout.CLICKSTREAM, search.take, began)
    found = search.found()
    recipe = None
    if method is not None:
        recipe = Recipe(
            start,
            live,
            method_digest(run.task, method),
            model_digest(run.model),
            deploy=_would_deploy(run),
            window=_window_of(asked),
        )
    tried: set[str] = set()
    if recipe is not None and found.complete:
        folder = store_layout.tried(start)

        def take(page: Page) -> str | None:
            tried.update(info.key.removeprefix(folder).removesuffix(".json") for info in page.objects)
            return page.after

        await _list_all(run, store, folder, take, began)
    if asked is not None:
        named = run.task.spec.batch_id
        inside = window(found.complete, learned, asked, now, named)
        if named is not None:  # whoever names a batch wants it, tried or not
            return BatchChoice(named, selection(inside, asked)), found
        return choose_batches(inside, asked, recipe, tried), found
    return choose_batch(found.complete, learned, recipe, tried), found


async def _was_edited(run: Run) -> bool:
    """Whether method or model, read live, are others than this decision stands on: applied together with the task."""
    for kind, seen in ((METHODS, run.raw_method), (MODELS, run.raw_model)):
        assert seen is not None  # noqa: S101 - without its method a run has no recipe
        found = await run.context.kube.get(kind, run.namespace, name_of(seen))
        if found is None or found["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
            if found is not None:
                run.context.cache.put_ahead(kind, found)
            return True
    return False


async def _list_all(run: Run, store: AsyncStore, prefix: str, take: Take, began: float) -> None:
    """List page by page; each has its own time limit, and between two of them the task may be cancelled.

    `began` is when the first listing of this reconcile began, by the monotonic clock: all of them share one limit.

    Raises:
        _LeftAlone: it was.
        ListingTooLong: there are more pages than anybody should wait for.
    """
    after = ""
    for number in range(MAX_PAGES):
        following = take(await store.page(prefix, after))
        if following is None:
            return
        after = following
        seen = run.context.cache.get(TASKS, run.namespace, run.name)
        if seen is None or uid_of(seen) != run.uid or is_deleting(seen) or seen["spec"].get("cancel"):
            raise _LeftAlone
        if time.monotonic() - began > LISTING_SECONDS:
            raise ListingTooLong(
                f"{store.uri(prefix)} was listed for {LISTING_SECONDS:.0f} s, {number + 1} pages of it, and is not at"
                f" its end; move old batches away, write {store_layout.SUCCESS_MARKER} into each, or name the batch in"
                " spec.batchId"
            )
    raise too_many(store.uri(prefix))


async def _nothing_new(run: Run, start: str, chosen: BatchChoice, found: Found) -> str:
    """Why there is nothing to learn from."""
    where = run.store.uri(store_layout.CLICKSTREAM)
    passed_over = f"; {found.in_words()}" if found.in_words() else ""
    if chosen.tried is None:
        return (
            f"no complete batch that {start} has not learned from at {where}; write one, and"
            f" {store_layout.SUCCESS_MARKER} into its folder last{passed_over}"
        )
    batch, digest = chosen.tried
    data = await run.store.get_or_none(store_layout.tried_batch(start, digest))
    try:
        record = read_record(TriedBatch, data or b"", "operator")
        by = f" by task {record.task!r}, which published {record.version} ({record.reason})"
    except RecordProblem:
        by = ""
    return (
        f"every complete batch at {where} that {start} has not learned from was tried from it with this method; the"
        f" newest is {batch!r}{by}. Write a new one, change the method, or name the batch in spec.batchId to run it"
        f" again{passed_over}"
    )


async def remember(run: Run, result: Result, answer: Promotion) -> None:
    """Write down what was tried, before the task ends; once.

    Raises:
        StoreError: the store did not take it.
    """
    status = run.draft.status
    if answer.reason not in TRIED or status.batch_id is None or status.start_version is None:
        return
    job = await own_job(run, "train")
    began = ((job or {}).get("metadata") or {}).get("annotations") or {}
    if METHOD_DIGEST not in began or MODEL_DIGEST not in began:
        return  # somebody removed the Job: at worst the run is repeated once
    recipe = Recipe(
        status.start_version,
        status.live_version,
        began[METHOD_DIGEST],
        began[MODEL_DIGEST],
        deploy=answer.reason not in ("NotRequested", "NoServing"),
        window=_window_of(run.task.spec.batches),
    )
    for batch_id in status.batches.learn if status.batches is not None else [status.batch_id]:
        record = TriedBatch(batch_id=batch_id, task=run.name, version=result.version, reason=answer.reason)
        key = store_layout.tried_batch(recipe.start_version, recipe.digest(batch_id))
        data = record.model_dump_json(by_alias=True).encode()
        if await run.store.get_or_none(key) != data:  # or one that dies after each of its writes would get nowhere
            await run.store.put(key, data)


async def why_incomplete(run: Run, store: AsyncStore, method: FineTuningMethod | None) -> str | None:
    """Why the batch that the task names is not complete, as a sentence; None if it is, or the task was cancelled.

    Raises:
        StoreError: the store does not tell.
    """
    batch_id = run.task.spec.batch_id
    assert batch_id is not None  # noqa: S101 - asked only for a task that names one
    marker = store_layout.batch_marker(batch_id)
    if await store.stat(marker) is not None:
        return None
    search = BatchSearch(settle=_settle(method), now=run.draft.now.timestamp())
    root = await store.stat(store_layout.CLICKSTREAM + store_layout.SUCCESS_MARKER)
    search.take(Page([root] if root is not None else []))
    try:
        await _list_all(run, store, store_layout.batch(batch_id), search.take, time.monotonic())
    except _LeftAlone:
        return None  # the next look cancels it
    why = search.why_not(batch_id)
    return None if why is None else f"batch {batch_id!r} is not complete: {store.uri(marker)} does not exist; {why}"


def _settle(method: FineTuningMethod | None) -> float | None:
    settle = method.spec.clickstream.settle if method is not None else None
    return seconds_of(settle) if settle is not None else None


def _window_of(asked: Batches | None) -> tuple[float | None, str | None] | None:
    """What `spec.batches` changes in a run, beside which batches it takes."""
    return None if asked is None or (asked.replay, asked.half_life) == (None, None) else (asked.replay, asked.half_life)


def _would_deploy(run: Run) -> bool:
    return run.task.spec.deploy_as_blue and run.model.spec.serving is not None
