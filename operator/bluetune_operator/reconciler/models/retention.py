"""Removes versions that need not be kept. Safe to kill anywhere, and to run twice.

A version goes in this order: its manifest is copied to `retired/`, then removed, and with that the version does not
exist; then its files and index go; the copy goes last. A copy without its version says that a removal was cut short and
is to be finished. Folders without a manifest and without such a copy are never touched: they may be somebody's who is
just publishing.
"""

import logging
import random
import time
from dataclasses import dataclass

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_api.objectstore import StoreError
from bluetune_operator.adapters.leases import live_work, read_lease
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, problem_of
from bluetune_operator.core.kinds import LEASES, MODELS, TASKS, Object, is_deleting, lease_name, name_of, namespace_of
from bluetune_operator.core.lock.rules import holder_of
from bluetune_operator.core.models.claims import claimed_by_another
from bluetune_operator.core.models.retention import busy, in_use, surplus, versions_of
from bluetune_operator.core.references import spec_and_status
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.models.store_claim import store_refusal

logger = logging.getLogger(__name__)

RETENTION = "Retention"
"""Kind of the keys; the name is the model's."""

AT_ONCE = 5
"""Versions removed in one reconcile."""
AGAIN_SECONDS, AFTER_ERROR_SECONDS = 60.0, 900.0
BELIEVED_SECONDS = 5.0
"""How long it is believed that the model is free, so that an operator that slept asks again before it goes on."""


@dataclass(frozen=True)
class _Subject:
    model: Object
    spec: EmbeddingModelSpec
    status: EmbeddingModelStatus
    store: AsyncStore


class _Busy(Exception):
    """The model is in use now; the message says by what."""


class RetentionReconciler:
    """Reconciles what a model's store keeps."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """See `Reconciler`."""
        try:
            subject = await self._free(namespace, name)
            if subject is None:
                return None
            store = subject.store
            marked = await self._finish(subject, store)
            removed, more = await self._retire(subject, store, marked)
        except _Busy as error:
            logger.debug("nothing is removed: %s", error)
            return AGAIN_SECONDS
        except (StoreError, StoreProblem) as error:
            return await self._failed(namespace, name, error)
        if removed:
            keep = subject.spec.retention.keep_versions
            text = f"removed {', '.join(removed)} from the store (spec.retention.keepVersions={keep})"
            logger.info("%s", text, extra={"model": name})
            await self._context.events.emit(subject.model, "VersionsRemoved", text, level="Normal")
        return 1.0 if more else None

    async def _free(self, namespace: str, name: str) -> _Subject | None:
        """The model, read live, if its store is its own; None if there is nothing to do.

        Raises _Busy, StoreProblem, StoreError.
        """
        seen = self._context.cache.get(LEASES, namespace, lease_name(name))
        if seen is not None and seen["spec"].get("holderIdentity"):
            # asks nobody: models are busy for hours, and one that is free after all is seen the next time
            raise _Busy("its Lease is held")
        model = await self._context.kube.get(MODELS, namespace, name)
        if model is None or is_deleting(model):
            return None
        read = spec_and_status(model)
        if read is None:
            return None  # the model's reconciler says so
        spec, status = read
        if status.base_version is None or claimed_by_another(model, self._context.cache.all(MODELS)):
            return None
        lease = await read_lease(self._context.kube, namespace, name)
        try:
            holder = holder_of(lease)
        except ValueError as error:
            raise _Busy(str(error)) from None
        work = await live_work(self._context.kube, namespace, name)
        if reason := busy(holder.name if holder else None, work, status):
            raise _Busy(reason)
        store = await self._context.stores.open(model)
        if (refused := await store_refusal(model, store)) is not None:
            raise _Busy(refused.message)
        return _Subject(model, spec, status, store)

    async def _finish(self, subject: _Subject, store: AsyncStore) -> list[str]:
        """Finish removals that were cut short; return the versions that were marked and still exist."""
        marked = []
        for info in await store.objects(store_layout.RETIRED):
            version = info.key.removeprefix(store_layout.RETIRED).removesuffix(".json")
            if info.key != store_layout.retired(version):
                continue
            if await store.stat(store_layout.manifest(version)) is not None:
                marked.append(version)
                continue
            await self._remove_files(subject, store, version)
            await store.delete(info.key)
        return marked

    async def _retire(self, subject: _Subject, store: AsyncStore, marked: list[str]) -> tuple[list[str], bool]:
        """Versions that were removed, and whether there are more."""
        found = await store.objects(store_layout.VERSIONS)
        stored = versions_of((info.key, info.modified) for info in found)
        keep = subject.spec.retention.keep_versions
        due = surplus(stored, keep, self._in_use(subject))
        for version in set(marked) - set(due):
            await store.delete(store_layout.retired(version))  # it is needed after all
        removed: list[str] = []
        for version in due[:AT_ONCE]:
            subject = await self._still_free(subject)
            if version in self._in_use(subject):
                continue
            manifest = await store.get_or_none(store_layout.manifest(version))
            if manifest is not None:
                if version not in marked:
                    await store.create(store_layout.retired(version), manifest)
                await store.delete(store_layout.manifest(version))
                await self._remove_files(subject, store, version)
                await store.delete(store_layout.retired(version))
                removed.append(version)
        return removed, len(due) > AT_ONCE

    async def _remove_files(self, subject: _Subject, store: AsyncStore, version: str) -> None:
        believed = -BELIEVED_SECONDS
        for folder in (
            store_layout.version(version),
            store_layout.index(version),
            store_layout.evidence(version),
            store_layout.tried(version),
        ):
            for info in await store.objects(folder):
                if time.monotonic() - believed > BELIEVED_SECONDS:
                    await self._still_free(subject)
                    believed = time.monotonic()
                await store.delete(info.key)

    async def _still_free(self, subject: _Subject) -> _Subject:
        found = await self._free(namespace_of(subject.model), name_of(subject.model))
        if found is None:
            raise _Busy("the model is gone, or its store is another's now")
        return found

    def _in_use(self, subject: _Subject) -> frozenset[str]:
        namespace, name = namespace_of(subject.model), name_of(subject.model)
        tasks = self._context.cache.of_model(TASKS, namespace, name)
        return in_use(subject.model, subject.spec, subject.status, tasks, self._context.cache.all(MODELS))

    async def _failed(self, namespace: str, name: str, error: Exception) -> float:
        problem = problem_of(error)
        logger.warning("old versions are not removed: %s", problem, extra={"model": name})
        model = self._context.cache.get(MODELS, namespace, name)
        if problem.reason == "StoreDenied" and model is not None:
            text = f"{problem}; spec.retention needs s3:ListBucket and s3:DeleteObject below the model's prefix"
            await self._context.events.emit(model, "RetentionFailed", text, level="Warning")
        return AFTER_ERROR_SECONDS * random.uniform(0.8, 1.2)
