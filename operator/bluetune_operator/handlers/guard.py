"""Only one operator works at a time: a Lease, renewed while the process lives; losing it ends the process."""

import asyncio
import logging
import time
from datetime import UTC, datetime

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import AlreadyExists, ApiError, ApiUnavailable, Conflict
from bluetune_operator.core.kinds import BLUETUNE, LEASES, MANAGED_BY, Object

logger = logging.getLogger(__name__)

NAME = "bluetune.operator"
"""With a dot, which no model may have in its name: `bluetune-<model>` is a model's Lease."""
DURATION_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 30.0, 5.0, 2.0
DEADLINE_SECONDS = 20.0
"""Without a renewal for this long the process gives up, well before another one may take over."""


class LeaseLost(Exception):
    """Another process has the Lease, or it could not be renewed in time."""


class Guard:
    """Holds the operator's Lease. `identity` is the pod's name, so that a restarted container goes on at once."""

    def __init__(self, kube: KubeApi, namespace: str, identity: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._observed: tuple[str, float] = ("", 0.0)

    async def acquire(self) -> None:
        """Wait until this process holds the Lease. Raises ApiError if it may not be written."""
        told = False
        while not await self._try():
            if not told:
                logger.info("another operator holds Lease %s/%s; waiting", self._namespace, NAME)
                told = True
            await asyncio.sleep(RETRY_SECONDS)

    async def keep(self) -> None:
        """Renew for ever. Raises LeaseLost."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                if not await asyncio.wait_for(self._try(), DEADLINE_SECONDS):
                    raise LeaseLost(f"Lease {self._namespace}/{NAME} is held by another operator now")
                renewed = time.monotonic()
            except (ApiUnavailable, ApiError, TimeoutError) as error:
                logger.warning("Lease %s/%s was not renewed: %s", self._namespace, NAME, error)
            if time.monotonic() - renewed > DEADLINE_SECONDS:
                raise LeaseLost(f"Lease {self._namespace}/{NAME} could not be renewed for {DEADLINE_SECONDS:.0f} s")

    async def release(self) -> None:
        """Let the next one start at once. A failure only costs it the Lease's duration."""
        try:
            lease = await self._kube.get(LEASES, self._namespace, NAME)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._kube.replace(LEASES, lease)
        except (ApiError, ApiUnavailable) as error:
            logger.info("Lease %s/%s was not released: %s", self._namespace, NAME, error)

    async def _try(self) -> bool:
        """Take or renew the Lease; False if another one holds it."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = await self._kube.get(LEASES, self._namespace, NAME)
        try:
            if lease is None:
                await self._kube.create(LEASES, self._new(now))
                return True
            spec = lease.setdefault("spec", {})
            holder = spec.get("holderIdentity") or ""
            if holder not in ("", self._identity) and not self._is_stale(lease):
                return False
            if holder != self._identity:
                spec["acquireTime"] = now
                spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec |= {
                "holderIdentity": self._identity,
                "renewTime": now,
                "leaseDurationSeconds": int(DURATION_SECONDS),
            }
            await self._kube.replace(LEASES, lease)
        except (Conflict, AlreadyExists):
            return False
        return True

    def _is_stale(self, lease: Object) -> bool:
        """Whether the holder has not renewed for its duration, by this process's clock: clocks may differ."""
        version = lease["metadata"]["resourceVersion"]
        if self._observed[0] != version:
            self._observed = (version, time.monotonic())
        duration = float(lease["spec"].get("leaseDurationSeconds") or DURATION_SECONDS)
        return time.monotonic() - self._observed[1] > duration

    def _new(self, now: str) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": {"name": NAME, "namespace": self._namespace, "labels": {MANAGED_BY: BLUETUNE}},
            "spec": {
                "holderIdentity": self._identity,
                "acquireTime": now,
                "renewTime": now,
                "leaseDurationSeconds": int(DURATION_SECONDS),
                "leaseTransitions": 0,
            },
        }
