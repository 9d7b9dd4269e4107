"""A Job's Events, and its Workload of Kueue, which tell what neither it nor a pod does."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.jobs.pod_refusal import events_of_refusals, lacks_pod, next_look, refusal
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.kinds import EVENTS, OLDER_WORKLOADS, WORKLOADS, Object, name_of, namespace_of, uid_of
from bluetune_operator.core.tasks.queue_words import JOB_UID_LABEL, not_admitted, waits_in_queue

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 4096
QUEUE_SECONDS, UNKNOWN_SECONDS = 30.0, 4.0
"""How long what a Workload says is believed, and that it says nothing yet."""
NO_KUEUE_SECONDS = 300.0
"""How long Workloads are not asked for after there were none of them to read, or no right to."""
EVERYWHERE = ""
"""Instead of a namespace: the cluster has no Workloads."""
IN_QUEUE = -1
"""Instead of a number of pods."""


class JobEvents:
    """Why Jobs get no pod. What was told is remembered, so that many looks at a Job are few lists of its Events."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self._told: OrderedDict[tuple[str, int], tuple[datetime, Trouble | None]] = OrderedDict()
        """Until when an answer is believed, and the answer, by the Job's uid and how many pods it had, or IN_QUEUE."""
        self._not_asked_until: dict[str, datetime] = {}
        """Until when Workloads are not asked for, by namespace or EVERYWHERE."""

    async def why_no_pod(self, job: Object, pods: Sequence[Object], now: datetime) -> Trouble | None:
        """Why a Job that should have a pod has none of `pods`, its own, that can run; or why Kueue does not admit it.

        Events and Workloads that cannot be read cost only the answer.
        """
        if waits_in_queue(job):
            return await self._why_not_admitted(job, now)
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
        return self._remembered(key, refusal(job, pods, events), now + timedelta(seconds=next_look(job, now)))

    def _remembered(self, key: tuple[str, int], trouble: Trouble | None, until: datetime) -> Trouble | None:
        self._told[key] = until, trouble
        self._told.move_to_end(key)
        while len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return trouble

    async def _why_not_admitted(self, job: Object, now: datetime) -> Trouble | None:
        key = uid_of(job), IN_QUEUE
        until, trouble = self._told.get(key, (now, None))
        namespace = namespace_of(job)
        if now < until or any(now < self._not_asked_until.get(place, now) for place in (namespace, EVERYWHERE)):
            return trouble
        try:
            workloads = await self._workloads(job)
        except (ApiError, ApiUnavailable) as error:
            logger.info("why Kueue does not admit Job %s is not known: %s", name_of(job), error)
            if not isinstance(error, ApiError) or error.status not in (403, 404):
                return self._remembered(key, trouble, now + timedelta(seconds=UNKNOWN_SECONDS))
            self._not_asked_until = {place: end for place, end in self._not_asked_until.items() if now < end}
            place = namespace if error.status == 403 else EVERYWHERE
            self._not_asked_until[place] = now + timedelta(seconds=NO_KUEUE_SECONDS)
            return self._remembered(key, None, now)
        trouble = not_admitted(job, workloads)
        seconds = QUEUE_SECONDS if trouble is not None else UNKNOWN_SECONDS
        return self._remembered(key, trouble, now + timedelta(seconds=seconds))

    async def _workloads(self, job: Object) -> list[Object]:
        """The Job's Workloads, in the version that this Kueue serves."""
        namespace, labels = namespace_of(job), {JOB_UID_LABEL: uid_of(job)}
        try:
            return await self._kube.list(WORKLOADS, namespace, labels=labels)
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._kube.list(OLDER_WORKLOADS, namespace, labels=labels)
