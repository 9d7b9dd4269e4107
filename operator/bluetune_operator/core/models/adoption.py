"""A model without status (restored, applied again, moved) takes over the version that is live, and rolls nothing back.

What was promoted last stands in current.json of the store; an older store has none, and then the Deployment says which
version it serves. Either counts only if the store holds the manifest with that digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from bluetune_api import store_layout
from bluetune_api.model import CurrentVersion, Serving
from bluetune_api.reading import FormatTooNew, RecordInvalid, RecordProblem, first_problem, read_record
from bluetune_api.store_identity import CurrentRecord, PromotedVersion
from bluetune_api.store_location import StoreLocation
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.rollout.serving_patch import DIGEST_ANNOTATION, VERSION_ANNOTATION, served_uri
from bluetune_operator.core.times import moment_of, stamp


@dataclass(frozen=True)
class Candidate:
    """A version that something says is live."""

    current: CurrentVersion
    said_by: str
    """For people."""
    history: Sequence[CurrentVersion] = ()
    binding: bool = True
    """Whether it was surely this model's: then nothing else is rolled out in its place by itself."""


Judged = tuple[Candidate | None, Failure | None]
"""What was said, and why it cannot be believed; a record that cannot be read is no candidate."""


def recorded(data: bytes, store: StoreLocation) -> Candidate | Failure:
    """What current.json says."""
    where = store.uri(store_layout.CURRENT)
    try:
        record = read_record(CurrentRecord, data, "operator")
        history = tuple(_version(each, store) for each in record.history)
        return Candidate(_version(record, store), where, history)
    except FormatTooNew as error:
        return Failure("FormatTooNew", f"{where} cannot be read: {error}")
    except RecordInvalid as error:
        return Failure("VersionInvalid", f"{where} cannot be read: {error}")
    except ValidationError as error:
        return Failure("VersionInvalid", f"{where} cannot be read: {first_problem(error)}")
    except (ValueError, OverflowError) as error:
        return Failure("VersionInvalid", f"{where} cannot be read: promotedAt: {error}")


def record_of(current: CurrentVersion, history: Sequence[CurrentVersion]) -> CurrentRecord:
    """What current.json is to say."""
    return CurrentRecord(**_fields(current), history=[PromotedVersion(**_fields(each)) for each in history[:10]])


def says_already(data: bytes | None, wanted: CurrentRecord) -> bool:
    """Whether current.json says this, but for the time of the last promotion.

    An operator that dies before it has written the status promotes once more, a little later. If that were news, one
    that dies after each of its writes would never come further.
    """
    if data is None:
        return False
    try:
        found = read_record(CurrentRecord, data, "operator")
    except RecordProblem:
        return False
    return found.model_copy(update={"promoted_at": wanted.promoted_at}) == wanted


def deployed(
    deployment: Mapping[str, Any] | None, serving: Serving, store: StoreLocation, now: datetime
) -> Candidate | None:
    """What the Deployment says it serves; None if that is nothing, or a version of another store.

    A Deployment may have served another model before: its BLUETUNE_URI tells.
    """
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    version, digest = annotations.get(VERSION_ANNOTATION), annotations.get(DIGEST_ANNOTATION)
    if not version or not digest:
        return None
    uri, served = store.uri(store_layout.version(version)), served_uri(deployment, serving.container)
    if served is not None and served != uri:
        return None
    try:
        current = CurrentVersion(version=version, uri=uri, digest=digest, promoted_at=stamp(now))
    except ValidationError:
        return None
    return Candidate(current, f"Deployment {serving.deployment}", binding=served is not None)


def adoption(judged: Sequence[Judged]) -> Candidate | Failure | None:
    """What the model takes over: the first version that the store confirms.

    Returns:
        A Failure where a version of this model is live and the store does not confirm it: then a person decides. None
        where nothing is live: the base is to be rolled out.
    """
    for candidate, problem in judged:
        if candidate is not None and problem is None:
            return candidate
    for candidate, problem in judged:
        if problem is not None and (candidate is None or candidate.binding):
            said = f"{candidate.said_by} says that {candidate.current.version} is live: " if candidate else ""
            text = (
                f"{said}{problem.message}; nothing is rolled out, so that production keeps what it serves. Restore the"
                " version in the store, or name the one to serve in spec.serving.rollbackTo"
            )
            return Failure(problem.reason, text)
    return None


def _version(record: PromotedVersion, store: StoreLocation) -> CurrentVersion:
    """Addresses are what they must be, not what a record says."""
    return CurrentVersion(**_fields(record), uri=store.uri(store_layout.version(record.version)))


def _fields(version: CurrentVersion | PromotedVersion) -> dict[str, Any]:
    fields = {name: getattr(version, name) for name in ("version", "digest", "task", "metrics")}
    moment = moment_of(version.promoted_at)
    if not 1970 <= moment.year < 9999:
        raise ValueError(f"{version.promoted_at} is no time of a promotion")
    return fields | {"promoted_at": stamp(moment)}
