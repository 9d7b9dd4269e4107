"""The command line: `bluetune`, and `kubectl bluetune`; and what Python asks of bluetune.

It needs the API package and no torch. A name below is imported when it is asked for, so that the package itself costs
nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bluetune.core.errors import FineTuneError
    from bluetune.local import fine_tune

_PLACES = {
    "FineTuneError": "core.errors",
    "fine_tune": "local",
}
__all__ = ["FineTuneError", "fine_tune"]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'bluetune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bluetune.{place}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
