"""What is said of a model: conditions that kstatus understands, and Events on changes only."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Rollout
from bluetune_operator.core.conditions import find
from bluetune_operator.core.models.verdict import (
    ServingFacts,
    Verdict,
    conditions_of,
    news,
    serving_verdict,
    with_verdict,
)
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.times import stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
V1, V2, D = "v000000000001", "v000000000002", "sha256:" + "1" * 64
CURRENT = CurrentVersion(version=V1, uri="s3://x", digest=D, promoted_at=stamp(NOW))


def rollout(step: str, reason: str | None = None, message: str | None = None) -> Rollout:
    times = {"startedAt": stamp(NOW), "stepStartedAt": stamp(NOW)}
    return Rollout.model_validate({"to": V2, "digest": D, "step": step, "reason": reason, "message": message, **times})


def said(status: EmbeddingModelStatus, verdict: Verdict) -> dict[str, tuple[str, str]]:
    found = conditions_of(status, verdict, generation=1, now=NOW)
    return {c.type: (c.status, c.reason) for c in found}


MISSING = Failure("DeploymentNotFound", "create it")
UNSAFE = Failure("ServingUnsafe", "change it")


@pytest.mark.parametrize(
    ("case", "status", "facts", "ready", "stalled", "reconciling"),
    [
        ("served", EmbeddingModelStatus(current=CURRENT), {}, ("True", "Serving"), "False", "False"),
        (
            "first rollout",
            EmbeddingModelStatus(rollout=rollout("Wait")),
            {},
            ("False", "RollingOut"),
            "False",
            "True",
        ),
        (
            "later rollout: blue still serves",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Wait")),
            {},
            ("True", "RollingOut"),
            "False",
            "True",
        ),
        (
            "first rollout failed",
            EmbeddingModelStatus(rollout=rollout("Failed", "RolloutTimeout", "x")),
            {},
            ("False", "RolloutTimeout"),
            "True",
            "False",
        ),
        (
            "later rollout failed: blue serves what it did",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Failed", "RolloutTimeout", "x")),
            {},
            ("True", "Serving"),
            "False",
            "False",
        ),
        (
            "no Deployment",
            EmbeddingModelStatus(current=CURRENT),
            {"blocked": MISSING},
            ("False", "DeploymentNotFound"),
            "True",
            "False",
        ),
        (
            "unsafe, but what it should serve",
            EmbeddingModelStatus(current=CURRENT),
            {"unsafe": UNSAFE},
            ("True", "Serving"),
            "False",
            "False",
        ),
        (
            "rollbackTo names nothing",
            EmbeddingModelStatus(current=CURRENT),
            {"pin": V2, "pin_problem": Failure("RollbackVersionNotFound", "x")},
            ("False", "RollbackVersionNotFound"),
            "True",
            "False",
        ),
        ("pinned", EmbeddingModelStatus(current=CURRENT), {"pin": V1}, ("True", "Pinned"), "False", "False"),
        (
            "pinned, and it did not come up",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Failed", "RolloutTimeout", "x")),
            {"pin": V2},
            ("False", "RolloutTimeout"),
            "True",
            "False",
        ),
        (
            "no pod is ready",
            EmbeddingModelStatus(current=CURRENT),
            {"ready": []},
            ("False", "BlueNotAvailable"),
            "False",
            "True",
        ),
        (
            "scaled to nothing",
            EmbeddingModelStatus(current=CURRENT),
            {"ready": [], "scaled_down": True},
            ("False", "ScaledToZero"),
            "False",
            "True",
        ),
        (
            "a rollout, and only its pods are ready",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Verify")),
            {"ready": [V2]},
            ("True", "RollingOut"),
            "False",
            "True",
        ),
        (
            "a rollout, and no pod is ready",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Wait")),
            {"ready": []},
            ("False", "BlueNotAvailable"),
            "False",
            "True",
        ),
        (
            "a rollout, and the Deployment is gone",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Wait")),
            {"ready": [], "blocked": MISSING},
            ("False", "DeploymentNotFound"),
            "False",
            "True",
        ),
        (
            "taken out again, and told later",
            EmbeddingModelStatus(current=CURRENT, rollout=rollout("Done")),
            {"drifted": True, "changed_by": "'flux'"},
            ("False", "OverwrittenByOthers"),
            "True",
            "False",
        ),
        (
            "store away",
            EmbeddingModelStatus(current=CURRENT),
            {"store_problem": Failure("StoreUnreachable", "x")},
            ("False", "StoreUnreachable"),
            "False",
            "True",
        ),
    ],
)
def test_conditions_of_a_served_model(
    case: str,
    status: EmbeddingModelStatus,
    facts: dict[str, Any],
    ready: tuple[str, str],
    stalled: str,
    reconciling: str,
) -> None:
    found = said(status, serving_verdict(status, replace(ServingFacts(ready=[V1]), **facts)))
    assert found["Ready"] == ready, case
    assert (found["Stalled"][0], found["Reconciling"][0]) == (stalled, reconciling), case
    assert found["Imported"] == ("True", "Published")
    if "blocked" not in facts:
        assert found["ServingUnsafe"][0] == ("True" if facts.get("unsafe") else "False")


def test_a_condition_that_was_never_true_is_not_there_and_one_that_was_becomes_false() -> None:
    status = EmbeddingModelStatus()
    assert "LockInconsistent" not in said(status, Verdict())
    bad = conditions_of(status, Verdict(lock=Failure("HolderUnknown", "x")), generation=1, now=NOW)
    status = status.model_copy(update={"conditions": bad})
    assert said(status, Verdict(lock=Failure("HolderUnknown", "x")))["LockInconsistent"] == ("True", "HolderUnknown")
    assert said(status, Verdict())["LockInconsistent"] == ("False", "Consistent")


def test_an_unchanged_verdict_leaves_the_conditions_as_they_are() -> None:
    status = EmbeddingModelStatus(current=CURRENT)
    first = conditions_of(status, Verdict(), generation=1, now=NOW)
    later = NOW + timedelta(hours=1)
    again = conditions_of(status.model_copy(update={"conditions": first}), Verdict(), generation=1, now=later)
    assert again == first
    ready = find(again, "Ready")
    assert ready is not None
    assert ready.last_transition_time == stamp(NOW)


def test_a_listing_has_one_line_of_what_ready_says() -> None:
    problem = Failure("FieldConflict", "two managers:\n  kubectl\n  argocd\n" + "x" * 500)
    found = with_verdict(EmbeddingModelStatus(current=CURRENT), Verdict(problem=problem), generation=1, now=NOW)
    ready = find(found.conditions, "Ready")
    assert ready is not None
    assert ready.message == problem.message
    assert (found.message or "").startswith("two managers: kubectl argocd x")
    assert len(found.message or "") == 320


def test_that_nobody_serves_the_model_is_a_warning_unless_somebody_wants_it_so() -> None:
    status = EmbeddingModelStatus(current=CURRENT)
    for facts, level in ((ServingFacts(), "Warning"), (ServingFacts(scaled_down=True), "Normal")):
        verdict = serving_verdict(status, facts)
        new = status.model_copy(update={"conditions": conditions_of(status, verdict, generation=1, now=NOW)})
        assert [n.level for n in news(status, new)] == [level]


def test_events_tell_each_change_once() -> None:
    def status(verdict: Verdict, rolling: Rollout | None) -> EmbeddingModelStatus:
        base = EmbeddingModelStatus(current=CURRENT, rollout=rolling)
        return base.model_copy(update={"conditions": conditions_of(base, verdict, generation=1, now=NOW)})

    served = Verdict(ready=Failure("Serving", "x"))
    new, old = status(served, rollout("Wait")), EmbeddingModelStatus()
    assert [(n.level, n.reason) for n in news(old, new)] == [("Normal", "Serving"), ("Normal", "RolloutStarted")]
    assert news(new, new) == []
    back = status(served, rollout("RollingBack", "VerifyFailed", "m"))
    assert [(n.level, n.reason) for n in news(new, back)] == [("Warning", "RollingBack")]
    asked = status(served, rollout("RollingBack", "TaskCancelled", "m"))
    assert [(n.level, n.reason) for n in news(new, asked)] == [("Normal", "RollingBack")]
    alone = status(Verdict(problem=Failure("BlueNotAvailable", "no pod")), rollout("Done"))
    assert [(n.level, n.reason) for n in news(old, alone)][:1] == [("Warning", "BlueNotAvailable")]
    broken = status(Verdict(problem=MISSING), rollout("Failed", "VerifyFailed", "m"))
    assert [n.reason for n in news(back, broken)] == ["DeploymentNotFound", "RolloutFailed"]
