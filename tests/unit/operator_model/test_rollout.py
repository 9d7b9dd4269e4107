"""Every move of a rollout, from its status and what is seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bluetune_api.model import Reindex, Rollout, Serving
from bluetune_api.reasons import Reason
from bluetune_api.verify import Verify
from bluetune_operator.core.rollout.limits import Watched
from bluetune_operator.core.rollout.moves import (
    Action,
    Answers,
    BlueView,
    Failure,
    JobView,
    Observed,
    advance,
    answered,
    failed,
    refused,
)
from bluetune_operator.core.times import stamp

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, DIGEST = "v000000000001", "v000000000002", "sha256:" + "2" * 64
SERVING = Serving(
    deployment="blue",
    container="server",
    reindex=Reindex(template={}, timeout_seconds=100),
    verify=Verify(port=80, timeout_seconds=50),
    rollout_timeout_seconds=200,
)
NEW_PODS = BlueView(found=True, matches=True, settled=True, message="2 pods are available")
UNTOUCHED = BlueView(found=True, matches=False, settled=True)
PAUSED = Failure("DeploymentPaused", "resume it")
STARTING = BlueView(found=True, matches=True, message="0 of 2 pods are new")


def at(step: str, *, source: str | None = OLD, reason: str | None = None, message: str | None = None) -> Rollout:
    return Rollout.model_validate(
        {
            "from": source,
            "to": NEW,
            "digest": DIGEST,
            "step": step,
            "startedAt": stamp(BEGUN),
            "stepStartedAt": stamp(BEGUN),
            "reason": reason,
            "message": message,
        }
    )


def told(undone: int | None = None) -> Rollout:
    """The Deployment was told in this step, so many times in vain."""
    return at("Patch").model_copy(update={"acted_at": stamp(BEGUN), "undone": undone})


def seen(seconds: float = 1, **more: Any) -> Observed:
    now = BEGUN + timedelta(seconds=seconds)
    return replace(Observed(now=now, serving=SERVING, watched=Watched(seconds, seconds)), **more)


@pytest.mark.parametrize(
    ("case", "rollout", "observed", "step", "action"),
    [
        ("no Job yet", at("Reindex"), seen(), "Reindex", Action.CREATE_REINDEX),
        (
            "Job of an earlier try",
            at("Reindex"),
            seen(job=JobView("Complete", False)),
            "Reindex",
            Action.DELETE_REINDEX,
        ),
        ("Job runs", at("Reindex"), seen(job=JobView("Running", True)), "Reindex", None),
        ("Job complete", at("Reindex"), seen(job=JobView("Complete", True)), "Patch", None),
        (
            "Job failed: blue untouched, so no way back is needed; the Job is kept for its log",
            at("Reindex"),
            seen(job=JobView("Failed", True, "exit code 1")),
            "Failed",
            None,
        ),
        ("Job too slow", at("Reindex"), seen(101, job=JobView("Running", True)), "Failed", Action.DELETE_REINDEX),
        (
            "no reindex declared",
            at("Reindex"),
            seen(serving=SERVING.model_copy(update={"reindex": None})),
            "Patch",
            None,
        ),
        ("not patched yet", at("Patch"), seen(blue=UNTOUCHED), "Patch", Action.APPLY),
        ("patched already", at("Patch"), seen(blue=STARTING), "Wait", None),
        ("Deployment missing: wait for it", at("Patch"), seen(), "Patch", None),
        ("Deployment missing for too long", at("Patch"), seen(201), "Failed", None),
        (
            "Deployment cannot be patched",
            at("Patch"),
            seen(blue=replace(UNTOUCHED, blocked=Failure("ContainerNotFound", "x"))),
            "Patch",
            None,
        ),
        ("pods starting", at("Wait"), seen(blue=STARTING), "Wait", None),
        ("pods replaced", at("Wait"), seen(blue=NEW_PODS), "Verify", None),
        (
            "pods replaced, nothing to verify",
            at("Wait"),
            seen(blue=NEW_PODS, serving=SERVING.model_copy(update={"verify": None})),
            "Promote",
            None,
        ),
        (
            "Kubernetes gave up",
            at("Wait"),
            seen(blue=replace(STARTING, failed=Failure("ProgressDeadlineExceeded", "x"))),
            "RollingBack",
            None,
        ),
        ("pods too slow", at("Wait"), seen(201, blue=STARTING), "RollingBack", None),
        ("pods too slow, nothing to go back to", at("Wait", source=None), seen(201, blue=STARTING), "Failed", None),
        ("our fields were overwritten", at("Wait"), seen(blue=UNTOUCHED), "Patch", None),
        ("Deployment deleted meanwhile", at("Wait"), seen(201), "RollingBack", None),
        ("paused meanwhile", at("Wait"), seen(blue=replace(STARTING, blocked=PAUSED)), "Wait", None),
        ("paused for too long", at("Wait"), seen(201, blue=replace(STARTING, blocked=PAUSED)), "RollingBack", None),
        ("scaled to nothing meanwhile", at("Wait"), seen(201, blue=replace(STARTING, scaled_down=True)), "Wait", None),
        (
            "scaled to nothing while asking",
            at("Verify"),
            seen(blue=replace(NEW_PODS, scaled_down=True)),
            "Verify",
            None,
        ),
        ("pods again while asking", at("Verify", reason="ScaledToZero"), seen(blue=STARTING), "Wait", None),
        (
            "renamed meanwhile",
            at("Wait"),
            seen(blue=replace(UNTOUCHED, blocked=Failure("ContainerNotFound", "x"))),
            "Patch",
            None,
        ),
        ("told for too long", at("Patch"), seen(201, blue=UNTOUCHED), "Failed", None),
        ("told in vain for too long", told(), seen(201, blue=UNTOUCHED), "RollingBack", None),
        ("told, and taken out at once: later", told(), seen(1, blue=UNTOUCHED), "Patch", None),
        ("told, and taken out: again", told(), seen(6, blue=UNTOUCHED), "Patch", Action.APPLY),
        ("told, and taken out once too often", told(5), seen(199, blue=UNTOUCHED), "RollingBack", None),
        ("all of it took too long", at("Wait"), seen(951, watched=Watched(951, 1), blue=STARTING), "RollingBack", None),
        ("ask", at("Verify"), seen(blue=NEW_PODS), "Verify", Action.ASK),
        ("overwritten while asking", at("Verify"), seen(blue=UNTOUCHED), "Patch", None),
        ("promote", at("Promote"), seen(blue=NEW_PODS), "Promote", Action.PROMOTE),
        ("right lost before promotion", at("Promote"), seen(abort=Failure("TaskDeleted", "x")), "RollingBack", None),
        ("right lost while waiting", at("Wait"), seen(abort=Failure("TaskDeleted", "x")), "RollingBack", None),
        (
            "right lost while reindexing",
            at("Reindex"),
            seen(abort=Failure("LockLost", "x")),
            "Failed",
            Action.DELETE_REINDEX,
        ),
        ("serving removed", at("Wait"), seen(serving=None), "Failed", None),
        ("back: not patched", at("RollingBack", reason="X"), seen(blue=UNTOUCHED), "RollingBack", Action.APPLY),
        ("back: pods starting", at("RollingBack", reason="X"), seen(blue=STARTING), "RollingBack", None),
        ("back: ask", at("RollingBack", reason="X"), seen(blue=NEW_PODS), "RollingBack", Action.ASK),
        (
            "back: right lost changes nothing",
            at("RollingBack", reason="X"),
            seen(blue=NEW_PODS, abort=Failure("TaskDeleted", "x")),
            "RollingBack",
            Action.ASK,
        ),
        (
            "back: paused, and told all the same",
            at("RollingBack", reason="X"),
            seen(blue=replace(UNTOUCHED, blocked=PAUSED)),
            "RollingBack",
            Action.APPLY,
        ),
        (
            "back: renamed",
            at("RollingBack", reason="X"),
            seen(blue=replace(UNTOUCHED, blocked=Failure("ContainerNotFound", "x"))),
            "RollingBack",
            None,
        ),
        (
            "back: at 0 replicas the template is all there is",
            at("RollingBack", reason="X"),
            seen(blue=replace(STARTING, scaled_down=True)),
            "Failed",
            None,
        ),
        ("back: too slow", at("RollingBack", reason="X"), seen(201, blue=STARTING), "Failed", None),
        ("back: Deployment gone", at("RollingBack", reason="X"), seen(), "Failed", None),
        ("ended", at("Done"), seen(blue=UNTOUCHED), "Done", None),
        ("failed stays failed", at("Failed", reason="X"), seen(blue=UNTOUCHED), "Failed", None),
    ],
)
def test_the_next_move(case: str, rollout: Rollout, observed: Observed, step: str, action: Action | None) -> None:
    move = advance(rollout, observed)
    assert (move.rollout.step, move.action) == (step, action), case


def test_a_failure_names_its_cause_through_the_way_back() -> None:
    stuck = replace(STARTING, message="pod blue-1: ImagePullBackOff: no such image")
    rollout = advance(at("Wait"), seen(201, blue=stuck)).rollout
    assert rollout.reason == "RolloutTimeout"
    rollout = advance(
        rollout, seen(202, watched=Watched(202, 1), blue=replace(STARTING, message="1 of 2 pods are new"))
    ).rollout
    rollout = advance(
        rollout, seen(203, watched=Watched(203, 2), blue=replace(STARTING, message="2 of 2 pods are new"))
    ).rollout
    assert rollout.message is not None
    assert rollout.message.count("going back to") == 1
    ended = answered(rollout, Answers(True), seen(204)).rollout
    assert (ended.step, ended.reason) == ("Failed", "RolloutTimeout")
    assert ended.message is not None
    assert "ImagePullBackOff: no such image; blue serves v000000000001 again" in ended.message


@pytest.mark.parametrize(
    ("step", "right", "seconds", "expected"),
    [
        ("Verify", True, 10, "Promote"),
        ("Verify", False, 10, "Verify"),
        ("Verify", False, 51, "RollingBack"),
        ("RollingBack", True, 10, "Failed"),
        ("RollingBack", False, 10, "RollingBack"),
        ("RollingBack", False, 251, "Failed"),
    ],
)
def test_what_follows_from_the_answers(step: str, right: bool, seconds: float, expected: str) -> None:
    move = answered(at(step, reason="X", message="it broke"), Answers(right, "it serves another"), seen(seconds))
    assert move.rollout.step == expected


@pytest.mark.parametrize(
    ("reason", "seconds", "expected"),
    [
        ("VerifyUnreachable", 51, ("RollingBack", "VerifyUnreachable")),
        ("StoreUnreachable", 51, ("Verify", None)),
        ("StoreUnreachable", 201, ("RollingBack", "StoreUnreachable")),
    ],
)
def test_pods_that_could_not_be_judged_are_told_from_wrong_ones(
    reason: Reason, seconds: float, expected: tuple[str, str | None]
) -> None:
    rollout = answered(at("Verify"), Answers(False, "x", reason), seen(seconds)).rollout
    assert (rollout.step, rollout.reason) == expected


def test_a_rollout_that_was_paused_for_too_long_says_so() -> None:
    rollout = advance(at("Wait"), seen(201, blue=replace(STARTING, blocked=PAUSED))).rollout
    assert rollout.reason == "DeploymentPaused"
    assert "resume it" in (rollout.message or "")


def test_a_refused_patch_ends_the_rollout_without_a_way_back() -> None:
    move = refused(at("Patch"), Failure("FieldConflict", "belongs to kubectl"), BEGUN)
    assert (move.rollout.step, move.rollout.reason) == ("Failed", "FieldConflict")


def test_a_rollout_of_the_current_version_has_nothing_to_go_back_to() -> None:
    again = at("Wait", source=NEW)
    assert failed(again, Failure("RolloutTimeout", "x"), BEGUN).rollout.step == "Failed"
