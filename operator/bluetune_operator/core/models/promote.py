"""spec.serving.promote: a person puts a kept version into production, once.

The field stands in Git for weeks, so three things keep it from being carried out a second time: what was made of it is
recorded in the status by its value; it names the version that it replaces; and a model without a current version, which
may be one whose status was lost, passes over what it finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelStatus, Rollout, Serving
from bluetune_api.promote import Promote, PromoteStatus
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.reasons import Reason, known_reason
from bluetune_api.records import Manifest, digest_of
from bluetune_operator.core.conditions import Status, shortened
from bluetune_operator.core.models.base_import import manifest_problem
from bluetune_operator.core.rollout.choice import Target, active, is_about
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.times import stamp

CONDITION = "Promoted"
AGAIN = "to ask for it again, remove spec.serving.promote, wait until status.promote is gone, and set it again"


@dataclass(frozen=True)
class Said:
    """What the condition says."""

    status: Status
    reason: Reason
    message: str


def recorded(status: EmbeddingModelStatus, serving: Serving | None, now: datetime) -> EmbeddingModelStatus:
    """The status at the beginning of a look, before the model has taken anything over: what is passed over is written
    down, and what is asked for no longer is forgotten, but for a rollout that is under way."""
    promote, record = serving.promote if serving else None, status.promote
    if active(status.rollout):
        return status
    if serving is None or promote is None:
        kept = [c for c in status.conditions or () if c.type != CONDITION]
        return status.model_copy(update={"promote": None, "conditions": kept if status.conditions else None})
    if record is not None and is_about(record, promote):
        return status
    return status.model_copy(update={"promote": _without_a_rollout(promote, status, serving, now)})


def _without_a_rollout(
    promote: Promote, status: EmbeddingModelStatus, serving: Serving, now: datetime
) -> PromoteStatus | None:
    """What a request comes to that needs no rollout, for good; None: it is to be carried out, or waits."""
    current = status.current.version if status.current else None
    if current is None:
        text = (
            f"{promote.version} is not rolled out: the model had no current version when it first saw"
            f" spec.serving.promote, so it cannot tell whether that was carried out before; {AGAIN}"
        )
        return _record(promote, "PassedOver", "PromoteUnknown", text, now)
    if current == promote.version:
        text = f"{current} was current already; later tasks are promoted as ever"
        return _record(promote, "Promoted", "AlreadyCurrent", text, now)
    if serving.rollback_to is None and current != promote.replaces:
        text = (
            f"{promote.version} is not rolled out: it was to replace {promote.replaces}, and {current} is current;"
            " compare with that, and name it in spec.serving.promote.replaces"
        )
        return _record(promote, "PassedOver", "PromoteStale", text, now)
    return None


def due(status: EmbeddingModelStatus, serving: Serving) -> Promote | None:
    """What is to be rolled out if the store holds it; `status` is as `recorded` gave it."""
    promote, current = serving.promote, status.current
    if promote is None or status.promote is not None or serving.rollback_to is not None or active(status.rollout):
        return None
    return promote if current is not None and current.version == promote.replaces else None


def version_of_store(
    promote: Promote, manifest: bytes | None, base: bytes | None, sizes: Mapping[str, int]
) -> Target | Failure:
    """The version as it would be rolled out, or why it must not be.

    Args:
        promote: what is asked for.
        manifest: manifest.json of the version; None if there is none.
        base: manifest.json of the model's base.
        sizes: of the objects in the version's folder, by their keys.
    """
    version = promote.version
    digest = digest_of(manifest or b"")
    if (problem := manifest_problem(manifest, version, digest)) is not None:
        return Failure(problem.reason, f"spec.serving.promote.version: {problem.message}")
    found, first = _read(manifest or b"", f"of {version}"), _read(base, "of the model's base")
    if isinstance(found, Failure):
        return found
    if isinstance(first, Failure):
        return first
    folder = store_layout.version(version)
    broken = [file.path for file in found.files if sizes.get(folder + file.path) != file.size]
    if broken:
        text = f"{len(broken)} of {len(found.files)} files are missing or of another size, such as {broken[0]!r}"
        return Failure("VersionIncomplete", f"spec.serving.promote.version={version}: {text}; restore them")
    if found.base_uri != first.base_uri:
        bases = f"it descends from {found.base_uri or 'an unknown base'}, and this model from {first.base_uri}"
        return Failure("VersionOfAnotherModel", f"spec.serving.promote.version={version}: {bases}")
    return Target(version, digest)


def _read(data: bytes | None, whose: str) -> Manifest | Failure:
    if data is None:
        return Failure("VersionNotFound", f"the store has no manifest.json {whose}; restore it")
    try:
        return read_record(Manifest, data, "operator")
    except FormatTooNew as error:
        return Failure("FormatTooNew", f"manifest.json {whose} cannot be read: {error}")
    except RecordInvalid as error:
        return Failure("VersionInvalid", f"manifest.json {whose} cannot be read: {error}")


def started(status: EmbeddingModelStatus, promote: Promote, rollout: Rollout, now: datetime) -> EmbeddingModelStatus:
    """The status in which its rollout begins: both are written at once, so neither is ever there without the other."""
    return status.model_copy(update={"rollout": rollout, "promote": _record(promote, "Started", None, None, now)})


def settled(status: EmbeddingModelStatus, now: datetime) -> EmbeddingModelStatus:
    """The status at the end of a look: a rollout that has ended is what the request came to."""
    record, rollout = status.promote, status.rollout
    if record is None or record.outcome != "Started" or active(rollout):
        return status
    if rollout is not None and (rollout.to, rollout.step) == (record.version, "Done"):
        text = f"{record.version} has replaced {record.replaces}; later tasks are promoted as ever"
        ended = _record(record, "Promoted", "Promoted", text, now)
    else:
        reason = known_reason(rollout.reason) if rollout is not None else None
        why = (rollout.message or "") if rollout is not None else "the model's status has lost its rollout"
        text = f"{record.version} was not rolled out: {why}; {AGAIN}"
        ended = _record(record, "Failed", reason or "RolloutFailed", text, now)
    return status.model_copy(update={"promote": ended})


def said_of(
    status: EmbeddingModelStatus, serving: Serving | None, refused: Failure | None, problem: Failure | None
) -> Said | None:
    """The condition `Promoted` of a model; None if nothing is asked for.

    Args:
        status: as it will be written.
        serving: the model's.
        refused: why the version must not be rolled out, if the store was looked at.
        problem: why the model is not ready.
    """
    promote, record, rollout = serving.promote if serving else None, status.promote, status.rollout
    if serving is None or promote is None:
        return None
    if record is not None and is_about(record, promote):
        if record.outcome != "Started":
            done = record.outcome == "Promoted"
            reason = known_reason(record.reason) or ("Promoted" if done else "RolloutFailed")
            return Said("True" if done else "False", reason, record.message or "")
        doing: Reason = "RolloutQueued" if rollout is not None and rollout.queued_since else "RollingOut"
        return Said("Unknown", doing, f"{promote.version} is being rolled out in place of {promote.replaces}")
    if rollout is not None and active(rollout):
        return Said("Unknown", "RollingOut", f"{promote.version} waits for the end of the rollout of {rollout.to}")
    if serving.rollback_to is not None:
        text = f"{promote.version} is not rolled out while spec.serving.rollbackTo={serving.rollback_to} is set"
        return Said("False", "Pinned", f"{text}; without it, {promote.version} replaces {promote.replaces} if it can")
    if refused is not None:
        return Said("False", refused.reason, refused.message)
    if problem is not None:
        return Said("Unknown", problem.reason, f"{promote.version} is not rolled out yet: {problem.message}")
    return Said("Unknown", "RolloutRequested", f"{promote.version} is about to replace {promote.replaces}")


def _record(
    value: Promote | PromoteStatus, outcome: str, reason: Reason | None, message: str | None, now: datetime
) -> PromoteStatus:
    return PromoteStatus.model_validate(
        {
            "version": value.version,
            "replaces": value.replaces,
            "outcome": outcome,
            "time": stamp(now),
            "reason": reason,
            "message": shortened(message) if message else None,
        }
    )
