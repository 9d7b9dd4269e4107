"""Which version is live, kept in the store: written at each promotion, read by a model whose status is lost."""

import logging
import time

from bluetune_api import store_layout
from bluetune_api.model import CurrentVersion, EmbeddingModelStatus
from bluetune_api.objectstore import StoreError
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, problem_of
from bluetune_operator.core.kinds import Object, name_of, uid_of
from bluetune_operator.core.models.adoption import (
    Candidate,
    Judged,
    adoption,
    deployed,
    record_of,
    recorded,
    says_already,
)
from bluetune_operator.core.models.base_import import manifest_problem
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.reconciler.models.store_claim import store_refusal
from bluetune_operator.reconciler.rollout.reconcile import Subject

logger = logging.getLogger(__name__)

KEPT, BELIEVED_SECONDS = 1000, 600.0
"""Records that are remembered to be in the store, and for how long: what another operator wrote late is put right."""


async def adopted(subject: Subject, deployment: Object | None) -> Candidate | Failure | None:
    """What a model that has never rolled anything out takes over as current.

    Args:
        subject: the model, whose base is published.
        deployment: the blue one, as read live; None if there is none, or nothing is served.
    """
    status, store = subject.status, subject.store
    if status.current is not None or status.rollout is not None:
        return None
    if store is None:
        return Failure("StoreUnreachable", "which version is live cannot be told: the store cannot be opened")
    location = subject.spec.store.location()
    try:
        judged: list[Judged] = []
        data = await store.get_or_none(store_layout.CURRENT)
        if data is not None:
            said = recorded(data, location)
            judged.append((None, said) if isinstance(said, Failure) else await _judged(store, said))
        if subject.spec.serving is not None:
            serves = deployed(deployment, subject.spec.serving, location, subject.now)
            if serves is not None:
                judged.append(await _judged(store, serves))
    except StoreError as error:
        problem = problem_of(error)
        return Failure(problem.reason, f"which version is live cannot be told: {problem}")
    return adoption(judged)


def with_current(status: EmbeddingModelStatus, candidate: Candidate) -> EmbeddingModelStatus:
    """The status of a model that has taken over a live version."""
    history = list(candidate.history) or None
    return status.model_copy(update={"current": candidate.current, "history": history})


async def _judged(store: AsyncStore, candidate: Candidate) -> Judged:
    current = candidate.current
    manifest = await store.get_or_none(store_layout.manifest(current.version))
    return candidate, manifest_problem(manifest, current.version, current.digest)


class LiveVersions:
    """Keeps current.json what the status says."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[bytes, float]] = {}

    async def record(self, model: Object, store: AsyncStore, status: EmbeddingModelStatus) -> bool:
        """Write current.json unless it says so already; False if that is to be tried again."""
        current: CurrentVersion | None = status.current
        if current is None:
            return True
        wanted = record_of(current, status.history or ())
        data = wanted.encode()
        written, since = self._written.get(uid_of(model), (None, 0.0))
        if written == data and time.monotonic() - since < BELIEVED_SECONDS:
            return True
        try:
            if not says_already(await store.get_or_none(store_layout.CURRENT), wanted):
                if (refused := await store_refusal(model, store)) is not None:
                    logger.warning("current.json is not written: %s", refused.message, extra={"model": name_of(model)})
                    return False
                await store.put(store_layout.CURRENT, data)
        except (StoreError, StoreProblem) as error:
            logger.warning("current.json is not written: %s", problem_of(error), extra={"model": name_of(model)})
            return False
        self._written[uid_of(model)] = data, time.monotonic()
        while len(self._written) > KEPT:
            self._written.pop(next(iter(self._written)))
        return True
