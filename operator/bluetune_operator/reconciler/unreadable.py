"""An object whose status a newer operator wrote: it is told so, and nothing else is done with it."""

import logging

from bluetune_operator.core.errors import ApiError, Conflict
from bluetune_operator.core.kinds import Kind, Object, name_of, namespace_of
from bluetune_operator.core.unreadable_status import UNREADABLE, with_warning
from bluetune_operator.reconciler.base import Context

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 300.0
"""Until the next look. An operator that can read the status looks when it starts."""


async def leave_as_it_is(context: Context, kind: Kind, thing: Object, message: str) -> float:
    """Add a condition to a status that cannot be read, with a Warning; seconds until the next look.

    Raises Conflict if the object is no longer as it was seen.
    """
    # written whole, so it is read whole: the cache does not keep all of an object
    live = await context.kube.get(kind, namespace_of(thing), name_of(thing))
    if live is None:
        return AGAIN_SECONDS
    if live["metadata"].get("resourceVersion") != thing["metadata"].get("resourceVersion"):
        raise Conflict(409, "Conflict", f"{kind.name} {name_of(thing)} has changed")
    status = with_warning(live, message, context.clock())
    if status is None:
        return AGAIN_SECONDS
    logger.error("%s", message, extra={"reason": UNREADABLE})
    try:
        context.cache.put(kind, await context.kube.replace_status(kind, live, status))
    except ApiError as error:
        if error.status != 422:
            raise
        logger.error("the condition was refused: %s", error.message)
    await context.events.emit(live, UNREADABLE, message, level="Warning")
    return AGAIN_SECONDS
