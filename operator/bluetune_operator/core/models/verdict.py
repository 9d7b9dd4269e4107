"""From what was found about a model to its conditions, and to the Events that are worth telling."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bluetune_api.base import Condition
from bluetune_api.model import EmbeddingModelStatus, Rollout
from bluetune_api.reasons import STORE_REASONS, ConditionType, Reason, known_reason
from bluetune_operator.core import kinds
from bluetune_operator.core.conditions import Status, condition, find, is_true, merge, one_line
from bluetune_operator.core.event_level import Level, event_level
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.lock.rules import has_ended
from bluetune_operator.core.models.promote import Said
from bluetune_operator.core.rollout.choice import PIN_TRIES, active
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.unreadable_status import UNREADABLE

TRANSIENT = frozenset(
    {
        "BlueNotAvailable",
        "Importing",
        "Queued",
        "RollingOut",
        "RolloutQueued",
        "ScaledToZero",
        "StoreError",
        "StoreUnreachable",
        "Terminating",
    }
)
"""Reasons that end by themselves."""


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    problem: Failure | None = None
    """Why the model cannot be used, or is not as declared; None: it is."""
    ready: Failure | None = None
    """Reason and message of Ready=True."""
    imported: Failure | None = None
    """Why the base is not published yet; None: it is."""
    unsafe: Failure | None = None
    """Why the Deployment would drop requests."""
    deployment_seen: bool = False
    """Whether the Deployment was judged at all."""
    lock: Failure | None = None
    """Why the lock cannot be trusted."""
    stuck: Failure | None = None
    """Why the lock is not freed: a pod does not end."""
    store_judged: bool = False
    """Whether the store's conditional writes were tried."""
    store_unsafe: Failure | None = None
    """Why the store is not safe."""
    refused: Failure | None = None
    """Why what spec.serving.promote names must not be rolled out."""
    promoted: Said | None = None
    """What is said of spec.serving.promote; None: nothing new."""


def conditions_of(status: EmbeddingModelStatus, verdict: Verdict, *, generation: int, now: datetime) -> list[Condition]:
    """All conditions of a model."""

    def say(kind: ConditionType, value: bool | Status, reason: Reason, message: str = "") -> Condition:
        return condition(kind, value, reason, message, generation=generation, now=now)

    rolling, problem = active(status.rollout), verdict.problem
    found = [
        say("Imported", False, verdict.imported.reason, verdict.imported.message)
        if verdict.imported
        else say("Imported", True, "Published", f"the base is version {status.base_version}")
    ]
    if problem is not None:
        found.append(say("Ready", False, problem.reason, problem.message))
    else:
        ready = verdict.ready or Failure("Available", "")
        found.append(say("Ready", True, ready.reason, ready.message))
    lasting = problem if problem is not None and problem.reason not in TRANSIENT else verdict.stuck
    stalled = lasting if not rolling else None
    moving = rolling or (problem is not None and stalled is None)
    why = problem or Failure(_doing(status.rollout), (status.rollout.message or "") if status.rollout else "")
    found += [
        say("Reconciling", moving, why.reason if moving else "Settled", why.message if moving else ""),
        say("Stalled", True, stalled.reason, stalled.message) if stalled else say("Stalled", False, "NotStalled"),
    ]
    unsafe = verdict.unsafe
    if unsafe is not None:
        found.append(say("ServingUnsafe", True, unsafe.reason, unsafe.message))
    elif verdict.deployment_seen or find(status.conditions, "ServingUnsafe"):
        found.append(say("ServingUnsafe", False, "Safe"))
    if verdict.store_unsafe is not None:
        found.append(say("StoreUnsafe", True, verdict.store_unsafe.reason, verdict.store_unsafe.message))
    elif verdict.store_judged:
        found.append(say("StoreUnsafe", False, "ConditionalWrites"))
    if verdict.promoted is not None:
        found.append(say("Promoted", verdict.promoted.status, verdict.promoted.reason, verdict.promoted.message))
    if is_true(status.conditions, UNREADABLE):
        found.append(say(UNREADABLE, False, "StatusReadable"))
    if verdict.lock is not None:
        found.append(say("LockInconsistent", True, verdict.lock.reason, verdict.lock.message))
    elif find(status.conditions, "LockInconsistent"):
        found.append(say("LockInconsistent", False, "Consistent"))
    return merge(status.conditions, found)


