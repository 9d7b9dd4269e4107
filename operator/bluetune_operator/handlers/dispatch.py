"""Workers that take keys from the queue and reconcile them."""

import asyncio
import logging
import time
from collections.abc import Mapping

from bluetune_api.objectstore import StoreError
from bluetune_operator.adapters.store import StoreProblem
from bluetune_operator.core.errors import ApiError, ApiUnavailable, Conflict
from bluetune_operator.core.kinds import Key
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.logs import current_key
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import Reconciler

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 180.0


class Dispatcher:
    """Gives each key to the reconciler of its kind."""

    def __init__(
        self, queue: WorkQueue, reconcilers: Mapping[str, Reconciler], health: Health, metrics: Metrics
    ) -> None:
        self._queue = queue
        self._reconcilers = reconcilers
        self._health = health
        self._metrics = metrics

    async def work(self) -> None:
        """Reconcile key after key until the task is cancelled."""
        while True:
            key = await self._queue.get()
            token = current_key.set(key)
            self._health.begun(key)
            begun = time.monotonic()
            outcome = "error"
            try:
                outcome = await self._reconcile(key)
            finally:
                self._health.ended(key)
                self._queue.done(key)
                self._metrics.reconcile_seconds.labels(key.kind, outcome).observe(time.monotonic() - begun)
                current_key.reset(token)

    async def _reconcile(self, key: Key) -> str:
        """Reconcile once; a failure is logged and tried again with backoff. Returns the outcome for the metrics."""
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                wait = await self._reconcilers[key.kind].reconcile(key.namespace, key.name)
        except Conflict as error:
            # what was read is old; the watch is about to bring the new one
            self._retry(key)
            logger.debug("conflict: %s", error)
            return "conflict"
        except ApiError as error:
            if error.status == 404:  # deleted meanwhile, or its namespace is
                self._retry(key)
                return "gone"
            delay = self._retry(key)
            logger.warning("the API server refused: %s; again in %.1f s", error, delay)
            return "refused"
        except (ApiUnavailable, StoreError, StoreProblem, TimeoutError) as error:
            delay = self._retry(key)
            logger.warning("%s; again in %.1f s", str(error) or "timeout", delay)
            return "unavailable"
        except Exception:
            delay = self._retry(key)
            logger.exception("a defect in the operator; again in %.1f s", delay)
            return "error"
        self._queue.succeed(key)
        if wait is not None:
            self._queue.add(key, wait)
        return "ok"

    def _retry(self, key: Key) -> float:
        self._metrics.retries.labels(key.kind).inc()
        return self._queue.fail(key)
