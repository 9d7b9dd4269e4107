"""The command line: `bluetune`, and `kubectl bluetune`; and what Python asks of bluetune.

It needs the API package and no torch. A name below is imported when it is asked for, so that the package itself costs
nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bluetune.client import AsyncClient, Client
    from bluetune.core.errors import (
        BluetuneError,
        Conflict,
        FineTuneError,
        Forbidden,
        Invalid,
        NotFound,
        Refused,
        TimedOut,
        Unreachable,
    )
    from bluetune.core.results import Asked, Task, TaskFailed
    from bluetune.core.versions import Version
    from bluetune.local import fine_tune

__all__ = [
    "Asked",
    "AsyncClient",
    "BluetuneError",
    "Client",
    "Conflict",
    "FineTuneError",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Refused",
    "Task",
    "TaskFailed",
    "TimedOut",
    "Unreachable",
    "Version",
    "fine_tune",
]
_PLACES = {
    **dict.fromkeys(__all__, "core.errors"),
    **dict.fromkeys(("Asked", "Task", "TaskFailed"), "core.results"),
    **dict.fromkeys(("AsyncClient", "Client"), "client"),
    "Version": "core.versions",
    "fine_tune": "local",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'bluetune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bluetune.{place}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
