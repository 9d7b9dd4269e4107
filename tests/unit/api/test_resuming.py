"""What two plans must have in common, so that the trials of one are the other's."""

from typing import Any

import pytest

from bluetune_api.records import Plan
from bluetune_api.resuming import NAMED, differences

PLAN: dict[str, Any] = {
    "kind": "Train",
    "owner": {"kind": "FineTuningTask", "name": "a", "namespace": "n", "uid": "u1"},
    "model": "products",
    "store": {"endpoint": "minio:9000", "bucket": "models"},
    "batchId": "monday",
    "startVersion": "v000000000001",
    "method": {"settings": {"numEpochs": 3, "loss": "Softmax"}},
}


def plan(**changes: Any) -> Plan:
    return Plan.model_validate({**PLAN, **changes})


def settings(**changes: Any) -> dict[str, Any]:
    return {"settings": {**PLAN["method"]["settings"], **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"owner": {**PLAN["owner"], "uid": "u2"}, "kind": "Check"},
        {"metadata": {"who": "else"}},
        {"liveVersion": "v000000000002"},
        {"gate": {"minDelta": 0.1}},
        {"store": {"endpoint": "minio.store:9000", "bucket": "models"}},
        {"resumeFrom": {"task": "a", "uid": "u1"}},
    ],
)
def test_what_trials_do_not_follow_may_be_another(changes: dict[str, Any]) -> None:
    assert differences(plan(), plan(**changes)) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "ads"}, 'model was "products" and is now "ads"'),
        ({"batchId": "tuesday"}, 'batchId was "monday" and is now "tuesday"'),
        ({"batches": {"learn": ["monday"]}}, 'batches was absent and is now {"learn": ["monday"], "replay": []}'),
        ({"startVersion": "v000000000002"}, 'startVersion was "v000000000001" and is now "v000000000002"'),
        ({"method": settings(numEpochs=4)}, "method.settings.numEpochs was 3 and is now 4"),
        ({"method": settings(batchSize=8)}, "method.settings.batchSize was absent and is now 8"),
        ({"method": {}}, 'method.settings.loss was "Softmax" and is now absent; method.settings.numEpochs was 3'),
        ({"gate": {"judgments": "judged/q.csv"}}, 'gate.judgments was absent and is now "judged/q.csv"'),
    ],
)
def test_what_trials_follow_is_named_with_both_values(changes: dict[str, Any], said: str) -> None:
    assert said in differences(plan(), plan(**changes))


def test_a_message_stays_short() -> None:
    before, after = (
        plan(method={"initialParams": {f"p{n}": {"choice": [word * 500]} for n in range(NAMED + 2)}}) for word in "xy"
    )
    said = differences(before, after)
    assert said.endswith("; and 2 more")
    assert len(said) < NAMED * 250
