"""How a run can end badly: one class an exit code. The message is what the user reads, in a few sentences."""

import errno
import os
import traceback
from threading import Event
from types import ModuleType
from typing import Any, ClassVar

from pydantic import ValidationError

from bluetune_api.exit_codes import ExitCode
from bluetune_api.objectstore import (
    NoConditionalWrites,
    ObjectChanged,
    ObjectNotFound,
    StoreDenied,
    StoreError,
    StoreUnreachable,
)
from bluetune_api.reasons import Reason
from bluetune_trainer.torch_failures import torch_failure

STOPPED = "stopped on request; finished trials are kept, the next run goes on"


class TrainerError(Exception):
    """An end that the user is told about.

    Args:
        message: what went wrong and what to do.
        reason: one word for programs; default: the class's.
    """

    exit_code: ClassVar[int] = 1
    reason: Reason = "TrainerCrashed"

    def __init__(self, message: str, *, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class DataInvalid(TrainerError):
    """The batch or the catalogue is broken or too small."""

    exit_code = ExitCode.DATA_INVALID
    reason = "DataInvalid"


class PlanInvalid(TrainerError):
    """The plan or its settings cannot be used."""

    exit_code = ExitCode.PLAN_INVALID
    reason = "PlanInvalid"


class PluginFailed(TrainerError):
    """The user's plugin raised, or returned what it should not."""

    exit_code = ExitCode.PLUGIN_FAILED
    reason = "PluginFailed"


class StoreFailed(TrainerError):
    """The store did not answer, or refused, after retries."""

    exit_code = ExitCode.STORE_UNREACHABLE
    reason = "StoreFailed"


class StoreDamaged(StoreFailed):
    """The store answered; what it holds is damaged, incomplete or another's. No outage, so trying again has an end."""

    exit_code = ExitCode.STORE_DAMAGED


class GpuNotVisible(TrainerError):
    """The container asks for GPUs, and torch cannot use any."""

    exit_code = ExitCode.GPU_NOT_VISIBLE
    reason = "GpuNotVisible"


class Stopped(TrainerError):
    """Stopped by SIGTERM; what is finished is saved, and the next run goes on from there."""

    exit_code = ExitCode.STOPPED
    reason = "Stopped"

    def __init__(self, message: str = STOPPED) -> None:
        super().__init__(message)


class DatabaseFailed(TrainerError):
    """The database of an index cannot be used; the Job tries again."""

    reason = "DatabaseFailed"


class Crashed(TrainerError):
    """Anything that nobody foresaw; the Job tries again."""


def raise_if(stop: Event, message: str = STOPPED) -> None:
    """Raise Stopped if it is set."""
    if stop.is_set():
        raise Stopped(message)


def of_code(code: int) -> type[TrainerError]:
    """The ending that has this exit code."""
    endings = (DataInvalid, PlanInvalid, PluginFailed, StoreFailed, StoreDamaged, GpuNotVisible)
    return next((ending for ending in endings if ending.exit_code == code), Crashed)


def plugin_failure(error: BaseException, plugin: str, files: tuple[str, ...]) -> PluginFailed | None:
    """The error as the plugin's author wants to read it, if it came out of one of the plugin's files.

    Args:
        error: what was raised.
        plugin: name of the plugin, for the message.
        files: paths (or path prefixes ending in a slash) of the plugin's own code.

    Returns:
        None if no frame of the plugin is in the traceback.
    """
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(files)] if files else []
    if not own:
        return None
    text = str(error).strip() or "no message"
    return PluginFailed(
        f"{plugin} raised {type(error).__name__}: {text} (in {own[-1].name}, {own[-1].filename}:{own[-1].lineno})"
    )


def files_of(module: ModuleType) -> str:
    """Where the code of a module's package lies: its folder, or the file of a module outside of packages."""
    file = module.__file__ or ""
    return file.rpartition("/")[0] + "/" if module.__package__ else file


def as_trainer_error(error: BaseException) -> TrainerError:
    """Any exception as one of the ends above."""
    if isinstance(error, TrainerError):
        return error
    if isinstance(error, ObjectChanged):
        return DataInvalid(f"{error}; start a new run, which reads it as it is now", reason="DataChanged")
    if isinstance(error, NoConditionalWrites):
        return PlanInvalid(str(error), reason="NoConditionalWrites")
    if isinstance(error, StoreDenied):
        return StoreFailed(str(error), reason="StoreDenied")
    if isinstance(error, StoreUnreachable):
        return StoreFailed(str(error), reason="StoreUnreachable")
    if isinstance(error, ObjectNotFound):
        return StoreDamaged(str(error), reason="BucketOrObjectNotFound")
    if isinstance(error, StoreError):
        return StoreFailed(str(error))
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or os.strerror(errno.ENOSPC) in str(error):  # safetensors, written in Rust, has an exception of its own
        return Crashed(
            f"no space is left on the disk ({getattr(error, 'filename', None) or error}); give the trainer's /tmp more",
            reason="DiskFull",
        )
    if isinstance(error, MemoryError):
        return Crashed(
            "the trainer ran out of memory; give its pod more, or lower settings.batchSize", reason="OutOfMemory"
        )
    failure = torch_failure(error)
    if failure is not None:
        return Crashed(failure.message, reason=failure.reason)
    return Crashed(f"{type(error).__name__}: {error}; the log of the trainer has the details")


def in_words(error: ValidationError, *, most: int = 5) -> str:
    """A validation error as `field: what is wrong (value)`, the first few of them."""
    found = error.errors()
    words = "; ".join(_one(entry) for entry in found[:most])
    return words + (f"; and {len(found) - most} more" if len(found) > most else "")


def _one(entry: Any) -> str:
    where = ".".join(str(part) for part in entry["loc"]) or "the document"
    if entry["type"] == "extra_forbidden":
        return f"{where}: there is no such field"
    if entry["type"] == "missing":
        return f"{where}: must be set"
    message = str(entry["msg"]).removeprefix("Value error, ")
    value = entry.get("input")
    shown = f" (found {value!r:.60})" if isinstance(value, str | int | float | bool) else ""
    return f"{where}: {message}{shown}"
