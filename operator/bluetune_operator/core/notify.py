"""What spec.notify tells: events of what tasks and model say, each taken in once, and sent until a webhook takes it.

An event is written into the status before it is sent, and taken out once a webhook has taken it. Who dies between the
two sends it again, with the same id.
"""

import hashlib
import hmac
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bluetune_api import API_VERSION
from bluetune_api.model import EmbeddingModelStatus
from bluetune_api.notify import MAX_PENDING, MAX_SEEN, Notice, NoticeEvent, Notify, NotifyStatus
from bluetune_api.reasons import known_reason
from bluetune_operator.core.conditions import find, shortened
from bluetune_operator.core.kinds import Object, condition, name_of, namespace_of, true_condition, uid_of
from bluetune_operator.core.retrain.tasks import ended
from bluetune_operator.core.times import moment_of, stamp

KEPT = timedelta(days=7)
"""How long what was taken in is remembered, and how long an operator may be down without a notice being lost."""
MAX_ATTEMPTS = 12
NOTICE_CHARACTERS = 512
"""Maximum length of a message: a hundred notices stand in one status."""
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 3600.0
"""Between two attempts, doubled each time: twelve take about four hours."""
PAUSED = frozenset({"PausedAfterRefusals", "PausedAfterFailures"})
OUTCOMES: dict[str, NoticeEvent] = {"Promoted": "Promoted", "Refused": "Refused", "Failed": "Failed"}


@dataclass(frozen=True)
class Happened:
    """Something to be told."""

    id: str
    event: NoticeEvent
    time: datetime
    subject: str
    reason: str
    message: str
    version: str | None = None


def happened(model: Object, status: EmbeddingModelStatus, tasks: Iterable[Object]) -> list[Happened]:
    """All that the objects say has happened, the oldest first."""
    found = [event for task in tasks if (event := _of_task(task)) is not None]
    rollout = status.rollout
    if rollout is not None and rollout.step == "Failed":
        found.append(
            Happened(
                _id(uid_of(model), "RolledBack", rollout.to, rollout.started_at),
                "RolledBack",
                moment_of(rollout.step_started_at),
                rollout.task or name_of(model),
                known_reason(rollout.reason) or "RolloutFailed",
                rollout.message or "",
                rollout.to,
            )
        )
    asked = status.promote
    if asked is not None and (asked.outcome, asked.reason) == ("Promoted", "Promoted"):
        id_ = _id(uid_of(model), "Promoted", asked.version, asked.time)
        when, message = moment_of(asked.time), asked.message or ""
        found.append(Happened(id_, "Promoted", when, name_of(model), "Promoted", message, asked.version))
    said = find(status.conditions, "Retraining")
    if said is not None and said.status == "False" and said.reason in PAUSED:
        at = said.last_transition_time
        found.append(
            Happened(
                _id(uid_of(model), said.reason, at), "Paused", moment_of(at), name_of(model), said.reason, said.message
            )
        )
    return sorted(found, key=lambda one: (one.time, one.id))


def _of_task(task: Object) -> Happened | None:
    end = ended(task, None)
    event = OUTCOMES.get(end.outcome) if end is not None else None
    if end is None or event is None:
        return None
    if (true_condition(task, "Failed") or {}).get("reason") == "RolloutFailed":
        return None  # the model's rollout tells it
    ready = condition(task, "Ready") or condition(task, "Failed") or condition(task, "Succeeded") or {}
    version = (task.get("status") or {}).get("bestModelId")
    reason, message = str(ready.get("reason") or end.outcome), str(ready.get("message") or "")
    return Happened(_id(uid_of(task), event), event, end.at, name_of(task), reason, message, version)


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def taken_in(
    state: NotifyStatus | None, entries: Sequence[Notify], events: Iterable[Happened], now: datetime
) -> NotifyStatus:
    """With what is new to be told. What happened before there was a spec.notify is not, nor is it to later entries.

    Args:
        state: the status as written last.
        entries: of spec.notify.
        events: all that the objects say has happened, the oldest first.
        now: the time.
    """
    state = state or NotifyStatus(since=stamp(now - timedelta(seconds=1)))
    names = {entry.name for entry in entries}
    pending = [notice for notice in state.pending or () if notice.target in names]
    seen = [_Seen.of(text) for text in state.seen or ()]
    since, known = moment_of(state.since), {one.id for one in seen}
    for event in events:
        if event.time > since and event.id not in known:
            seen.append(_Seen(event.id, event.time))
            pending += [_notice(event, entry.name, now) for entry in entries if event.event in entry.events]
    seen.sort(key=lambda one: (one.time, one.id))
    most = max((n for n, one in enumerate(seen, 1) if one.time <= now - KEPT), default=0)
    most = max(most, len(seen) - MAX_SEEN)
    if most:  # what is forgotten must not be taken in again
        since = max(since, seen[most - 1].time)
        seen = [one for one in seen if one.time > since]
    given_up = max(0, len(pending) - MAX_PENDING)
    update = {
        "since": stamp(since),
        "seen": [one.text() for one in seen] or None,
        "pending": pending[given_up:] or None,
        "lost": state.lost + given_up,
    }
    return state.model_copy(update=update)


