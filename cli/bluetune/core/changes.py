"""What a person asks of a model or a task: the question before, the patch, what is said after.

Commands and the page ask the same, refuse the same and send the same.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from bluetune.core import tasks, versions
from bluetune.core.kinds import MODELS, TASKS, Kind, Object, name_of


@dataclass(frozen=True)
class Change:
    """A change of one object."""

    kind: Kind
    name: str
    patch: Object | None
    """None: it is so already, which `done` says."""
    question: str
    done: str
    after: str = ""
    """What comes next, or how to undo it."""
    warning: str = ""
    """What a person should know before."""

    @property
    def mark(self) -> str:
        """Differs for another question or another patch: what was confirmed is what is done."""
        said = json.dumps([self.kind.full_name, self.name, self.patch, self.question], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def promote(model: Object, known: Mapping[str, versions.Version], version: str, namespace: str) -> Change:
    """Roll a kept version out once, without the gate. Raises CliError for what would come to nothing."""
    name, patch = name_of(model), versions.promotion(model, version)
    if patch is None:
        return Change(MODELS, name, None, "", f"model {name} serves {version} already")
    replaces = patch["spec"]["serving"]["promote"]["replaces"]
    return Change(
        MODELS,
        name,
        patch,
        f"Model {name} in namespace {namespace} serves {replaces}. Serve {version}?",
        f"model {name} is asked to serve {version} in place of {replaces}",
        f"what comes of it: kubectl -n {namespace} get emodel {name} -o wide",
        _unknown(known, version),
    )


def rollback(model: Object, known: Mapping[str, versions.Version], version: str, namespace: str) -> Change:
    """Serve a version and stay with it. Raises CliError for what would come to nothing."""
    name, patch = name_of(model), versions.rollback(model, version)
    if patch is None:
        return Change(MODELS, name, None, "", f"model {name} has spec.serving.rollbackTo={version} already")
    serves = ((model.get("status") or {}).get("current") or {}).get("version") or "no version"
    return Change(
        MODELS,
        name,
        patch,
        f"Model {name} in namespace {namespace} serves {serves}. Serve {version}, and stay with it?",
        f"model {name} is asked to serve {version}, and to stay with it",
        f"to let new versions in again: {versions.removal(model, 'rollbackTo')}",
        _unknown(known, version),
    )


def cancel(task: Object, namespace: str) -> Change:
    """End a task. Raises CliError for one that has ended."""
    name, patch = name_of(task), tasks.change(task, "cancel", True)
    if patch is None:
        return Change(TASKS, name, None, "", f"task {name} has spec.cancel=true already")
    return Change(
        TASKS,
        name,
        patch,
        f"End task {name} in namespace {namespace}? Its record and its best finished trial are kept, and nothing is"
        " rolled out.",
        f"task {name} is asked to end",
    )


def _unknown(known: Mapping[str, versions.Version], version: str) -> str:
    if version in known:
        return ""
    return (
        f"no task and no status names version {version}. If the store does not have it, the operator says"
        " VersionNotFound."
    )
