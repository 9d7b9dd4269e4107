"""A model's Lease: read live, taken and freed by compare-and-swap."""

from datetime import datetime

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import AlreadyExists, Conflict
from bluetune_operator.core.kinds import (
    JOBS,
    LEASES,
    MODEL_LABEL,
    PODS,
    Object,
    lease_name,
    name_of,
    namespace_of,
)
from bluetune_operator.core.lock.rules import held_lease, unfinished_work


async def read_lease(kube: KubeApi, namespace: str, model: str) -> Object | None:
    """The model's Lease as it is now, or None."""
    return await kube.get(LEASES, namespace, lease_name(model))


async def live_work(kube: KubeApi, namespace: str, model: str) -> list[tuple[str, str, str]]:
    """`unfinished_work` of all tasks of a model, by live lists."""
    labels = {MODEL_LABEL: model}
    jobs = await kube.list(JOBS, namespace, labels=labels)
    pods = await kube.list(PODS, namespace, labels=labels)
    return unfinished_work(jobs, pods)


async def write_holder(
    kube: KubeApi, cache: ObjectCache, model: Object, lease: Object | None, task: Object | None, now: datetime
) -> Object:
    """Make `task` (None: nobody) the holder, if the Lease is still as it was read. Raises Conflict if it is not."""
    body = held_lease(model, task, now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), lease)
    try:
        written = await (kube.replace(LEASES, body) if lease is not None else kube.create(LEASES, body))
    except AlreadyExists:
        where = f"{namespace_of(model)}/{lease_name(name_of(model))}"
        raise Conflict(409, "Conflict", f"Lease {where} was taken meanwhile") from None
    cache.put(LEASES, written)
    return written
