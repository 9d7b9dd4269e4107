"""Method with overrides, and the batch that a run takes."""

import pytest

from bluetune_api.batch_window import CompleteBatch
from bluetune_api.method import EarlyStopping, FineTuningMethodSpec, SearchDimension, Settings, Uniform
from bluetune_api.plans import method_plan, select_batch
from bluetune_api.task import Overrides

TWO = SearchDimension(choice=[2])
RANGE = SearchDimension(uniform=Uniform(low=0.0, high=1.0))


def test_a_method_without_overrides_is_copied() -> None:
    method = FineTuningMethodSpec(plugin="shop.plugin:Mine", settings=Settings(batch_size=8), initial_max_evals=3)
    plan = method_plan(method)
    assert (plan.plugin, plan.settings, plan.initial_max_evals) == ("shop.plugin:Mine", Settings(batch_size=8), 3)
    assert plan.initial_params is None
    assert plan.items == method.items


@pytest.mark.parametrize(
    ("method", "override", "merged"),
    [
        (None, None, Settings()),
        (None, Settings(seed=0), Settings(seed=0)),
        (Settings(batch_size=8, seed=1), None, Settings(batch_size=8, seed=1)),
        (Settings(batch_size=8, seed=1), Settings(seed=0), Settings(batch_size=8, seed=0)),
        (Settings(halving=True), Settings(halving=False), Settings(halving=False)),
        (Settings(seed=1), Settings.model_validate({"seed": None}), Settings(seed=1)),
        (
            Settings(early_stopping=EarlyStopping(patience=9)),
            Settings(early_stopping=EarlyStopping(min_delta=0.1)),
            Settings(early_stopping=EarlyStopping(min_delta=0.1)),
        ),
    ],
)
def test_settings_merge_field_by_field(method: Settings | None, override: Settings | None, merged: Settings) -> None:
    plan = method_plan(FineTuningMethodSpec(settings=method), Overrides(settings=override))
    assert plan.settings == merged


def test_parameters_merge_one_by_one() -> None:
    method = FineTuningMethodSpec(initial_params={"margin": RANGE, "num_fixed_layers": RANGE})
    plan = method_plan(method, Overrides(initial_params={"num_fixed_layers": TWO, "query_lr": TWO}))
    assert plan.initial_params == {"margin": RANGE, "num_fixed_layers": TWO, "query_lr": TWO}


def test_the_number_of_trials_can_be_overridden() -> None:
    assert method_plan(FineTuningMethodSpec(), Overrides(initial_max_evals=2)).initial_max_evals == 2


@pytest.mark.parametrize(
    ("batches", "lineage", "chosen"),
    [
        ([], [], None),
        ([("a", 1.0)], [], "a"),
        ([("a", 1.0)], ["a"], None),
        ([("a", 2.0), ("b", 1.0)], [], "a"),
        ([("a", 1.0), ("b", 1.0)], [], "b"),
        ([("a", 1.0), ("b", 2.0), ("c", 3.0)], ["c"], "b"),
        ([("_bad", 9.0), ("a", 1.0)], [], "a"),
    ],
)
def test_the_newest_batch_that_is_not_in_the_lineage_is_taken(
    batches: list[tuple[str, float]], lineage: list[str], chosen: str | None
) -> None:
    assert select_batch([CompleteBatch(*batch) for batch in batches], lineage) == chosen
