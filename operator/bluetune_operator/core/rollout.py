"""The rollout of a version to blue, as a state machine whose whole state is `model.status.rollout`.

Each call decides one move from what was observed. A move's effect (an action) is carried out only for a step that is
already written in the status, so a killed operator finds in the status what it may have half done, and every action can
be repeated. Failures before the Deployment was touched end the rollout; later ones go back to `from` first.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from bluetune_api.model import Rollout, Serving
from bluetune_api.reasons import Reason, known_reason
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.times import seconds_since, stamp

Step = Literal["Reindex", "Patch", "Wait", "Verify", "Promote", "RollingBack", "Done", "Failed"]

SOON, WATCHING, SLOWLY = 0.0, 2.0, 15.0
"""Seconds until the next look: at once, while something moves, while a watch event will come anyway."""

BACK = "; going back to "
"""Stands in the message between why the rollout failed and how the way back goes."""


class Action(Enum):
    """What is to be done for the step that the status names. Each is safe to repeat."""

    CREATE_REINDEX = "create the reindex Job unless it exists"
    DELETE_REINDEX = "delete the reindex Job of an earlier try, or of one that is given up"
    APPLY = "apply the version to the Deployment"
    ASK = "ask the pods what they serve"
    PROMOTE = "make the version current"


@dataclass(frozen=True)
class Failure:
    """Why a rollout cannot go on."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class JobView:
    """The reindex Job as it is."""

    state: Literal["Running", "Complete", "Failed"]
    of_this_rollout: bool
    """Whether this rollout made it; one from an earlier try says nothing about the catalogue of today."""
    message: str = ""
    """Why it failed, or why its pod does not start."""


@dataclass(frozen=True)
class BlueView:
    """The Deployment and its pods, judged against one version."""

    found: bool
    matches: bool = False
    """Whether its pod template tells pods to serve the version."""
    settled: bool = False
    """Whether all pods are the new ones, available, and no old one is left."""
    failed: Failure | None = None
    """Set when Kubernetes gave the rollout up."""
    blocked: Failure | None = None
    """Set when the Deployment must not be patched as it is."""
    message: str = ""
    """What is waited for, or why the new pods do not start."""


@dataclass(frozen=True)
class Answers:
    """What the pods said when they were asked."""

    right: bool
    message: str = ""


@dataclass(frozen=True)
class Observed:
    """All that a move depends on."""

    now: datetime
    serving: Serving | None
    abort: Failure | None = None
    """Set when the rollout lost its right: its task is gone, or no longer holds the lock."""
    job: JobView | None = None
    blue: BlueView = BlueView(found=False)
    """Judged against `to`, and in RollingBack against `from`."""


@dataclass(frozen=True)
class Move:
    """The rollout as it should be written, what to do for the step it was in, and when to look again."""

    rollout: Rollout
    action: Action | None = None
    after: float | None = SLOWLY


def advance(rollout: Rollout, seen: Observed) -> Move:
    """The next move of a rollout that is under way."""
    if rollout.step in ("Done", "Failed"):
        return Move(rollout, None, None)
    if rollout.step == "RollingBack":
        return _rolling_back(rollout, seen)
    if seen.serving is None:
        return _ended(rollout, Failure("ServingRemoved", "spec.serving was removed during the rollout"), seen.now)
    if seen.abort is not None:
        return failed(rollout, seen.abort, seen.now)
    match rollout.step:
        case "Reindex":
            return _reindex(rollout, seen, seen.serving)
        case "Patch":
            return _patch(rollout, seen, seen.serving)
        case "Wait":
            return _wait(rollout, seen, seen.serving)
        case "Verify":
            return _verify(rollout, seen, seen.serving)
        case _:
            return Move(rollout, Action.PROMOTE, SOON)


