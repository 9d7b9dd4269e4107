"""Which versions a store need not keep. A version that anything may still ask for is never among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_operator.core.kinds import uid_of
from bluetune_operator.core.lock.rules import has_ended
from bluetune_operator.core.rollout.choice import active

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Stored:
    """A version that exists."""

    version: str
    published: float
    """When its manifest was written, in seconds since the epoch."""


def versions_of(objects: Iterable[tuple[str, float]]) -> list[Stored]:
    """Versions among the objects (key and time) below `versions/`: those that have a manifest."""
    found = []
    for key, modified in objects:
        version = key.removeprefix(store_layout.VERSIONS).partition("/")[0]
        if key == store_layout.manifest(version):
            found.append(Stored(version, modified))
    return found


def surplus(stored: Iterable[Stored], keep: int, in_use: frozenset[str]) -> list[str]:
    """Versions to remove, oldest first: neither among the `keep` newest nor in use."""
    newest_first = sorted(stored, key=lambda s: (-s.published, s.version))
    return [s.version for s in reversed(newest_first[keep:]) if s.version not in in_use]


def in_use(
    model: Json,
    spec: EmbeddingModelSpec,
    status: EmbeddingModelStatus,
    tasks: Iterable[Json],
    models: Iterable[Json],
) -> frozenset[str]:
    """Versions of a model that something refers to.

    Args:
        model: the model.
        spec: its spec.
        status: its status.
        tasks: its tasks.
        models: all models that are known, of which some may start from a version of this one.
    """
    found: set[str | None] = {status.base_version}
    if spec.serving is not None:
        found |= {spec.serving.rollback_to, spec.serving.promote.version if spec.serving.promote else None}
    if status.current is not None:
        found.add(status.current.version)
    if status.history:
        found.add(status.history[0].version)
    if status.rollout is not None:
        found |= {status.rollout.to, status.rollout.source}
    for task in tasks:
        if not has_ended(task):
            said = task.get("status") or {}
            found.add(task["spec"].get("startFrom"))
            found |= {said.get(name) for name in ("startVersion", "liveVersion", "bestModelId")}
    folder = spec.store.uri(store_layout.VERSIONS)
    for other in models:
        base = str(((other.get("spec") or {}).get("base") or {}).get("uri") or "")
        if uid_of(other) != uid_of(model) and base.startswith(folder):
            found.add(base.removeprefix(folder).partition("/")[0])
    return frozenset(version for version in found if version)


def is_due(old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> bool:
    """Whether a change of a model's status may have left a version too many, or freed one."""
    if new.base_version is None or new.lock is not None or active(new.rollout):
        return False
    before = (old.lock, _version(old), active(old.rollout), old.observed_generation, old.base_version)
    return before != (new.lock, _version(new), False, new.observed_generation, new.base_version)


def busy(holder: str | None, work: Sequence[tuple[str, str, str]], status: EmbeddingModelStatus) -> str | None:
    """Why nothing may be removed now; None if it may.

    While a task holds the model, its trainer may be publishing the very version that is to go: versions are named by
    their content, so one that is trained again has the same name.
    """
    if holder is not None:
        return f"task {holder} holds the model"
    if work:
        return f"{work[0][0]} {work[0][1]} has not ended"
    if active(status.rollout):
        return "a rollout is under way"
    return None


def _version(status: EmbeddingModelStatus) -> str | None:
    return status.current.version if status.current else None
