"""The rollout of a version to blue, as a state machine whose whole state is `model.status.rollout`.

Each call decides one move from what was observed. A move's effect (an action) is carried out only for a step that is
already written in the status, so a killed operator finds in the status what it may have half done, and every action can
be repeated. Failures before the Deployment was touched end the rollout; later ones go back to `from` first.

A rollout ends whatever others do: each step has its timeout and all of them together have one, which are judged before
anything is done; and what others undo is done again only so often (`rollout_limits`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Literal

from bluetune_api.model import IndexLoss, Rollout, Serving
from bluetune_api.reasons import Reason, known_reason
from bluetune_operator.core.rollout.limits import MAX_UNDONE, Watched, elapsed, pause_left, whole_limit, work_seconds
from bluetune_operator.core.rollout.record import (
    BACK,
    acted,
    at_step,
    back_message,
    cause_of,
    changed,
    fight,
    index_anew,
    index_asked,
    index_edited,
    noting,
    reason_of,
    saying,
    touched,
)
from bluetune_operator.core.times import stamp

SOON, WATCHING, SLOWLY = 0.0, 2.0, 15.0
"""Seconds until the next look: at once, while something moves, while a watch event will come anyway."""
QUEUED = 300.0
"""The same of one that waits for its turn: it is told when another one ends."""
WORKS = {"Reindex": "reindex Job", "Load": "loading Job"}
"""Steps before the switch, each with its Job: blue is as it was."""


class Action(Enum):
    """What is to be done for the step that the status names. Each is safe to repeat."""

    CREATE_REINDEX = "create the step's Job unless it exists"
    DELETE_REINDEX = "delete the Job of an earlier try, or of one that is given up"
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
    """The step's Job as it is."""

    state: Literal["Running", "Complete", "Failed"]
    of_this_rollout: bool
    """Whether this rollout made it; one from an earlier try says nothing about the catalogue of today."""
    message: str = ""
    """Why it failed, or why its pod does not start."""
    owner: Literal["Model", "Gone", "Other"] = "Model"
    """Whose it is: this model's, an earlier one's of the same name, or somebody else's."""
    reason: Reason = "ReindexFailed"
    """Why it failed, in one word."""
    loss: IndexLoss | None = None
    """What the shorter vectors of the index lose that it made."""


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
    scaled_down: bool = False
    """Whether it is to have no pods at all."""
    changed_by: str = "others"
    """Who else wrote its spec last."""


@dataclass(frozen=True)
class Answers:
    """What the pods said when they were asked."""

    right: bool
    message: str = ""
    reason: Reason = "VerifyFailed"
    """What is wrong: VerifyFailed, VerifyUnreachable if no pod could be asked, or a Store… reason if the probe could
    not be read, which says nothing about the pods."""


@dataclass(frozen=True)
class Observed:
    """All that a move depends on."""

    now: datetime
    serving: Serving | None
    watched: Watched
    abort: Failure | None = None
    """Set when the rollout lost its right: its task is gone, or no longer holds the lock."""
    job: JobView | None = None
    blue: BlueView = BlueView(found=False)
    """Judged against `to`, and in RollingBack against `from`."""
    turn: bool = True
    """Whether one that waits for its turn may start."""


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
    if rollout.queued_since is not None:
        return _queued(rollout, seen)
    serving = seen.serving
    if serving is None:
        return _ended(rollout, Failure("ServingRemoved", "spec.serving was removed during the rollout"), seen.now)
    if seen.abort is not None:
        return failed(rollout, seen.abort, seen.now)
    if rollout.step == "Promote":
        return Move(rollout, Action.PROMOTE, SOON)
    limit = whole_limit(rollout, serving)
    if elapsed(rollout.started_at, seen.now, seen.watched.rollout) > limit:
        return failed(
            rollout, _too_long(rollout, seen, serving, f"the rollout did not end within {limit:.0f} s"), seen.now
        )
    if rollout.step != "Reindex" and index_edited(rollout, serving):
        action = Action.DELETE_REINDEX if rollout.step in WORKS else None
        return Move(index_anew(rollout, seen.now), action, SOON)
    match rollout.step:
        case "Reindex" | "Load":
            return _work(rollout, seen, serving)
        case "Patch":
            return _patch(rollout, seen, serving)
        case "Wait":
            return _wait(rollout, seen, serving)
        case _:
            return _verify(rollout, seen, serving)


