"""What the quality benchmark says of a run's gate is what the operator says."""

import pytest

from bluetune_api.model import Gate
from bluetune_api.records import GateReport, Result, RunOwner

ours = pytest.importorskip("quality.ours")


def result(delta: float, low: float) -> Result:
    report = GateReport(
        metric="ndcg@10",
        against="v000000000001",
        baseline={"ndcg@10": 0.5},
        candidate={"ndcg@10": 0.5 + delta},
        delta=delta,
        low=low,
        high=delta + 0.02,
        confidence=0.95,
        sessions=120,
        source="Clicks",
    )
    owner = RunOwner(kind="FineTuningTask", name="t", namespace="n", uid="u")
    return Result(
        kind="Train",
        owner=owner,
        version="v000000000002",
        digest="sha256:" + 64 * "1",
        uri="s3://b/v2/",
        parent="v000000000001",
        gate=report,
    )


@pytest.mark.parametrize(
    ("delta", "low", "confidence", "promoted", "reason"),
    [
        (-0.01, -0.03, 0.0, "False", "GateNotPassed"),
        (0.01, -0.01, 0.0, "Unknown", "RolloutRequested"),
        (0.01, -0.01, 0.95, "False", "GateUndecided"),
        (0.03, 0.01, 0.95, "Unknown", "RolloutRequested"),
    ],
)
def test_the_decision_is_the_operators(delta: float, low: float, confidence: float, promoted: str, reason: str) -> None:
    said = ours.decision(result(delta, low), Gate(confidence=confidence))
    assert (said["promoted"], said["reason"]) == (promoted, reason)
