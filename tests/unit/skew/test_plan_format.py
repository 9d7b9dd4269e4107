"""An older trainer gets a plan that it can follow, or none that it would follow wrongly."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bluetune_api.plan_format import HARMLESS, NEEDS, field_paths, format_needed
from bluetune_api.records import Plan

FORMAT_1 = Path(__file__).parent / "plan_fields_of_format_1.json"


def test_each_field_of_a_plan_says_what_a_trainer_that_does_not_know_it_may_do() -> None:
    known, now = set(json.loads(FORMAT_1.read_text())), set(field_paths(Plan))
    judged = known | NEEDS.keys() | HARMLESS
    assert now <= judged, (
        f"new in a plan: {sorted(now - judged)}. An older trainer passes over them: put each into NEEDS or HARMLESS of"
        f" plan_format.py (until the first release, into {FORMAT_1.name})"
    )
    assert judged <= now, f"no longer in a plan, so an older trainer would lack them: {sorted(judged - now)}"
    assert not known & (NEEDS.keys() | HARMLESS)
    assert max([1, *NEEDS.values()]) == Plan.FORMAT


class Inner(BaseModel):
    loss: str = "Softmax"
    depth: int = 1


class Guard(BaseModel):
    weight: float | None = None


class Made(BaseModel):
    name: str = "x"
    inner: Inner = Field(default_factory=Inner)
    maybe: Inner | None = None
    guards: list[Guard] = Field(default_factory=list)
    named: dict[str, Guard] = Field(default_factory=dict)


MADE_NEEDS = {"inner.loss": 2, "maybe.depth": 3, "guards.weight": 4, "named.weight": 5}


@pytest.mark.parametrize(
    ("plan", "needed"),
    [
        ({}, 1),
        ({"name": "another", "inner": {"depth": 9}}, 1),
        ({"inner": {"loss": "Softmax"}}, 1),
        ({"inner": {"loss": "Margin"}}, 2),
        ({"maybe": {"loss": "Margin"}}, 1),
        ({"maybe": {"depth": 2}}, 3),
        ({"guards": [{}, {}]}, 1),
        ({"guards": [{}, {"weight": 0.5}], "inner": {"loss": "Margin"}}, 4),
        ({"named": {"a": {"weight": 0.5}}}, 5),
    ],
)
def test_a_plan_has_a_higher_format_only_if_it_sets_what_must_not_be_passed_over(plan: Any, needed: int) -> None:
    assert format_needed(Made.model_validate(plan), MADE_NEEDS) == needed


def test_a_plan_says_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "batch_id", 7)  # type: ignore[misc]
    plan: dict[str, Any] = {
        "kind": "Check",
        "owner": {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u"},
        "model": "m",
        "store": {"endpoint": "s", "bucket": "bucket"},
    }
    assert Plan.model_validate(plan).wire()["formatVersion"] == 1
    assert Plan.model_validate({**plan, "batchId": "b1"}).wire()["formatVersion"] == 7
