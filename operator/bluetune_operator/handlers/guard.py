"""Only one operator works at a time: a Lease, renewed while the process lives; losing it ends the process.

As client-go's leader election, with two differences. Who could not renew in time writes nothing (`Fence`), but waits
and goes on if nobody took the Lease meanwhile: an API server that is away for a minute costs no restart. And the Lease
is renewed by its resourceVersion, so that a process that slept cannot take one back that was another's in between.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from bluetune_operator.adapters.fence import Fence, uptime
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import AlreadyExists, ApiError, ApiUnavailable, Conflict
from bluetune_operator.core.kinds import BLUETUNE, LEASES, MANAGED_BY, Object

logger = logging.getLogger(__name__)

NAME = "bluetune.operator"
"""The name has a dot, which no model's name may have: `bluetune-<model>` is a model's Lease."""
DURATION_SECONDS = 12.0
"""Without a renewal for this long, by its own clock, another process may take the Lease."""
DEADLINE_SECONDS = 8.0
"""So long after it asked for a renewal that succeeded a process may write; the rest is for what is on its way."""
RENEW_SECONDS, RETRY_SECONDS = 3.0, 1.5


class LeaseLost(Exception):
    """Another process has, or had, the Lease."""


class Guard:
    """Holds the operator's Lease. `identity` is the pod's name, so that a restarted container goes on at once."""

    def __init__(
        self, kube: KubeApi, namespace: str, identity: str, fence: Fence, clock: Callable[[], float] = uptime
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._fence = fence
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._lease: Object = {}
        """The Lease as it was written last."""

    async def acquire(self, stand_by: Callable[[], None]) -> None:
        """Wait until this process holds the Lease; `stand_by` is called if another one holds it now.

        Raises ApiError if it may not be written, ApiUnavailable if the API server does not answer the first request.
        """
        standing_by = False
        while True:
            asked = self._clock()
            try:
                if await self._take():
                    self._fence.open_until(asked + DEADLINE_SECONDS)
                    return
            except ApiUnavailable as error:
                if not standing_by:
                    raise
                logger.warning("Lease %s/%s cannot be read: %s", self._namespace, NAME, error)
            else:
                if not standing_by:
                    logger.info("another operator holds Lease %s/%s; waiting", self._namespace, NAME)
                    standing_by = True
                    stand_by()
            await asyncio.sleep(RETRY_SECONDS)

    async def keep(self) -> None:
        """Renew the Lease until it is lost. Raises LeaseLost; nothing is written from then on."""
        try:
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                asked = self._clock()
                try:
                    async with asyncio.timeout(DEADLINE_SECONDS):  # wait_for may swallow a cancellation
                        await self._renew()
                except (ApiUnavailable, ApiError, TimeoutError) as error:
                    paused = "" if self._fence.is_open() else "; nothing is written until it is"
                    logger.warning(
                        "Lease %s/%s was not renewed%s: %s", self._namespace, NAME, paused, str(error) or "timeout"
                    )
                else:
                    self._fence.open_until(asked + DEADLINE_SECONDS)
        finally:
            self._fence.close()

    async def release(self) -> None:
        """Let the next one start at once. A failure only costs it the Lease's duration."""
        self._fence.close()
        try:
            spec = {**self._lease["spec"], "holderIdentity": ""}
            await self._kube.replace(LEASES, {**self._lease, "spec": spec})
        except (ApiError, ApiUnavailable) as error:
            logger.info("Lease %s/%s was not released: %s", self._namespace, NAME, error)

    async def _take(self) -> bool:
        """Take the Lease; False if another one holds it."""
        now = _now()
        lease = await self._kube.get(LEASES, self._namespace, NAME)
        try:
            if lease is None:
                self._lease = await self._kube.create(LEASES, self._new(now))
                return True
            spec = lease.get("spec") or {}
            holder = spec.get("holderIdentity") or ""
            if holder not in ("", self._identity) and not self._is_stale(lease):
                return False
            # a new term also if the identity is the same: a process of that name may be asleep
            term = {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
            self._lease = await self._kube.replace(LEASES, {**lease, "spec": {**spec, **self._held(now), **term}})
        except (Conflict, AlreadyExists):
            return False
        return True

    async def _renew(self) -> None:
        """Renew the Lease as it was written last. Raises LeaseLost if it was anybody else's since."""
        try:
            await self._write_again()
        except Conflict:
            found = await self._kube.get(LEASES, self._namespace, NAME)
            if found is None or _term(found) != _term(self._lease):
                raise LeaseLost(f"Lease {self._namespace}/{NAME} is held by another operator now") from None
            self._lease = found  # somebody labelled it, or the answer to a renewal was lost
            await self._write_again()
        except ApiError as error:
            if error.status != 404:
                raise
            raise LeaseLost(f"Lease {self._namespace}/{NAME} was deleted") from None

    async def _write_again(self) -> None:
        spec = {**self._lease["spec"], **self._held(_now())}
        self._lease = await self._kube.replace(LEASES, {**self._lease, "spec": spec})

    def _is_stale(self, lease: Object) -> bool:
        """Whether the holder has not renewed for its duration, by this process's clock: clocks may differ."""
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self._clock())
        duration = float(lease["spec"].get("leaseDurationSeconds") or DURATION_SECONDS)
        return self._clock() - self._seen[1] > duration

    def _held(self, now: str) -> Object:
        return {
            "holderIdentity": self._identity,
            "renewTime": now,
            "leaseDurationSeconds": int(DURATION_SECONDS),
        }

    def _new(self, now: str) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": {"name": NAME, "namespace": self._namespace, "labels": {MANAGED_BY: BLUETUNE}},
            "spec": {**self._held(now), "acquireTime": now, "leaseTransitions": 0},
        }


def _term(lease: Object) -> tuple[object, ...]:
    """What every taking of the Lease changes, and no renewal."""
    spec = lease.get("spec") or {}
    return spec.get("holderIdentity"), spec.get("acquireTime"), spec.get("leaseTransitions")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
