"""A Job's Events, which tell what neither it nor a pod does."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.job_state import Trouble
from bluetune_operator.core.kinds import EVENTS, Object, name_of, namespace_of, uid_of
from bluetune_operator.core.pod_refusal import events_of_refusals, lacks_pod, next_look, refusal

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 4096


class JobEvents:
    """Why Jobs get no pod. What was told is remembered, so that many looks at a Job are few lists of its Events."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._told: OrderedDict[tuple[str, int], tuple[datetime, Trouble | None]] = OrderedDict()
        """By the Job's uid and how many pods it had: until when it is believed, and what was said."""

    async def why_no_pod(self, job: Object, pods: Sequence[Object], now: datetime) -> Trouble | None:
        """Why a Job that should have a pod has none of `pods`, its own, that can run.

        Events that cannot be read cost only the answer.
        """
        if not lacks_pod(job, pods, now):
            return None
        key = uid_of(job), len(pods)
        until, trouble = self._told.get(key, (now, None))
        if now < until:
            return trouble
        try:
            events = await self._kube.list(EVENTS, namespace_of(job), fields=events_of_refusals(job))
        except (ApiError, ApiUnavailable) as error:
            logger.warning("why Job %s has no pod is not known: %s", name_of(job), error)
            return trouble
        trouble = refusal(job, pods, events)
        self._told[key] = now + timedelta(seconds=next_look(job, now)), trouble
        self._told.move_to_end(key)
        while len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return trouble
