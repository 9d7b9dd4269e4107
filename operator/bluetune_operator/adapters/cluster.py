"""Which cluster this is."""

import logging

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.kinds import NAMESPACES, uid_of

logger = logging.getLogger(__name__)

KUBE_SYSTEM = "kube-system"


class Cluster:
    """The cluster's identity: the uid of its namespace kube-system, which lives as long as the cluster."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._known = False
        self._uid: str | None = None

    async def uid(self) -> str | None:
        """The uid, read once; None where the operator may not read it. Raises ApiUnavailable."""
        if not self._known:
            try:
                found = await self._kube.get(NAMESPACES, "", KUBE_SYSTEM)
            except ApiError as error:
                if error.status not in (401, 403):
                    raise
                logger.info("the cluster's identity is not known: %s", error.message)
                found = None
            self._uid, self._known = uid_of(found) if found is not None else None, True
        return self._uid
