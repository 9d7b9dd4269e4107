"""Requests and limits where nobody says any: a quota on them refuses a container without, and a pod without requests is
the first that a node gets rid of."""

from bluetune_api.pods import Resources
from bluetune_operator.core.jobs.cpu_pods import amount_of

TRAINING = Resources(requests={"cpu": "100m", "memory": "256Mi"})
"""A training has no limits by default: one that is too low kills a run of hours."""
CHECK_OR_IMPORT = Resources(requests=TRAINING.requests, limits={"cpu": "2", "memory": "8Gi"})
FETCHER = Resources(requests=TRAINING.requests, limits={"cpu": "1", "memory": "512Mi"})


def filled(asked: Resources | None, defaults: Resources) -> Resources:
    """`asked`, with the defaults for CPU and memory where it names neither a request nor a limit.

    A limit that is asked for stays without a request, as Kubernetes then requests as much; a request that is asked for
    gets the default limit, or itself where that is more.
    """
    asked = asked or Resources()
    requests, limits = dict(asked.requests or {}), dict(asked.limits or {})
    for name, request in (defaults.requests or {}).items():
        if name in limits:
            continue
        most = (defaults.limits or {}).get(name)
        if most is not None:
            limits[name] = max(most, requests.get(name, most), key=amount_of)
        requests.setdefault(name, request)
    return asked.model_copy(update={"requests": requests or None, "limits": limits or None})
