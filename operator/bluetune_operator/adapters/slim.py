"""What is kept of an object: all that somebody here reads of it, in little memory."""

from typing import Any

from bluetune_operator.core.kinds import JOBS, PODS, Kind, Object

MAX_SHARED = 4096

_shared: dict[str, str] = {}
"""Names of fields, and words such as reasons: each is held once, however many objects have it."""


def slim(kind: Kind, thing: Object) -> Object:
    """A copy without what nobody here reads: managedFields, a Job's pod template, most of a pod's spec.

    So a Job or pod that was kept can be patched, but not replaced.
    """
    metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
    found = {**thing, "metadata": metadata}
    if kind == JOBS:
        found["spec"] = {name: value for name, value in (thing.get("spec") or {}).items() if name != "template"}
    elif kind == PODS:
        spec = thing.get("spec") or {}
        containers = [{k: c[k] for k in ("name", "resources") if k in c} for c in spec.get("containers") or []]
        found["spec"] = {"containers": containers} | {k: spec[k] for k in ("nodeName",) if k in spec}
    copied: Object = _copy(found)
    return copied


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {_once(name): _copy(inner) for name, inner in value.items()}
    if type(value) is list:
        return [_copy(inner) for inner in value]
    return _once(value) if type(value) is str and value.isalpha() else value


def _once(text: str) -> str:
    if text not in _shared and len(_shared) < MAX_SHARED:
        _shared[text] = text
    return _shared.get(text, text)