def with_verdict(
    status: EmbeddingModelStatus, verdict: Verdict, *, generation: int, now: datetime
) -> EmbeddingModelStatus:
    """The status with all conditions, and with what they come to in one line."""
    conditions = conditions_of(status, verdict, generation=generation, now=now)
    ready = find(conditions, "Ready")
    message = one_line(ready.message) if ready is not None else None
    return status.model_copy(update={"conditions": conditions, "message": message or None})


def asks_store(status: EmbeddingModelStatus, tasks: Iterable[Object]) -> bool:
    """Whether the store is to be looked at: the model says that it cannot be used, or a task at work does.

    A store sends no events, and a look at each one of all models would be most of the operator's work. An outage that
    no task meets changes nothing.
    """
    ready = find(status.conditions, "Ready")
    if ready is not None and ready.reason in STORE_REASONS:
        return True
    return any(
        (kinds.condition(task, "Ready") or {}).get("reason") in STORE_REASONS for task in tasks if not has_ended(task)
    )


@dataclass(frozen=True)
class News:
    """An Event to be."""

    level: Level
    reason: str
    message: str


def news(old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> list[News]:
    """What changed that a person should hear of. Told after the status was written."""
    told: list[News] = []
    if old.current is None and new.current is not None and new.current.version != new.base_version and not new.rollout:
        text = f"version {new.current.version} is live, and stays current; nothing is rolled out"
        told.append(News("Normal", "Adopted", text))
    for kind in ("Ready", "ServingUnsafe", "StoreUnsafe", "LockInconsistent"):
        before, after = find(old.conditions, kind), find(new.conditions, kind)
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            continue
        good = (after.status == "True") == (kind == "Ready")
        if kind == "Ready" or not good:
            bad = not good and (kind != "Ready" or is_true(new.conditions, "Stalled"))
            level = "Normal" if good else event_level(after.reason, stalled=bad)
            told.append(News(level, after.reason, after.message))
    before, after = find(old.conditions, "Stalled"), find(new.conditions, "Stalled")
    if after is not None and after.reason == "PodStuck" and (before is None or before.reason != "PodStuck"):
        told.append(News("Warning", after.reason, after.message))  # Ready may say nothing of it
    return [*told, *_promote_news(old, new), *_rollout_news(old, new)]


def _promote_news(old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> Sequence[News]:
    """What a person's request came to; a rollout that failed tells of itself."""
    before, after = find(old.conditions, "Promoted"), find(new.conditions, "Promoted")
    if after is None or after.status == "Unknown" or (new.promote is not None and new.promote.outcome == "Failed"):
        return ()
    if before is not None and _words(before) == _words(after):
        return ()
    refused = after.status == "False" and after.reason != "Pinned"  # which a person has asked for
    return (News(event_level(after.reason, stalled=refused), after.reason, after.message),)


def _words(said: Condition) -> tuple[str, str, str]:
    return said.status, said.reason, said.message


def _rollout_news(old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> Sequence[News]:
    before, after = old.rollout, new.rollout
    if after is None or (before is not None and _place(before) == _place(after)):
        return ()
    message = after.message or ""
    if after.queued_since is not None:
        return (News("Normal", "RolloutQueued", f"version {after.to}: {message}"),)
    if after.step == "Done":
        return (News("Normal", "RolledOut", f"blue serves version {after.to}"),)
    if after.step in ("Failed", "RollingBack"):
        word = "RolloutFailed" if after.step == "Failed" else "RollingBack"
        level = event_level(after.reason, stalled=True)
        return (News(level, word, f"version {after.to}: {after.reason}: {message}"),)
    if before is None or before.started_at != after.started_at or before.queued_since is not None:
        return (News("Normal", "RolloutStarted", f"rolling out version {after.to}"),)
    return ()


def _place(rollout: Rollout) -> tuple[str | None, ...]:
    return rollout.started_at, rollout.step, rollout.queued_since


@dataclass(frozen=True)
class ServingFacts:
    """What was seen of the blue Deployment, its pods and the store."""

    blocked: Failure | None = None
    """Why the Deployment must not be patched."""
    unsafe: Failure | None = None
    """Why it would drop requests."""
    drifted: bool = False
    """Whether it exists and does not tell its pods to serve the current version."""
    ready: Sequence[str] = ()
    """Versions that ready pods serve, of the current one and the one that is rolled out."""
    scaled_down: bool = False
    """Whether it is to have no pods."""
    changed_by: str = "others"
    """Who else wrote its spec last."""
    pin: str | None = None
    """What rollbackTo names."""
    pin_problem: Failure | None = None
    """Why that cannot be served."""
    store_problem: Failure | None = None
    """Why the store cannot be opened."""


def serving_verdict(status: EmbeddingModelStatus, facts: ServingFacts) -> Verdict:
    """What to say of a model whose base is published and that declares serving; `status` is as it will be written."""
    rollout, current, blocked = status.rollout, status.current, facts.blocked
    seen = blocked is None or blocked.reason != "DeploymentNotFound"
    if rollout is not None and active(rollout):
        return _rolling(rollout, current.version if current else None, facts, seen)
    problem = facts.pin_problem or facts.store_problem
    asked = facts.pin or (current.version if current else None)
    # whether blue serves what it should, as far as the Deployment says
    reached = current is not None and current.version == asked and not facts.drifted
    if problem is None and blocked is not None:
        problem = blocked
    failed = rollout is not None and rollout.step == "Failed"
    last = f"version {rollout.to} was not rolled out: {rollout.message}" if rollout is not None and failed else ""
    if rollout is not None and failed and rollout.to == facts.pin and (rollout.attempt or 1) >= PIN_TRIES:
        last += f"; given up after {PIN_TRIES} tries, until the model is changed"
    if problem is None and rollout is not None and failed and (not reached or rollout.to == asked):
        problem = Failure(known_reason(rollout.reason) or "RolloutFailed", last)
    if problem is None and reached and asked not in facts.ready:
        problem = _nobody(facts, f"no pod that serves {asked} is ready" + (f"; {last}" if last else ""))
    if problem is None and facts.drifted and current is not None and rollout is not None:
        text = f"the Deployment no longer tells its pods to serve {current.version}; its spec was last written by"
        problem = Failure(
            "OverwrittenByOthers", f"{text} {facts.changed_by}; it is told again with exponential backoff"
        )
    if problem is not None or current is None or not reached:
        problem = problem or Failure("RollingOut", f"blue does not serve {asked or 'the base'} yet")
        return Verdict(problem=problem, unsafe=facts.unsafe, deployment_seen=seen)
    text = f"blue serves {current.version}"
    if facts.pin is not None:
        text += f" and stays with it until serving.rollbackTo={facts.pin} is removed"
    ready = Failure("Pinned" if facts.pin is not None else "Serving", f"{text}; {last}" if last else text)
    return Verdict(ready=ready, unsafe=facts.unsafe, deployment_seen=seen)


def _rolling(rollout: Rollout, current: str | None, facts: ServingFacts, seen: bool) -> Verdict:
    """What to say during a rollout: ready is a model that somebody serves."""
    said = f"version {rollout.to}: {rollout.step}" + (f": {rollout.message}" if rollout.message else "")
    if current is None:
        return Verdict(problem=Failure(_doing(rollout), said), unsafe=facts.unsafe, deployment_seen=seen)
    if not facts.ready:
        missing = facts.blocked if not seen else None
        problem = missing or _nobody(facts, f"no pod is ready; rolling out {said}")
        return Verdict(problem=problem, unsafe=facts.unsafe, deployment_seen=seen)
    ready = Failure(_doing(rollout), f"blue serves {' and '.join(facts.ready)}; rolling out {said}")
    return Verdict(ready=ready, unsafe=facts.unsafe, deployment_seen=seen)


def _doing(rollout: Rollout | None) -> Reason:
    return "RolloutQueued" if rollout is not None and rollout.queued_since is not None else "RollingOut"


def _nobody(facts: ServingFacts, text: str) -> Failure:
    if facts.scaled_down:
        return Failure("ScaledToZero", f"{text}: the Deployment is scaled to 0 replicas; scale it up")
    return Failure("BlueNotAvailable", text)
