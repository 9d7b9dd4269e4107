"""The versions of a model as the cluster knows them: from the model's status and from its tasks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from re import fullmatch
from typing import Any, Literal

from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Object, name_of
from bluetune.core.watch import parameters
from bluetune_api.base import VERSION_PATTERN


@dataclass(frozen=True)
class Version:
    """A version, and what is known of it."""

    id: str
    parent: str | None = None
    task: str | None = None
    batches: tuple[str, ...] = ()
    """Batches that the version's task learned from, newest first."""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the gate measured for it."""
    against: str | None = None
    """Version that it was compared with."""
    completed: str | None = None
    """When its task ended."""
    roles: tuple[str, ...] = ()
    """Roles: base, current, `served before` and `rollbackTo`."""

    def wire(self) -> dict[str, Any]:
        """For programs; what is not known is left out."""
        found = {
            "version": self.id,
            "parent": self.parent,
            "task": self.task,
            "batches": list(self.batches),
            "params": dict(self.params),
            "metrics": dict(self.metrics),
            "against": self.against,
            "completed": self.completed,
            "roles": list(self.roles),
        }
        return {name: value for name, value in found.items() if value not in (None, [], {})}


def versions(model: Object, tasks: Sequence[Object]) -> dict[str, Version]:
    """All versions that the model's status and its tasks name, oldest first."""
    status, name = model.get("status") or {}, name_of(model)
    found: dict[str, Version] = {}
    if base := status.get("baseVersion"):
        found[base] = Version(base)
    current, history = status.get("current") or {}, status.get("history") or []
    for served in [*reversed(history), *([current] if current else [])]:
        made = {"task": served.get("task"), "metrics": served.get("metrics") or {}}
        found.setdefault(served["version"], Version(served["version"], **made))
    own = [task for task in tasks if task["spec"]["modelRef"]["name"] == name and _makes(task)]
    for task in sorted(own, key=lambda task: str(task["status"].get("completionTime") or "")):
        made_by = _of_task(task)
        found.pop(made_by.id, None)
        found[made_by.id] = made_by
    pinned = ((model["spec"].get("serving")) or {}).get("rollbackTo")
    roles = {
        "base": [base],
        "current": [current.get("version")],
        "served before": [h["version"] for h in history if h["version"] != current.get("version")],
        "rollbackTo": [pinned],
    }
    return {
        version: Version(**{**vars(known), "roles": tuple(role for role, of in roles.items() if version in of)})
        for version, known in found.items()
    }


def _makes(task: Object) -> bool:
    """Whether a task has a version of its own, and not another task's."""
    status = task.get("status") or {}
    return bool(status.get("bestModelId")) and not status.get("duplicateOf")


def _of_task(task: Object) -> Version:
    status = task["status"]
    several = [str(batch) for batch in (status.get("batches") or {}).get("learn") or ()]
    return Version(
        id=status["bestModelId"],
        parent=status.get("startVersion"),
        task=name_of(task),
        batches=tuple(several or ([status["batchId"]] if status.get("batchId") else [])),
        params=(status.get("best") or {}).get("params") or {},
        metrics=(status.get("metrics") or {}).get("candidate") or {},
        against=status.get("liveVersion"),
        completed=status.get("completionTime"),
    )


def branches(known: Mapping[str, Version]) -> Iterator[tuple[int, Version]]:
    """The lineage as (depth, version), parents first. A version whose parent is not known begins a branch."""
    todo = [(0, version) for version in reversed(list(known.values())) if version.parent not in known]
    seen: set[str] = set()
    while todo:
        depth, version = todo.pop()
        if version.id in seen:
            continue
        seen.add(version.id)
        yield depth, version
        todo += [(depth + 1, child) for child in reversed(list(known.values())) if child.parent == version.id]


def line(version: Version) -> str:
    """A version in one line."""
    said = [", ".join(version.roles)] if version.roles else []
    if version.task:
        said.append(f"task {version.task}")
    if version.batches:
        more = f" and {len(version.batches) - 1} more" if len(version.batches) > 1 else ""
        said.append(f"batch {version.batches[0]}{more}")
    said += [f"{name} {value:.4f}" for name, value in sorted(version.metrics.items())]
    return " · ".join([version.id, *said])


def named(known: Mapping[str, Version], model: str, version: str) -> Version:
    """A known version. Raises CliError with those that there are."""
    if version in known:
        return known[version]
    there = ", ".join(known) or "none"
    raise CliError(f"no task and no status names version {version} of model {model}: known are {there}")