def failed(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    """End a rollout that cannot go on: at once if blue was not touched, else by way of the version before."""
    if rollout.step == "Reindex" or rollout.source is None or rollout.source == rollout.to:
        action = Action.DELETE_REINDEX if rollout.step == "Reindex" else None
        return Move(_ended(rollout, failure, now).rollout, action, SOON)
    message = f"{failure.message}{BACK}{rollout.source}"
    return Move(_at(rollout, "RollingBack", now, message, failure.reason), None, SOON)


def refused(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    """The API server refused the patch because another manager owns one of our fields: blue is as it was."""
    if rollout.step == "RollingBack":
        return _ended(
            rollout,
            Failure(_reason(rollout, failure.reason), f"{_cause(rollout)}; {failure.message}"),
            now,
        )
    return _ended(rollout, failure, now)


def answered(rollout: Rollout, answers: Answers, serving: Serving, now: datetime) -> Move:
    """What follows from the pods' answers. Wrong ones are asked for again until the timeout, also on the way back."""
    limit = serving.verify.timeout_seconds if serving.verify else 0
    if rollout.step == "RollingBack":
        limit += serving.rollout_timeout_seconds
        if answers.right:
            return _gone_back(rollout, now)
        if _elapsed(rollout, now) > limit:
            return _ended(rollout, _stuck(rollout, answers.message), now)
        return Move(_saying(rollout, _back_message(rollout, answers.message)), None, WATCHING)
    if answers.right:
        return Move(_at(rollout, "Promote", now, None), None, SOON)
    if _elapsed(rollout, now) > limit:
        return failed(rollout, Failure("VerifyFailed", f"{answers.message} (for {limit} s)"), now)
    return Move(_saying(rollout, answers.message), None, WATCHING)


def abandoned(rollout: Rollout, failure: Failure, now: datetime) -> Rollout:
    """The rollout whose Deployment is no longer this model's: it is left as it is."""
    return _ended(rollout, failure, now).rollout


def done(rollout: Rollout, now: datetime) -> Rollout:
    """The rollout whose version is current now."""
    return _at(rollout, "Done", now, None)


def _reindex(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    if serving.reindex is None:
        return Move(_at(rollout, "Patch", seen.now, None), None, SOON)
    job = seen.job
    if job is None:
        return Move(_saying(rollout, "starting the reindex Job"), Action.CREATE_REINDEX, WATCHING)
    if not job.of_this_rollout:
        return Move(_saying(rollout, "removing the reindex Job of an earlier rollout"), Action.DELETE_REINDEX, WATCHING)
    if job.state == "Complete":
        return Move(_at(rollout, "Patch", seen.now, None), None, SOON)
    if job.state == "Failed":  # it is kept, for its log
        return _ended(rollout, Failure("ReindexFailed", f"the reindex Job failed: {job.message}"), seen.now)
    limit = serving.reindex.timeout_seconds
    if _elapsed(rollout, seen.now) > limit:
        text = f"the reindex Job did not end within reindex.timeoutSeconds={limit}"
        return failed(rollout, Failure("ReindexTimeout", f"{text}; {job.message}" if job.message else text), seen.now)
    return Move(_saying(rollout, job.message or "the reindex Job is running"), None, WATCHING)


def _patch(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    blue, limit = seen.blue, serving.rollout_timeout_seconds
    if blue.found and blue.matches:
        return Move(_at(rollout, "Wait", seen.now, None), None, SOON)
    if blue.found and blue.blocked is None:
        return Move(
            _saying(rollout, f"telling Deployment {serving.deployment} to serve {rollout.to}"), Action.APPLY, SOON
        )
    failure = blue.blocked or Failure("DeploymentNotFound", f"Deployment {serving.deployment} does not exist")
    if _elapsed(rollout, seen.now) > limit:
        return _ended(rollout, failure, seen.now)
    return Move(_saying(rollout, failure.message), None, WATCHING)


def _wait(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    blue, limit = seen.blue, serving.rollout_timeout_seconds
    if blue.found and blue.settled and blue.matches:
        return Move(_at(rollout, "Verify" if serving.verify else "Promote", seen.now, None), None, SOON)
    if blue.failed is not None:
        return failed(rollout, blue.failed, seen.now)
    if _elapsed(rollout, seen.now) > limit:
        text = f"the pods were not replaced within serving.rolloutTimeoutSeconds={limit}"
        return failed(rollout, Failure("RolloutTimeout", f"{text}: {blue.message}"), seen.now)
    if blue.found and not blue.matches:
        # somebody wrote over our fields; if they own them now, the patch says so
        return Move(
            _at(rollout, "Patch", seen.now, f"Deployment {serving.deployment} was changed by others"), None, SOON
        )
    return Move(_saying(rollout, blue.message), None, WATCHING)


def _verify(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    if not (seen.blue.found and seen.blue.matches):
        return Move(
            _at(rollout, "Patch", seen.now, f"Deployment {serving.deployment} was changed by others"), None, SOON
        )
    if serving.verify is None:
        return Move(_at(rollout, "Promote", seen.now, None), None, SOON)
    return Move(rollout, Action.ASK, WATCHING)


def _rolling_back(rollout: Rollout, seen: Observed) -> Move:
    serving, blue, now = seen.serving, seen.blue, seen.now
    if serving is None or not blue.found or rollout.source is None:
        return _ended(rollout, _stuck(rollout, "there is no Deployment to go back with"), now)
    limit = serving.rollout_timeout_seconds
    if _elapsed(rollout, now) > limit and not (blue.matches and blue.settled):
        return _ended(rollout, _stuck(rollout, blue.message), now)
    if not blue.matches:
        return Move(_saying(rollout, _back_message(rollout, "")), Action.APPLY, SOON)
    if not blue.settled:
        return Move(_saying(rollout, _back_message(rollout, blue.message)), None, WATCHING)
    return Move(rollout, Action.ASK, WATCHING) if serving.verify else _gone_back(rollout, now)


def _gone_back(rollout: Rollout, now: datetime) -> Move:
    failure = Failure(
        known_reason(rollout.reason) or "RolloutFailed", f"{_cause(rollout)}; blue serves {rollout.source} again"
    )
    return _ended(rollout, failure, now)


def _stuck(rollout: Rollout, message: str) -> Failure:
    text = f"{_cause(rollout)}; and going back to {rollout.source} did not succeed: {message}"
    return Failure(_reason(rollout), text)


def _ended(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    return Move(_at(rollout, "Failed", now, failure.message, failure.reason), None, SOON)


def _reason(rollout: Rollout, otherwise: Reason = "RolloutFailed") -> Reason:
    return known_reason(rollout.reason) or otherwise


def _cause(rollout: Rollout) -> str:
    return (rollout.message or "the rollout failed").partition(BACK)[0]


def _back_message(rollout: Rollout, progress: str) -> str:
    text = f"{_cause(rollout)}{BACK}{rollout.source}"
    return f"{text}: {progress}" if progress else text


def _elapsed(rollout: Rollout, now: datetime) -> float:
    return seconds_since(rollout.step_started_at, now)


def _at(rollout: Rollout, step: Step, now: datetime, message: str | None, reason: str | None = None) -> Rollout:
    return rollout.model_copy(
        update={
            "step": step,
            "step_started_at": stamp(now),
            "message": shortened(message) if message else None,
            "reason": reason,
        }
    )


def _saying(rollout: Rollout, message: str) -> Rollout:
    return rollout.model_copy(update={"message": shortened(message) if message else None})
