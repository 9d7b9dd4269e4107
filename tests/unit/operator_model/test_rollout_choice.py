"""Which rollout begins, and which may go on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Reindex, Rollout, Serving
from bluetune_operator.core.rollout.choice import (
    Choice,
    Situation,
    Target,
    choose,
    lost_right,
    promoted,
    request_of,
    retry_delay,
    unread,
)
from bluetune_operator.core.times import stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
V1, V2, V3 = "v000000000001", "v000000000002", "v000000000003"


def digest(version: str) -> str:
    return "sha256:" + version[-1] * 64


def current(version: str) -> CurrentVersion:
    return CurrentVersion(version=version, uri=f"s3://b/{version}", digest=digest(version), promoted_at=stamp(NOW))


def target(version: str, uid: str | None = None) -> Target:
    return Target(version, digest(version), "task" if uid else None, uid)


def rollout(to: str, step: str, *, uid: str | None = None, attempt: int = 1, generation: int = 1) -> Rollout:
    return Rollout.model_validate(
        {
            "from": V1,
            "to": to,
            "digest": digest(to),
            "step": step,
            "taskUid": uid,
            "task": "task" if uid else None,
            "startedAt": stamp(NOW),
            "stepStartedAt": stamp(NOW),
            "attempt": attempt,
            "generation": generation,
        }
    )


PLAIN = Serving(deployment="blue", container="server")
REINDEX = PLAIN.model_copy(update={"reindex": Reindex(template={})})
PINNED = PLAIN.model_copy(update={"rollback_to": V3})
FRESH = Situation(EmbeddingModelStatus(), PLAIN, generation=1, now=NOW, base=target(V1))
SERVED = replace(FRESH, status=EmbeddingModelStatus(current=current(V1)))


@pytest.mark.parametrize(
    ("case", "situation", "to", "step"),
    [
        ("the base first", FRESH, V1, "Patch"),
        ("the base, reindexed", replace(FRESH, serving=REINDEX), V1, "Reindex"),
        ("nothing to do", SERVED, None, None),
        ("what the holder asks for", replace(SERVED, request=target(V2, "u")), V2, "Patch"),
        (
            "what the holder asks for, reindexed",
            replace(SERVED, serving=REINDEX, request=target(V2, "u")),
            V2,
            "Reindex",
        ),
        ("it is current already", replace(SERVED, request=target(V1, "u")), None, None),
        (
            "the same task is not tried twice",
            replace(
                SERVED,
                status=EmbeddingModelStatus(current=current(V1), rollout=rollout(V2, "Failed", uid="u")),
                request=target(V2, "u"),
            ),
            None,
            None,
        ),
        ("rollbackTo", replace(SERVED, serving=PINNED, pinned=target(V3)), V3, "Patch"),
        (
            "rollbackTo before what the holder asks for",
            replace(SERVED, serving=PINNED, pinned=target(V3), request=target(V2, "u")),
            V3,
            "Patch",
        ),
        ("pinned: the holder gets nothing", replace(SERVED, serving=PINNED, request=target(V2, "u")), None, None),
        ("the Deployment lost the current version", replace(SERVED, drifted=True), V1, "Patch"),
        ("serving declared later: the index is new", replace(SERVED, serving=REINDEX, drifted=True), V1, "Reindex"),
        (
            "the current version did not come up again",
            replace(
                SERVED,
                status=EmbeddingModelStatus(current=current(V1), rollout=rollout(V1, "Failed")),
                now=NOW + timedelta(seconds=31),
            ),
            V1,
            "Patch",
        ),
        (
            "drift after a rollout needs no new index",
            replace(
                SERVED,
                status=EmbeddingModelStatus(current=current(V1), rollout=rollout(V1, "Done")),
                serving=REINDEX,
                drifted=True,
                now=NOW + timedelta(hours=2),
            ),
            V1,
            "Patch",
        ),
    ],
)
def test_the_rollout_that_begins(case: str, situation: Situation, to: str | None, step: str | None) -> None:
    begun = choose(situation).rollout
    assert (begun.to if begun else None, begun.step if begun else None) == (to, step), case


def test_a_failed_first_rollout_is_tried_again_later_and_later_and_at_once_after_a_change() -> None:
    failed = replace(FRESH, status=EmbeddingModelStatus(rollout=rollout(V1, "Failed", attempt=2)))
    soon = choose(failed)
    assert soon.rollout is None
    assert soon.retry_after == retry_delay(2) == 60
    later = choose(replace(failed, now=NOW + timedelta(seconds=61))).rollout
    assert later is not None
    assert later.attempt == 3
    assert choose(replace(failed, generation=2)).rollout is not None
    assert retry_delay(30) == 1800


def test_a_current_version_that_is_taken_out_again_and_again_is_told_later_and_later() -> None:
    def taken_out(last: Rollout, seconds: float) -> Choice:
        status = EmbeddingModelStatus(current=current(V1), rollout=last)
        return choose(replace(SERVED, status=status, drifted=True, now=NOW + timedelta(seconds=seconds)))

    first = rollout(V1, "Done").model_copy(update={"source": V2})  # the version's own rollout
    begun = taken_out(first, 1).rollout
    assert begun is not None
    assert begun.attempt == 1
    again = rollout(V1, "Done", attempt=3)
    assert taken_out(again, 1) == Choice(retry_after=119)
    begun = taken_out(again, 121).rollout
    assert begun is not None
    assert begun.attempt == 4
    begun = taken_out(rollout(V1, "Done", attempt=30), 3601).rollout
    assert begun is not None
    assert begun.attempt == 1, "long ago"


def test_a_pinned_version_is_given_up_after_five_tries_until_the_model_changes_the_current_one_never() -> None:
    def tried(to: str, attempt: int) -> Situation:
        last = rollout(to, "Failed", attempt=attempt)
        status = EmbeddingModelStatus(current=current(V1), rollout=last)
        later = NOW + timedelta(days=1)
        return Situation(status, PINNED, generation=1, now=later, base=target(V1), pinned=target(V3))

    fifth = choose(tried(V3, 4)).rollout
    assert fifth is not None
    assert fifth.attempt == 5
    assert choose(tried(V3, 5)) == Choice()
    assert choose(replace(tried(V3, 5), generation=2)).rollout is not None
    stubborn = choose(replace(tried(V1, 50), serving=PLAIN, pinned=None)).rollout
    assert stubborn is not None
    assert stubborn.to == V1


def task(uid: str = "u", *, promoted: tuple[str, str] = ("Unknown", "RolloutRequested"), **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "task", "uid": uid, **more.pop("metadata", {})},
        "spec": {"deployAsBlue": True, **more},
        "status": {
            "bestModelId": V2,
            "digest": digest(V2),
            "metrics": {"candidate": {"ndcg@10": 0.5}},
            "conditions": [
                {"type": "Published", "status": "True", "reason": "Published"},
                {"type": "Promoted", "status": promoted[0], "reason": promoted[1]},
            ],
        },
    }


@pytest.mark.parametrize(
    ("case", "asking", "holder", "granted"),
    [
        ("it asks and holds the lock", task(), "u", True),
        ("another holds the lock", task(), "other", False),
        ("nobody holds the lock", task(), None, False),
        ("it asks no more", task(promoted=("False", "GateNotPassed")), "u", False),
        ("cancelled", task(cancel=True), "u", False),
        ("being deleted", task(metadata={"deletionTimestamp": stamp(NOW)}), "u", False),
        ("no deployAsBlue", task(deployAsBlue=False), "u", False),
    ],
)
def test_only_the_holder_of_the_lock_gets_a_rollout(
    case: str, asking: dict[str, Any], holder: str | None, granted: bool
) -> None:
    found = request_of([asking], holder)
    assert (found is not None) == granted, case
    if found is not None:
        assert (found.version, found.task_uid, found.metrics) == (V2, "u", {"ndcg@10": 0.5})


@pytest.mark.parametrize(
    ("case", "tasks", "holder", "serving", "reason"),
    [
        ("all is well", [task()], "u", PLAIN, None),
        ("deleted", [], "u", PLAIN, "TaskDeleted"),
        ("deleted and made again", [task("v")], "v", PLAIN, "TaskDeleted"),
        ("being deleted", [task(metadata={"deletionTimestamp": stamp(NOW)})], "u", PLAIN, "TaskDeleted"),
        ("cancelled", [task(cancel=True)], "u", PLAIN, "TaskCancelled"),
        ("lock lost", [task()], "w", PLAIN, "LockLost"),
        ("pinned meanwhile", [task()], "u", PINNED, "Pinned"),
    ],
)
def test_a_rollout_loses_its_right_with_its_task_and_lock(
    case: str, tasks: list[dict[str, Any]], holder: str | None, serving: Serving, reason: str | None
) -> None:
    lost = lost_right(rollout(V2, "Wait", uid="u"), tasks, holder, serving)
    assert (lost.reason if lost else None) == reason, case


def test_rollbacks_and_the_base_need_no_lock() -> None:
    assert lost_right(rollout(V3, "Wait"), [], None, PINNED) is None


def test_the_record_of_an_ended_rollout_stays_until_its_task_has_read_it() -> None:
    assert unread(rollout(V2, "Failed", uid="u"), [task()])
    assert not unread(rollout(V2, "Failed", uid="u"), [task(promoted=("False", "RolloutFailed"))])
    assert not unread(rollout(V2, "Failed", uid="u"), [])
    assert not unread(rollout(V2, "Wait", uid="u"), [task()])


def test_the_history_is_bounded_newest_first_and_unchanged_by_the_same_version() -> None:
    status = EmbeddingModelStatus(current=current(V1), history=[current(V3)] * 10)
    now_current, history = promoted(status, rollout(V2, "Promote", uid="u"), "s3://b/new", NOW)
    assert (now_current.version, now_current.task, now_current.uri) == (V2, "task", "s3://b/new")
    assert [h.version for h in history] == [V1] + [V3] * 9
    assert promoted(status, rollout(V1, "Promote"), "x", NOW) == (status.current, status.history)