@dataclass(frozen=True)
class Difference:
    """What two versions have of one thing; None where one has nothing."""

    name: str
    of_a: Any
    of_b: Any
    group: Literal["", "params", "metrics"] = ""
    """Group of hyperparameters and metrics, whose names users choose."""

    @property
    def path(self) -> str:
        """`params.query_lr`: where `difference_wire` has it."""
        return f"{self.group}.{self.name}" if self.group else self.name

    def cells(self) -> tuple[str, str, str]:
        """For a table: values are rounded where that leaves them apart."""
        short = _text(self.of_a), _text(self.of_b)
        said = short if short[0] != short[1] else (str(self.of_a), str(self.of_b))
        return (f"metric {self.name}" if self.group == "metrics" else self.name, *said)


def differences(a: Version, b: Version) -> list[Difference]:
    """What differs between two versions."""
    rows = [
        Difference("parent", a.parent, b.parent),
        Difference("task", a.task, b.task),
        Difference("batches", list(a.batches) or None, list(b.batches) or None),
        Difference("compared with", a.against, b.against),
    ]
    params, metrics = sorted({*a.params, *b.params}), sorted({*a.metrics, *b.metrics})
    rows += [Difference(name, a.params.get(name), b.params.get(name), "params") for name in params]
    rows += [Difference(name, a.metrics.get(name), b.metrics.get(name), "metrics") for name in metrics]
    return [row for row in rows if row.of_a != row.of_b]


def difference_wire(found: Sequence[Difference], a: str, b: str) -> dict[str, Any]:
    """For programs: by name and version, hyperparameters below `params` and metrics below `metrics`."""
    made: dict[str, Any] = {"params": {}, "metrics": {}}
    for difference in found:
        group = made[difference.group] if difference.group else made
        group[difference.name] = {a: difference.of_a, b: difference.of_b}
    return {name: value for name, value in made.items() if value}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else parameters({"": value}).strip()


def rollback(model: Object, version: str) -> Object | None:
    """The merge patch that makes a model serve a version and stay with it; None if it is told so already.

    Raises CliError for what is no version, and for a model that serves nothing.
    """
    serving = _serving(model, version)
    return None if serving.get("rollbackTo") == version else _patch(model, {"rollbackTo": version})


def promotion(model: Object, version: str) -> Object | None:
    """The merge patch that rolls a version out once, in place of the current one; None if it is current.

    Raises CliError for what is no version, for a model that serves nothing or stays with a version, and for what the
    model was asked for before: the operator does it once.
    """
    serving = _serving(model, version)
    current = ((model.get("status") or {}).get("current") or {}).get("version")
    if current is None:
        raise CliError(f"model {name_of(model)} has no current version yet, which {version} could replace")
    if current == version:
        return None
    if pinned := serving.get("rollbackTo"):
        raise CliError(f"model {name_of(model)} stays with {pinned}: first, {removal(model, 'rollbackTo')}")
    asked = {"version": version, "replaces": current}
    if serving.get("promote") == asked:
        outcome = ((model.get("status") or {}).get("promote") or {}).get("outcome") or "not looked at yet"
        raise CliError(
            f"model {name_of(model)} was asked for that before ({outcome}): to ask again, {removal(model, 'promote')}"
            " and wait until status.promote is gone"
        )
    return _patch(model, {"promote": asked})


def removal(model: Object, field: str) -> str:
    """The command that removes a field of a model's spec.serving."""
    patch = json.dumps({"spec": {"serving": {field: None}}}, separators=(",", ":"))
    namespace = model["metadata"]["namespace"]
    return f"kubectl -n {namespace} patch emodel {name_of(model)} --type=merge -p '{patch}'"


def _serving(model: Object, version: str) -> Object:
    if not fullmatch(VERSION_PATTERN, version):
        raise CliError(f"version {version!r}: must be v and 12 hexadecimal digits, as in v0123456789ab", Exit.USAGE)
    serving: Object = model["spec"].get("serving")
    if not serving:
        raise CliError(f"model {name_of(model)} has no spec.serving: bluetune serves none of its versions")
    return serving


def _patch(model: Object, serving: Object) -> Object:
    return {"metadata": {"uid": model["metadata"]["uid"]}, "spec": {"serving": serving}}
