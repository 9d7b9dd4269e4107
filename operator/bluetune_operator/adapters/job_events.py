"""A Job's Events, which tell what neither it nor a pod does."""

import logging
from collections.abc import Sequence
from datetime import datetime

from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.job_state import Trouble
from bluetune_operator.core.kinds import EVENTS, Object, name_of, namespace_of
from bluetune_operator.core.pod_refusal import events_of_refusals, lacks_pod, refusal

logger = logging.getLogger(__name__)


async def why_no_pod(kube: KubeApi, job: Object, pods: Sequence[Object], now: datetime) -> Trouble | None:
    """Why a Job that should have a pod has none of `pods`, its own. Events that cannot be read cost only the answer."""
    if not lacks_pod(job, pods, now):
        return None
    try:
        events = await kube.list(EVENTS, namespace_of(job), fields=events_of_refusals(job))
    except (ApiError, ApiUnavailable) as error:
        logger.warning("why Job %s has no pod is not known: %s", name_of(job), error)
        return None
    return refusal(job, pods, events)