def _queued(rollout: Rollout, seen: Observed) -> Move:
    """Until its turn nothing was done, so there is nothing to undo; its time begins when it starts."""
    if seen.serving is None or seen.abort is not None:
        removed = Failure("ServingRemoved", "spec.serving was removed before the rollout's turn")
        return _ended(rollout, seen.abort or removed, seen.now)
    if not seen.turn:
        return Move(rollout, None, QUEUED)
    started = rollout.model_copy(update={"queued_since": None, "started_at": stamp(seen.now)})
    return Move(at_step(started, rollout.step, seen.now, None), None, SOON)


def failed(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    """End a rollout that cannot go on: at once if blue was not touched, else by way of the version before."""
    action = Action.DELETE_REINDEX if rollout.step in WORKS else None
    if not (touched(rollout) or rollout.step == "Patch") or rollout.source in (None, rollout.to):
        return Move(_ended(rollout, failure, now).rollout, action, SOON)
    message = f"{failure.message}{BACK}{rollout.source}"
    back = at_step(rollout, "RollingBack", now, message, failure.reason)
    return Move(back.model_copy(update={"undone": None, "acted_at": None}), action, SOON)


def refused(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    """The API server refused the patch because another manager owns one of our fields: blue is as it was."""
    if rollout.step == "RollingBack":
        return _ended(
            rollout,
            Failure(reason_of(rollout, failure.reason), f"{cause_of(rollout)}; {failure.message}"),
            now,
        )
    return _ended(rollout, failure, now)


def hindered(rollout: Rollout, failure: Failure) -> Move:
    """What was to be done could not be done now, and nothing was changed: it is tried again until the timeout."""
    if rollout.step == "RollingBack":
        return Move(noting(rollout, failure.message), None, WATCHING)
    return Move(saying(rollout, failure.message).model_copy(update={"reason": failure.reason}), None, WATCHING)


def answered(rollout: Rollout, answers: Answers, seen: Observed) -> Move:
    """What follows from the pods' answers. Wrong ones are asked for again until the timeout, also on the way back.

    Where the probe could not be read from the store, the pods did not fail: that waits as long as a rollout may.
    """
    serving, now = seen.serving, seen.now
    limit = serving.verify.timeout_seconds if serving and serving.verify else 0
    longest = serving.rollout_timeout_seconds if serving else 0
    late = elapsed(rollout.step_started_at, now, seen.watched.step)
    if rollout.step == "RollingBack":
        if answers.right:
            return _gone_back(rollout, now)
        if late > limit + longest:
            return _ended(rollout, _stuck(rollout, answers.message), now)
        return Move(saying(rollout, back_message(rollout, answers.message)), None, WATCHING)
    if answers.right:
        return Move(at_step(rollout, "Promote", now, None), None, SOON)
    if answers.reason not in ("VerifyFailed", "VerifyUnreachable"):
        limit = max(limit, longest)
    if late > limit:
        return failed(rollout, Failure(answers.reason, f"{answers.message} (for {limit} s)"), now)
    return Move(saying(rollout, answers.message), None, WATCHING)


def abandoned(rollout: Rollout, failure: Failure, now: datetime) -> Rollout:
    """The rollout whose Deployment is no longer this model's: it is left as it is."""
    return _ended(rollout, failure, now).rollout


def done(rollout: Rollout, now: datetime) -> Rollout:
    """The rollout whose version is current now."""
    return at_step(rollout, "Done", now, None)


def _work(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    job, now, name = seen.job, seen.now, WORKS[rollout.step]
    limit = work_seconds(rollout.step, serving)
    if limit is None:
        return _after_work(rollout, serving, now)
    if job is not None and job.owner == "Other":
        return _given_up(rollout, Failure("NameTaken", job.message), now)
    if job is not None and job.of_this_rollout and job.state == "Complete":
        found = rollout if job.loss is None else rollout.model_copy(update={"index_loss": job.loss})
        return _after_work(found, serving, now)
    if job is not None and job.of_this_rollout and job.state == "Failed":  # it is kept, for its log
        return _given_up(rollout, Failure(job.reason, f"the {name} failed: {job.message}"), now)
    if elapsed(rollout.step_started_at, now, seen.watched.step) > limit:
        field = "index" if serving.index is not None else "reindex"
        text = f"the {name} did not end within {field}.timeoutSeconds={limit}"
        why = job.message if job is not None else rollout.message
        return failed(rollout, Failure("ReindexTimeout", f"{text}; {why}" if why else text), now)
    if job is None:
        return _make_job(rollout, name, now)
    if job.owner == "Gone":
        return Move(saying(rollout, job.message), None, WATCHING)
    if not job.of_this_rollout:
        return Move(saying(rollout, f"removing the {name} of an earlier rollout"), Action.DELETE_REINDEX, WATCHING)
    said = saying(rollout, job.message or f"the {name} is running")
    return Move(said if said.acted_at else acted(said, now), None, WATCHING)


def _given_up(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    """End a rollout by its Job, which stays."""
    return replace(failed(rollout, failure, now), action=None)


def _make_job(rollout: Rollout, name: str, now: datetime) -> Move:
    """Make the Job, or make it again if somebody deleted it."""
    if rollout.acted_at is None:
        return Move(acted(saying(rollout, f"starting the {name}"), now), Action.CREATE_REINDEX, WATCHING)
    undone = (rollout.undone or 0) + 1
    if undone > MAX_UNDONE:
        text = f"the {name} was deleted {undone} times before its end was seen; find out who deletes Jobs"
        return failed(rollout, Failure("ReindexJobDeleted", text), now)
    again = rollout.model_copy(update={"undone": undone})
    if (left := pause_left(again, now)) > 0:
        text = f"the {name} was deleted before its end was seen ({undone} times); it is made again"
        return Move(saying(rollout, text), None, min(left, SLOWLY))
    return Move(acted(saying(again, f"starting the {name} again"), now), Action.CREATE_REINDEX, WATCHING)


def _after_work(rollout: Rollout, serving: Serving, now: datetime) -> Move:
    """On to the next Job, or to the Deployment."""
    fresh = rollout.model_copy(update={"undone": None, "acted_at": None, "index": index_asked(serving)})
    loads = rollout.step == "Reindex" and work_seconds("Load", serving) is not None
    return Move(at_step(fresh, "Load" if loads else "Patch", now, None), None, SOON)


def _patch(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    blue, now = seen.blue, seen.now
    if blue.found and blue.matches:
        return Move(at_step(rollout, "Wait", now, None), None, SOON)
    replaces = rollout.source not in (None, rollout.to) and not touched(rollout)
    if blue.found and blue.scaled_down and replaces:
        # nobody serves the version before, and pods that start meanwhile shall: blue is left as it is
        return _asleep(rollout, seen)
    if rollout.reason == "ScaledToZero":
        return _awake(rollout, now)
    missing = None if blue.found else Failure("DeploymentNotFound", f"Deployment {serving.deployment} does not exist")
    hindrance = blue.blocked or missing
    limit = serving.rollout_timeout_seconds
    if elapsed(rollout.step_started_at, now, seen.watched.step) > limit:
        text = f"the Deployment did not take the version within serving.rolloutTimeoutSeconds={limit}"
        failure = hindrance or _too_long(rollout, seen, serving, text)
        return failed(rollout, failure, now) if touched(rollout) else _ended(rollout, failure, now)
    if hindrance is not None:
        return Move(saying(rollout, hindrance.message), None, WATCHING)
    return _tell(rollout, seen, serving)


def _tell(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    """Apply the version, also again after others took it out: later each time, and only so often."""
    now, target = seen.now, rollout.source if rollout.step == "RollingBack" else rollout.to
    if rollout.acted_at is not None and rollout.acted_at >= rollout.step_started_at:  # it was told in this step
        if rollout.undone is not None and rollout.undone >= MAX_UNDONE:
            return _overwritten(rollout, seen, serving)
        again = rollout.model_copy(update={"undone": (rollout.undone or 0) + 1})
    else:
        again = rollout
    if (left := pause_left(again, now)) > 0:
        return Move(
            noting(rollout, changed(serving.deployment, seen.blue.changed_by, again.undone)), None, min(left, SLOWLY)
        )
    return Move(
        acted(noting(again, f"telling Deployment {serving.deployment} to serve {target}"), now), Action.APPLY, SOON
    )


def _bounced(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    """The version was in the Deployment and no longer is. If others own our fields now, the next patch says so."""
    if rollout.undone is not None and rollout.undone >= MAX_UNDONE:
        return _overwritten(rollout, seen, serving)
    undone = (rollout.undone or 0) + 1
    again = rollout.model_copy(update={"undone": undone})
    return Move(
        at_step(again, "Patch", seen.now, changed(serving.deployment, seen.blue.changed_by, undone)), None, SOON
    )


def _overwritten(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    failure = Failure("OverwrittenByOthers", fight(rollout, serving.deployment, seen.blue.changed_by))
    if rollout.step == "RollingBack":
        return _ended(rollout, _stuck(rollout, failure.message), seen.now)
    return failed(rollout, failure, seen.now)


def _wait(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    blue, limit, now = seen.blue, serving.rollout_timeout_seconds, seen.now
    if blue.found and blue.settled and blue.matches and not blue.scaled_down:
        return Move(at_step(rollout, "Verify" if serving.verify else "Promote", now, None), None, SOON)
    if blue.found and blue.scaled_down and blue.matches:
        return _asleep(rollout, seen)
    if rollout.reason == "ScaledToZero":
        return _awake(rollout, now)
    if blue.failed is not None:
        return failed(rollout, blue.failed, now)
    if elapsed(rollout.step_started_at, now, seen.watched.step) > limit:
        text = f"the pods were not replaced within serving.rolloutTimeoutSeconds={limit}"
        return failed(rollout, blue.blocked or Failure("RolloutTimeout", f"{text}: {blue.message}"), now)
    if blue.found and not blue.matches:
        return _bounced(rollout, seen, serving)
    return Move(saying(rollout, blue.blocked.message if blue.blocked else blue.message), None, WATCHING)


def _verify(rollout: Rollout, seen: Observed, serving: Serving) -> Move:
    if not (seen.blue.found and seen.blue.matches):
        return _bounced(rollout, seen, serving)
    if seen.blue.scaled_down:
        return _asleep(rollout, seen)
    if rollout.reason == "ScaledToZero":  # there are pods again, which may not be ready yet
        return Move(at_step(rollout, "Wait", seen.now, None), None, SOON)
    if serving.verify is None:
        return Move(at_step(rollout, "Promote", seen.now, None), None, SOON)
    return Move(rollout, Action.ASK, WATCHING)


def _asleep(rollout: Rollout, seen: Observed) -> Move:
    """The Deployment is scaled to 0 replicas, by a person or by KEDA: wait for pods."""
    waits = {"reason": "ScaledToZero", "scaled_down_at": rollout.scaled_down_at or stamp(seen.now)}
    return Move(saying(rollout, seen.blue.message).model_copy(update=waits), None, SLOWLY)


def _awake(rollout: Rollout, now: datetime) -> Move:
    """It has pods again: the step begins anew."""
    return Move(at_step(rollout, rollout.step, now, None), None, SOON)


def _rolling_back(rollout: Rollout, seen: Observed) -> Move:
    serving, blue, now = seen.serving, seen.blue, seen.now
    if serving is None or not blue.found or rollout.source is None:
        return _ended(rollout, _stuck(rollout, "there is no Deployment to go back with"), now)
    if blue.matches and blue.scaled_down:
        return _gone_back(rollout, now)
    limit = serving.rollout_timeout_seconds
    if elapsed(rollout.step_started_at, now, seen.watched.step) > limit and not (blue.matches and blue.settled):
        return _ended(rollout, _stuck(rollout, blue.blocked.message if blue.blocked else blue.message), now)
    if not blue.matches and blue.blocked is not None and blue.blocked.reason != "DeploymentPaused":
        return Move(saying(rollout, back_message(rollout, blue.blocked.message)), None, WATCHING)
    if not blue.matches:
        return _tell(rollout, seen, serving)
    if not blue.settled:
        said = blue.blocked.message if blue.blocked else blue.message
        return Move(saying(rollout, back_message(rollout, said)), None, WATCHING)
    return Move(rollout, Action.ASK, WATCHING) if serving.verify else _gone_back(rollout, now)


def _gone_back(rollout: Rollout, now: datetime) -> Move:
    failure = Failure(
        known_reason(rollout.reason) or "RolloutFailed", f"{cause_of(rollout)}; blue serves {rollout.source} again"
    )
    return _ended(rollout, failure, now)


def _stuck(rollout: Rollout, message: str) -> Failure:
    text = f"{cause_of(rollout)}; and going back to {rollout.source} did not succeed: {message}"
    return Failure(reason_of(rollout), text)


def _too_long(rollout: Rollout, seen: Observed, serving: Serving, text: str) -> Failure:
    """Why a rollout took too long: others undid it, or it was hindered, as its reason and message say."""
    if rollout.undone and rollout.reason is None:
        writer = seen.blue.changed_by
        return Failure("OverwrittenByOthers", f"{text}: {fight(rollout, serving.deployment, writer)}")
    return Failure(reason_of(rollout, "RolloutTimeout"), f"{text}: {rollout.message}" if rollout.message else text)


def _ended(rollout: Rollout, failure: Failure, now: datetime) -> Move:
    return Move(at_step(rollout, "Failed", now, failure.message, failure.reason), None, SOON)
