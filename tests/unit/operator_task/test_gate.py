"""May a version go into production?"""

from typing import Any

import pytest

from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Gate, Serving
from bluetune_api.records import GateGuard, GateReport, Result, RunOwner
from bluetune_operator.core.tasks.gate import promotion, taken_over

LIVE, NEW, OTHER = "v000000000001", "v000000000002", "v000000000003"


def current(version: str = LIVE) -> EmbeddingModelStatus:
    digest = "sha256:" + "0" * 64
    return EmbeddingModelStatus(
        current=CurrentVersion(version=version, uri="s3://b/v", digest=digest, promoted_at="2026-01-01T00:00:00Z")
    )


def result(delta: float | None = 0.1, **report: Any) -> Result:
    gate = None
    if delta is not None:
        numbers = {"baseline": {"ndcg@10": 0.5}, "candidate": {"ndcg@10": 0.5 + delta}}
        sure = {"low": delta / 2, "high": delta * 1.5, "sessions": 90}
        fields = {"metric": "ndcg@10", "against": LIVE, "delta": delta, **sure, **numbers, **report}
        gate = GateReport(**fields)
    owner = RunOwner(kind="FineTuningTask", name="t", namespace="n", uid="u")
    return Result(kind="Train", owner=owner, version=NEW, digest="sha256:" + "1" * 64, uri="s3://b/n", gate=gate)


def serving(**fields: Any) -> Serving:
    return Serving(deployment="blue", container="server", **fields)


def guard(passed: bool | None, kind: Any = "Forgetting", name: str = "forgetting") -> GateGuard:
    return GateGuard(kind=kind, name=name, passed=passed, detail="0.7 before, 0.5 after")


STRICT = serving(gate=Gate(min_delta=0.02, confidence=0.95))


@pytest.mark.parametrize(
    ("wanted", "measured", "live", "how", "model", "expected"),
    [
        pytest.param(False, result(), LIVE, serving(), current(), ("False", "NotRequested"), id="not asked for"),
        pytest.param(True, result(), LIVE, None, current(), ("False", "NoServing"), id="nothing serves"),
        pytest.param(
            True, result(), LIVE, serving(rollback_to=LIVE), current(), ("False", "Pinned"), id="pinned by rollbackTo"
        ),
        pytest.param(True, result(), LIVE, serving(), current(), ("Unknown", "RolloutRequested"), id="better"),
        pytest.param(True, result(0.0), LIVE, serving(), current(), ("False", "GateNotPassed"), id="as good"),
        pytest.param(True, result(low=-0.01), LIVE, serving(), current(), ("False", "GateUndecided"), id="noise"),
        pytest.param(
            True, result(low=0.0), LIVE, serving(), current(), ("False", "GateUndecided"), id="one query of a hundred"
        ),
        pytest.param(
            True, result(queries=9), LIVE, serving(), current(), ("False", "GateNotMeasured"), id="too few queries"
        ),
        pytest.param(
            True,
            result(low=-0.01, queries=3),
            LIVE,
            serving(gate=Gate(confidence=0)),
            current(),
            ("Unknown", "RolloutRequested"),
            id="the mean alone, if that is asked for",
        ),
        pytest.param(
            True,
            result(confidence=0.8),
            LIVE,
            serving(),
            current(),
            ("False", "GateStale"),
            id="the level was changed meanwhile",
        ),
        pytest.param(True, result(-0.01), LIVE, serving(), current(), ("False", "GateNotPassed"), id="worse"),
        pytest.param(
            True,
            result(guards=[guard(True), guard(None)]),
            LIVE,
            serving(),
            current(),
            ("Unknown", "RolloutRequested"),
            id="guards hold or were not measured",
        ),
        pytest.param(
            True,
            result(guards=[guard(True), guard(False)]),
            LIVE,
            serving(),
            current(),
            ("False", "GateGuarded"),
            id="better, and a guard failed",
        ),
        pytest.param(True, result(), LIVE, serving(), current(OTHER), ("False", "GateStale"), id="blue moved on"),
        pytest.param(
            True,
            result(against=OTHER),
            LIVE,
            serving(),
            current(),
            ("False", "GateStale"),
            id="compared with something else",
        ),
        pytest.param(
            True,
            result(own_delta=-0.001),
            LIVE,
            serving(),
            current(),
            ("False", "GateNotPassed"),
            id="only earlier candidates were better",
        ),
        pytest.param(True, result(), LIVE, serving(), current(NEW), ("True", "AlreadyCurrent"), id="served already"),
        pytest.param(True, result(None), LIVE, serving(), current(), ("False", "GateNotMeasured"), id="not measured"),
        pytest.param(
            True,
            result(),
            LIVE,
            serving(gate=Gate(metric="mrr@10")),
            current(),
            ("False", "GateStale"),
            id="the metric was changed meanwhile",
        ),
        pytest.param(
            True, result(0.1, low=0.05, high=0.2), LIVE, STRICT, current(), ("Unknown", "RolloutRequested"), id="sure"
        ),
        pytest.param(
            True, result(0.1, low=0.01, high=0.2), LIVE, STRICT, current(), ("False", "GateUndecided"), id="unsure"
        ),
        pytest.param(
            True, result(0.1, low=None), LIVE, STRICT, current(), ("False", "GateNotMeasured"), id="no interval"
        ),
        pytest.param(
            True,
            result(),
            None,
            serving(),
            EmbeddingModelStatus(),
            ("Unknown", "RolloutRequested"),
            id="the first one ever",
        ),
    ],
)
def test_decisions(wanted: bool, measured: Result, live: str, how: Any, model: Any, expected: tuple[str, str]) -> None:
    answer = promotion(wanted=wanted, result=measured, live_version=live, serving=how, model=model)
    assert (answer.promoted, answer.reason) == expected


