"""The manifests of tasks, what may be asked of a task, and how one has ended."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Object, name_of
from bluetune.core.watch import condition
from bluetune_api import API_VERSION
from bluetune_api.manifest import ManifestError, parse
from bluetune_api.task import FineTuningTask

NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of the random end of a name, as Kubernetes draws them: they form no word."""
SUFFIX_LETTERS = 5


def task_name(stem: str, suffix: str) -> str:
    """`products-x7k2p`, within the limit of a task's name."""
    return f"{stem[: FineTuningTask.NAME_LIMIT - len(suffix) - 1].rstrip('-')}-{suffix}"


def parameter_space(given: Sequence[str]) -> dict[str, Any]:
    """`query_lr=1e-5,2e-5` as a dimension of the search; a value is a number, true, false or a text.

    Raises CliError.
    """
    space: dict[str, Any] = {}
    for text in given:
        name, equals, values = text.partition("=")
        parts = [part.strip() for part in values.split(",")]
        if not equals or not name or not all(parts):
            raise CliError(f"--param {text!r}: must be NAME=VALUE or NAME=VALUE,VALUE", Exit.USAGE)
        if name in space:
            raise CliError(f"--param {name} is given twice: write NAME=VALUE,VALUE", Exit.USAGE)
        space[name] = {"choice": [_value(part) for part in parts]}
    return space


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            found = kind(text)
        except ValueError:
            continue
        if math.isfinite(found):
            return found
    return text


def submitted(
    model: str,
    *,
    name: str,
    batch: str | None = None,
    method: str | None = None,
    start_from: str | None = None,
    deploy: bool = False,
    key: str | None = None,
    space: Mapping[str, Any] | None = None,
) -> Object:
    """The manifest of a new task, judged as the API server will judge it. Raises CliError."""
    spec: dict[str, Any] = {"modelRef": {"name": model}}
    if method is not None:
        spec["methodRef"] = {"name": method}
    if batch is not None:
        spec["batchId"] = batch
    if start_from is not None:
        spec["startFrom"] = start_from
    if deploy:
        spec["deployAsBlue"] = True
    if key is not None:
        spec["idempotencyKey"] = key
    if space:
        spec["overrides"] = {"initialParams": dict(space)}
    return _judged(name, spec)


def repeated(task: Object, name: str, *, resume: bool = False) -> Object:
    """A new task that does what an ended one was to do: the same spec, and the batches that it had chosen.

    With `resume` it goes on where that one stopped; without, it begins anew.

    Raises CliError for one that has not ended, for one whose key would only hand over the result that is there, and,
    to resume, for one that succeeded.
    """
    old, status = name_of(task), task.get("status") or {}
    end = ended(task)
    if end is None:
        raise CliError(f"task {old} has not ended: wait for it (bluetune watch {old}), or cancel it first")
    if resume and end == "Succeeded":
        raise CliError(f"task {old} Succeeded, so there is nothing to resume: leave --resume out to run it again")
    left_out = ("suspend", "cancel", "resumeFrom")
    spec = {field: value for field, value in task["spec"].items() if field not in left_out}
    if resume:
        spec["resumeFrom"] = old
    if end == "Succeeded" and spec.get("idempotencyKey"):
        raise CliError(
            f"task {old} Succeeded, and its idempotencyKey {spec['idempotencyKey']!r} would hand its result over"
            " without any work: submit a task with another --key"
        )
    if status.get("batchId"):  # named, so that a batch which was tried before is tried again
        spec["batchId"] = status["batchId"]
    return _judged(name, spec, strict=False)


def _judged(name: str, spec: dict[str, Any], *, strict: bool = True) -> Object:
    manifest: Object = {
        "apiVersion": API_VERSION,
        "kind": "FineTuningTask",
        "metadata": {"name": name},
        "spec": spec,
    }
    if strict:  # what the API server gave us may have fields of a newer release, and was judged by it
        try:
            parse(manifest)
        except ManifestError as error:
            raise CliError("; ".join(error.problems), Exit.USAGE) from None
    return manifest


def ended(task: Mapping[str, Any]) -> str | None:
    """Succeeded or Failed; None while it goes on."""
    status = task.get("status") or {}
    return next((kind for kind in ("Succeeded", "Failed") if condition(status, kind) == "True"), None)


def change(task: Object, field: str, value: bool) -> Object | None:
    """The merge patch that sets a field of a task's spec; None if it is so already.

    It names the uid, so that it never meets another task of the same name. Raises CliError for a task that has ended.
    """
    if end := ended(task):
        raise CliError(f"task {name_of(task)} has ended ({end}): spec.{field} would change nothing")
    if bool(task["spec"].get(field)) == value:
        return None
    return {"metadata": {"uid": task["metadata"]["uid"]}, "spec": {field: value}}


def suspend_note(task: Object, model: Object | None) -> str | None:
    """Why suspending may have no effect: Kueue starts and stops the Jobs of a queue."""
    queue = task["spec"].get("queueName") or ((model or {}).get("spec") or {}).get("queueName")
    if not queue:
        return None
    return (
        f"its Jobs are in Kueue's queue {queue}: once there is a Job, spec.suspend has no effect; set"
        " spec.active: false on the Job's Workload"
    )


def exit_code(task: Mapping[str, Any]) -> Exit:
    """Exit code of a command that waited for the task."""
    return Exit.DONE if ended(task) == "Succeeded" else Exit.REFUSED


def verdict(task: Object) -> str:
    """How a task has ended, in one sentence."""
    status = task.get("status") or {}
    end, message = ended(task), str(status.get("message") or "").rstrip(".")
    version = status.get("bestModelId")
    what = f"task {name_of(task)} {end or 'goes on'}"
    made = f", version {version}" if version else ""
    return f"{what}{made}: {message}" if message else what + made
