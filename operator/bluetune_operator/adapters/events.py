"""Kubernetes Events, on transitions only. They tell people; nothing depends on them, so a lost one is no error."""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Literal

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.errors import AlreadyExists, ApiError, ApiUnavailable
from bluetune_operator.core.kinds import EVENTS, Object, name_of, namespace_of, uid_of

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 1024


class Events:
    """Writes Events about our resources."""

    def __init__(self, kube: KubeApi, *, instance: str) -> None:
        self._kube = kube
        self._instance = instance

    async def emit(self, about: Object, reason: str, message: str, *, level: Literal["Normal", "Warning"]) -> None:
        """Write an Event; the same one again only counts up. Failures are logged, not raised."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = shortened(message, MESSAGE_LIMIT)
        digest = hashlib.sha256(f"{uid_of(about)} {level} {reason} {message}".encode()).hexdigest()[:16]
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(about)}.{digest}", "namespace": namespace_of(about)},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": name_of(about),
                "namespace": namespace_of(about),
                "uid": uid_of(about),
            },
            "type": level,
            "reason": reason,
            "message": message,
            "source": {"component": "bluetune-operator"},
            "reportingComponent": "bluetune.dev/operator",
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._write(event)
        except (ApiError, ApiUnavailable) as error:
            if isinstance(error, ApiError) and "because it is being terminated" in error.message:
                return  # nobody is left to tell
            logger.warning("event %s about %s was not written: %s", reason, name_of(about), error)

    async def _write(self, event: Object) -> None:
        try:
            await self._kube.create(EVENTS, event)
        except AlreadyExists:
            found = await self._kube.get(EVENTS, namespace_of(event), name_of(event))
            if found is not None:
                found |= {"count": int(found.get("count") or 1) + 1, "lastTimestamp": event["lastTimestamp"]}
                await self._kube.replace(EVENTS, found)