def test_a_refusal_gives_the_numbers() -> None:
    answer = promotion(wanted=True, result=result(-0.01), live_version=LIVE, serving=serving(), model=current())
    assert answer.message == (
        f"ndcg@10 as clicks in 90 sessions tell it: -0.0100 against {LIVE}; more than +0.0000 is asked for"
    )


def test_a_guard_that_failed_is_named_with_its_numbers_and_what_to_do() -> None:
    failed = [guard(False), *(guard(False, "Query", f"query 'shoe {i}'") for i in range(4))]
    answer = promotion(wanted=True, result=result(guards=failed), live_version=LIVE, serving=serving(), model=current())
    numbers = "0.7 before, 0.5 after"
    assert answer.message == (
        f"ndcg@10 as clicks in 90 sessions tell it: +0.1000 against {LIVE}; 5 guards refuse it: forgetting: {numbers};"
        f" query 'shoe 0': {numbers}; query 'shoe 1': {numbers}; and 2 more. What to do: train with phrases_per_session"
        " or lower rates, or raise spec.serving.gate.maxForgetting; if the new results are right, change the query's"
        " entry in spec.serving.gate.guards; then run again"
    )


def test_a_gain_that_may_be_chance_says_how_many_queries_decide() -> None:
    unsure = result(0.01, low=-0.02, queries=40, queries_needed=1200)
    answer = promotion(wanted=True, result=unsure, live_version=LIVE, serving=serving(), model=current())
    assert answer.message == (
        f"ndcg@10 as clicks in 90 sessions of 40 queries tell it: +0.0100 against {LIVE} (at least -0.0200 at"
        " confidence 0.95); more than +0.0000 is asked for, so this may be chance; a gain like this shows with about"
        " 1,200 different queries with clicks; what this run found out counts in the next one"
    )
    judged = unsure.model_copy(update={"gate": unsure.gate and unsure.gate.model_copy(update={"source": "Judgments"})})
    answer = promotion(wanted=True, result=judged, live_version=LIVE, serving=serving(), model=current())
    assert answer.message.endswith("a gain like this shows with about 1,200 judged queries")


NIGHTLY = ("GateNotPassed", "no better")


@pytest.mark.parametrize(
    ("case", "wanted", "said", "current", "answer", "words"),
    [
        ("nobody asked", False, ("NotRequested", ""), None, None, ""),
        ("the first one did not ask", True, ("NotRequested", ""), "v1", ("False", "NotRequested"), "did not ask"),
        ("it is gone", True, None, "v1", ("False", "NotRequested"), "another idempotencyKey"),
        ("blue serves it", True, ("Promoted", ""), "v2", ("True", "AlreadyCurrent"), "v2"),
        ("blue serves it, though nobody asked", True, ("NotRequested", ""), "v2", ("True", "AlreadyCurrent"), "v2"),
        ("it did not pass the gate", True, NIGHTLY, "v1", ("False", "GateNotPassed"), "no better"),
        (
            "it was promoted, and replaced since",
            True,
            ("Promoted", ""),
            "v3",
            ("False", "NotRequested"),
            "serving.promote",
        ),
    ],
)
def test_a_task_that_takes_over_a_result_says_whether_it_is_rolled_out(
    case: str, wanted: bool, said: Any, current: Any, answer: Any, words: str
) -> None:
    found = taken_over(wanted=wanted, version="v2", first="one", said=said, current=current)
    assert ((found.promoted, found.reason) if found else None) == answer, case
    assert words in (found.message if found else "")
