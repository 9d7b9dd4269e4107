"""Holding a store: owner.json below the prefix names one model, and nobody else writes or deletes there.

Each write is followed by a look, so that of two that write at once, in a store without conditional writes too, the one
that stands there goes on.
"""

import logging
import time
from dataclasses import dataclass

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_api.objectstore import NoConditionalWrites, StoreError
from bluetune_api.store_identity import StoreOwner
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, problem_of
from bluetune_operator.core.conditions import find
from bluetune_operator.core.errors import Conflict
from bluetune_operator.core.kinds import MODELS, Object, is_deleting, name_of, namespace_of, uid_of
from bluetune_operator.core.models.claims import store_claimed_by_another
from bluetune_operator.core.models.store_owner import not_held, owner_from, owner_step, take_over_from
from bluetune_operator.core.rollout.choice import active
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.reconciler.base import Context

logger = logging.getLogger(__name__)

BELIEVED_SECONDS, ROLLOUT_BELIEVED_SECONDS = 60.0, 5.0
"""How long a look at owner.json is believed by a reconcile that writes nothing there; during a rollout its reindex Job
does."""
PROBE_SECONDS = 3600.0
"""How soon a store without conditional writes is asked again: somebody may have upgraded it."""

PASSING = frozenset({"StoreUnreachable", "StoreError"})
"""Reasons that say nothing about a model which has held its store before."""


@dataclass(frozen=True)
class Hold:
    """What a look at a model's store came to."""

    held: bool = False
    """Whether owner.json names this model: what is written depends on it."""
    refused: Failure | None = None
    """Why the store is not this model's."""
    problem: Failure | None = None
    """Why that cannot be told, if it is to be said."""
    judged: bool = False
    """Whether conditional writes were tried."""
    unsafe: Failure | None = None
    """Why the store is not safe, if it was tried."""


async def store_refusal(model: Object, store: AsyncStore) -> Failure | None:
    """Why the store must not be written now, by a live look; None: it is this model's. Raises StoreError."""
    where = store.uri(store_layout.OWNER)
    return not_held(await store.get_or_none(store_layout.OWNER), model, where)


class StoreClaims:
    """Claims stores for the model's reconciler, and remembers for a while which are held."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held: dict[tuple[str, str], tuple[object, float]] = {}
        self._probed: dict[tuple[str, str], float] = {}

    def forget(self, namespace: str, name: str) -> None:
        """The model is gone."""
        self._held.pop((namespace, name), None)
        self._probed.pop((namespace, name), None)

    async def hold(
        self, model: Object, spec: EmbeddingModelSpec, status: EmbeddingModelStatus, store: AsyncStore
    ) -> Hold:
        """Claim the store, or see that it is held."""
        key, what = (namespace_of(model), name_of(model)), (uid_of(model), spec.store.location())
        believed, since = self._held.get(key, (None, 0.0))
        limit = ROLLOUT_BELIEVED_SECONDS if active(status.rollout) else BELIEVED_SECONDS
        if believed == what and time.monotonic() - since < limit and not self._probe_is_due(model, status):
            return Hold(held=True)
        try:
            refused = await self._refusal(model, status, store)
            if refused is not None:
                self._held.pop(key, None)
                return Hold(refused=refused) if refused.reason == "AlreadyClaimed" else Hold(problem=refused)
            self._held[key] = (what, time.monotonic())
            if not self._probe_is_due(model, status):
                return Hold(held=True)
            unsafe = await self._probe(store)
            self._probed[key] = time.monotonic()
            return Hold(held=True, judged=True, unsafe=unsafe)
        except (StoreError, StoreProblem) as error:
            problem = problem_of(error)
            if status.base_version is not None and problem.reason in PASSING:
                return Hold()
            return Hold(problem=Failure(problem.reason, str(problem)))

    async def _refusal(self, model: Object, status: EmbeddingModelStatus, store: AsyncStore) -> Failure | None:
        ours = owner_from(model, await self._context.cluster.uid())
        step = await self._step(model, ours, store)
        if step == "Ours":
            return None
        if isinstance(step, Failure):
            return step
        if step == "Claim":
            if (earlier := store_claimed_by_another(model, self._context.cache.all(MODELS))) is not None:
                return earlier
            if status.base_version is not None and await self._lacks(store, status.base_version):
                where = store.uri(store_layout.manifest(status.base_version))
                text = f"this is not the store that the model has used: {where} does not exist there"
                return Failure("VersionNotFound", f"{text}; correct spec.store.endpoint, or restore the store")
            await _create(store, ours)
        else:
            await self._still_there(model)
            await store.put(store_layout.OWNER, ours.encode())
        after = await self._step(model, ours, store)
        if after != "Ours":
            return after if isinstance(after, Failure) else Failure("StoreError", "another model wrote owner.json, too")
        if step == "TakeOver":
            await self._tell(model, store)
        return None

    async def _step(self, model: Object, ours: StoreOwner, store: AsyncStore) -> str | Failure:
        found = await store.get_or_none(store_layout.OWNER)
        return owner_step(found, ours, take_over_from(model), store.uri(store_layout.OWNER))

    async def _lacks(self, store: AsyncStore, version: str) -> bool:
        return await store.stat(store_layout.manifest(version)) is None

    async def _still_there(self, model: Object) -> None:
        """Only a model that lives takes over: one that was seen last before it was made again does not. Raises
        Conflict."""
        live = await self._context.kube.get(MODELS, namespace_of(model), name_of(model))
        if live is None or uid_of(live) != uid_of(model) or is_deleting(live):
            raise Conflict(409, "Conflict", f"model {name_of(model)} is gone, or was made again")

    async def _tell(self, model: Object, store: AsyncStore) -> None:
        text = f"the store {store.uri()} belongs to this model now"
        logger.info("%s", text, extra={"model": name_of(model)})
        await self._context.events.emit(model, "StoreTakenOver", text, level="Normal")

    def _probe_is_due(self, model: Object, status: EmbeddingModelStatus) -> bool:
        said = find(status.conditions, "StoreUnsafe")
        if said is None or said.observed_generation != model["metadata"].get("generation", 0):
            return True
        probed = self._probed.get((namespace_of(model), name_of(model)))
        return said.status == "True" and (probed is None or time.monotonic() - probed > PROBE_SECONDS)

    async def _probe(self, store: AsyncStore) -> Failure | None:
        try:
            await store.require_conditional_writes()
        except NoConditionalWrites as error:
            text = (
                f"{error}. What is lost: two models may claim this prefix at the same instant, two tasks of one"
                " idempotencyKey may both work, and the trainer refuses to run"
            )
            return Failure("NoConditionalWrites", text)
        return None


async def _create(store: AsyncStore, ours: StoreOwner) -> None:
    try:
        await store.create(store_layout.OWNER, ours.encode())
    except NoConditionalWrites:  # a store that refuses such a request at all; who stands there is looked at after it
        await store.put(store_layout.OWNER, ours.encode())
