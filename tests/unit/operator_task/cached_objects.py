"""Objects as the API server would show them, small."""

from typing import Any


def thing(
    name: str, version: int = 1, *, uid: str = "", labels: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels or {}}, **more}


def task(
    name: str, model: str = "m", version: int = 1, *, locked: bool = False, ended: bool = False, **spec: Any
) -> dict[str, Any]:
    true = {"LockAcquired": locked, "Succeeded": ended}
    conditions = [{"type": kind, "status": "True", "reason": "Whatever"} for kind, is_set in true.items() if is_set]
    return thing(name, version, spec={"modelRef": {"name": model}, **spec}, status={"conditions": conditions})