@dataclass(frozen=True)
class _Seen:
    """An event that was taken in."""

    id: str
    time: datetime

    @classmethod
    def of(cls, text: str) -> "_Seen":
        id_, _, time = text.partition(" ")
        return cls(id_, moment_of(time))

    def text(self) -> str:
        return f"{self.id} {stamp(self.time)}"


def _notice(event: Happened, target: str, now: datetime) -> Notice:
    return Notice(
        id=event.id,
        target=target,
        event=event.event,
        time=stamp(event.time),
        subject=shortened(event.subject, 256),
        reason=shortened(event.reason, 256),
        message=shortened(event.message, NOTICE_CHARACTERS),
        version=event.version,
        next_time=stamp(now),
    )


def due(state: NotifyStatus, now: datetime) -> list[Notice]:
    """Notices to send now."""
    return [notice for notice in state.pending or () if moment_of(notice.next_time) <= now]


def seconds_to_next(state: NotifyStatus, now: datetime) -> float | None:
    """Until one is to be sent again; None if there is none."""
    left = [(moment_of(notice.next_time) - now).total_seconds() for notice in state.pending or ()]
    return max(1.0, min(left)) if left else None


def answered(state: NotifyStatus, notice: Notice, problem: str | None, now: datetime) -> tuple[NotifyStatus, bool]:
    """With what became of a notice that was sent, and whether it is given up.

    Args:
        state: the status.
        notice: what was sent.
        problem: why it was not taken; None: it was.
        now: the time.
    """
    others = [one for one in state.pending or () if (one.id, one.target) != (notice.id, notice.target)]
    if problem is None:
        update: dict[str, Any] = {"pending": others or None, "delivered": state.delivered + 1, "last_error": None}
        return state.model_copy(update=update), False
    attempts = notice.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        update = {"pending": others or None, "lost": state.lost + 1, "last_error": shortened(problem)}
        return state.model_copy(update=update), True
    delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2**attempts) * random.uniform(0.75, 1.0)
    again = notice.model_copy(update={"attempts": attempts, "next_time": stamp(now + timedelta(seconds=delay))})
    return state.model_copy(update={"pending": [*others, again], "last_error": shortened(problem)}), False


def body_of(model: Object, notice: Notice, entry: Notify) -> tuple[str, bytes]:
    """Content type and body of a notice."""
    name, namespace = name_of(model), namespace_of(model)
    if entry.format == "Slack":
        text = f"*{namespace}/{name}*: {notice.event} ({notice.reason}), {notice.subject}: {notice.message}"
        for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, escaped)
        return "application/json", json.dumps({"text": text}).encode()
    data = {
        "model": name,
        "namespace": namespace,
        "subject": notice.subject,
        "reason": notice.reason,
        "message": notice.message,
        **({"version": notice.version} if notice.version is not None else {}),
    }
    event = {
        "specversion": "1.0",
        "id": notice.id,
        "source": f"/apis/{API_VERSION}/namespaces/{namespace}/embeddingmodels/{name}",
        "type": f"dev.bluetune.model.{notice.event.lower()}",
        "subject": notice.subject,
        "time": notice.time,
        "datacontenttype": "application/json",
        "data": data,
    }
    return "application/cloudevents+json", json.dumps(event).encode()


def signature(key: str, body: bytes) -> str:
    """Value of X-Bluetune-Signature."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
