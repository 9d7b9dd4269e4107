"""Running aggregates against all values at once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluetune_trainer.ranking.accumulators import MetricsAccumulator, MetricValue

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60)


@given(VALUES, st.integers(2, 12))
def test_aggregates_are_those_of_all_values(values: list[float], window: int) -> None:
    accumulator = MetricsAccumulator("loss", True, True, True, True, window)
    for value in values:
        last = accumulator.accumulate(MetricValue("loss", value))
    recent = values[-window:]
    assert dict(last) == pytest.approx(
        {
            "loss": values[-1],
            "mean_loss": sum(values) / len(values),
            "sliding_loss": sum(recent) / len(recent),
            "min_loss": min(values),
            "max_loss": max(values),
        },
        rel=1e-9,
        abs=1e-6,
    )
    assert accumulator.aggregate() == last


def test_the_window_is_ten_values_by_default() -> None:
    accumulator = MetricsAccumulator("x", calc_sliding=True)
    for value in range(20):
        accumulator.accumulate(MetricValue("x", value))
    assert dict(accumulator.aggregate())["sliding_x"] == sum(range(10, 20)) / 10


def test_only_what_was_asked_for_is_reported() -> None:
    value = MetricValue("loss", 2.0).add_prefix("test")
    assert value == MetricValue("test_loss", 2.0)
    for option in ("mean", "sliding", "min", "max"):
        accumulator = MetricsAccumulator("test_loss", **{f"calc_{option}": True})  # type: ignore[arg-type]
        assert accumulator.aggregate() == []
        assert accumulator.accumulate(value) == [("test_loss", 2.0), (f"{option}_test_loss", 2.0)]
    assert MetricsAccumulator("test_loss").accumulate(value) == [("test_loss", 2.0)]


def test_metrics_of_another_name_are_passed_over() -> None:
    accumulator = MetricsAccumulator("train_loss")
    assert accumulator.accumulate(MetricValue("test_loss", 1.0)) == []
    assert accumulator.aggregate() == []


@given(VALUES, VALUES)
def test_one_that_was_stored_as_json_goes_on_as_if_nothing_had_happened(
    before: list[float], after: list[float]
) -> None:
    whole = MetricsAccumulator("x", True, True, True, True, 4)
    for value in before:
        whole.accumulate(MetricValue("x", value))
    again = whole.fresh()
    assert again.aggregate() == []
    again.restore(json.loads(json.dumps(whole.state())))
    for value in after:
        assert whole.accumulate(MetricValue("x", value)) == again.accumulate(MetricValue("x", value))


def test_cleared_it_has_no_value() -> None:
    accumulator = MetricsAccumulator("x", calc_mean=True)
    accumulator.accumulate(MetricValue("x", 5.0))
    accumulator.clear()
    assert accumulator.aggregate() == []
    assert accumulator.accumulate(MetricValue("x", 1.0)) == [("x", 1.0), ("mean_x", 1.0)]


@pytest.mark.parametrize(("name", "window"), [("", 10), (None, 10), ("x", 1)])
def test_what_cannot_be_is_refused(name: str, window: int) -> None:
    with pytest.raises(ValueError, match=r"name|window_size"):
        MetricsAccumulator(name, window_size=window)


@pytest.mark.parametrize(("name", "value"), [("", 1.0), ("x", "1"), ("x", None), ("x", True)])
def test_a_metric_value_has_a_name_and_a_number(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"name|number"):
        MetricValue(name, value)


def test_a_fresh_one_is_of_the_same_class() -> None:
    class Halved(MetricsAccumulator):
        def accumulate(self, value: MetricValue) -> list[tuple[str, float]]:
            return super().accumulate(MetricValue(value.name, value.value / 2))

    used = Halved("loss", calc_mean=True)
    used.accumulate(MetricValue("loss", 4.0))
    assert used.fresh().aggregate() == []
    assert used.fresh().accumulate(MetricValue("loss", 1.0)) == [("loss", 0.5), ("mean_loss", 0.5)]
    assert used.aggregate()[0] == ("loss", 2.0)
