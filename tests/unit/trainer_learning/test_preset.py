"""The preset follows the model and the loss."""

import pytest

from bluetune_api.method import FineTuningMethodSpec, SearchDimension
from bluetune_api.plans import method_plan
from bluetune_api.task import Overrides
from bluetune_trainer.search.space import complete_space
from bluetune_trainer.training.preset import HIGHEST_RATE, Subject, preset

MINILM = Subject(layers=6, width=384)


@pytest.mark.parametrize(
    ("subject", "frozen", "rate"),
    [
        (MINILM, 3, 1e-4),
        (Subject(layers=3, width=384), 1, 1.4e-4),
        (Subject(layers=12, width=768), 6, 3.5e-5),
        (Subject(layers=24, width=1024), 12, 1.9e-5),
        (Subject(layers=28, width=1024), 14, 1.7e-5),
        (Subject(layers=2, width=128), 1, 5.2e-4),
        (Subject(layers=1, width=128), 0, 7.3e-4),
        (Subject(layers=0, width=256), 0, 3.7e-4),
        (Subject(layers=2, width=32), 1, HIGHEST_RATE),
        (Subject(layers=12, width=768, freezable=False), 0, 3.5e-5),
        (Subject(layers=12, width=768, lora=True), 6, 3.5e-4),
    ],
)
def test_half_of_the_layers_stay_and_the_rate_goes_with_width_and_depth(
    subject: Subject, frozen: int, rate: float
) -> None:
    point = preset(subject).point
    assert (point["num_fixed_layers"], point["items_lr"]) == (frozen, rate)


def test_it_names_only_what_the_loss_and_the_model_have() -> None:
    every = {
        *("num_fixed_layers", "items_lr", "temperature", "unclicked_weight", "phrases_per_session", "interpolation")
    }
    assert set(preset(MINILM).point) == every
    assert set(preset(Subject(6, 384, temperature=False)).point) == every - {"temperature"}
    assert set(preset(Subject(6, 384, phrases=False)).point) == every - {"phrases_per_session"}
    assert set(preset(Subject(6, 384, trusts_negatives=False)).point) == every - {"unclicked_weight"}
    two = preset(Subject(6, 384, two_towers=True)).point
    assert set(two) == every | {"query_lr"}
    assert two["query_lr"] == two["items_lr"]


def test_a_tasks_parameters_go_before_the_methods_and_these_before_the_preset() -> None:
    method = FineTuningMethodSpec(
        initial_params={"temperature": SearchDimension(choice=[0.1]), "interpolation": SearchDimension(choice=[1])}
    )
    overrides = Overrides(initial_params={"temperature": SearchDimension(choice=[0.2])})
    for given, expected in ((None, (0.1, 1)), (overrides, (0.2, 1))):
        plan = method_plan(method, given)
        space = complete_space(plan.initial_params, preset(MINILM))
        assert space.first is not None
        assert (space.first["temperature"], space.first["interpolation"]) == expected
        assert {**space.first, "temperature": 0.05, "interpolation": 0.5} == preset(MINILM).point
    alone = method_plan(FineTuningMethodSpec(), overrides)
    assert complete_space(alone.initial_params, preset(MINILM)).first == {**preset(MINILM).point, "temperature": 0.2}
