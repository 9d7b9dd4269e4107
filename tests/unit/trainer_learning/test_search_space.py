"""What a search space may be, and how its points and a trial's parameters come of each other."""

import json
from typing import Any

import pytest

from bluetune_api.method import PAIRWISE_LOSSES, SearchDimension
from bluetune_api.records import Trial
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.search.space import UNWEIGHED, Space, check_space, complete_space
from bluetune_trainer.search.suggest import rebuild, suggest
from bluetune_trainer.training.params import TrialParams, parse_params
from bluetune_trainer.training.preset import Subject, preset


def dimensions(**space: dict[str, Any]) -> dict[str, SearchDimension]:
    return {name: SearchDimension.model_validate_json(json.dumps(value)) for name, value in space.items()}


EVERYTHING = dimensions(
    num_fixed_layers={"quniform": {"low": 0, "high": 4, "q": 2}},
    items_lr={"logUniform": {"low": 1e-5, "high": 1e-3}},
    margin={"uniform": {"low": 0.1, "high": 0.5}},
    not_irrelevant_only={"choice": [True, False]},
    examples_order={"choice": [[11], [3, 1, 2]]},
    temperature={"choice": [0.05]},
)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (dimensions(learning_rate={"choice": [1]}), "learning_rate"),
        (dimensions(margin={"choice": ["wide"]}), "'wide'"),
        (dimensions(margin={"choice": [True]}), "True"),
        (dimensions(num_fixed_layers={"choice": [1.5]}), "1.5"),
        (dimensions(num_fixed_layers={"uniform": {"low": 0, "high": 3}}), "num_fixed_layers.uniform"),
        (dimensions(num_fixed_layers={"quniform": {"low": 0, "high": 3, "q": 0.5}}), "num_fixed_layers.quniform"),
        (dimensions(num_fixed_layers={"quniform": {"low": 4, "high": 5, "q": 3}}), "no multiple of 3"),
        (dimensions(not_irrelevant_only={"choice": [1]}), "not_irrelevant_only"),
        (dimensions(examples_order={"choice": [11]}), "examples_order"),
        (dimensions(examples_order={"choice": [[12]]}), "[12]"),
        (dimensions(examples_order={"uniform": {"low": 1, "high": 11}}), "examples_order.uniform"),
        (dimensions(items_lr={"choice": [-1]}), "-1"),
        (dimensions(negative_downsampling={"uniform": {"low": 0, "high": 2}}), "negative_downsampling.uniform"),
        (
            dimensions(
                min_abs_difference_threshold={"choice": [0.1, 1.5]}, max_abs_difference_threshold={"choice": [1.0]}
            ),
            "min_abs_difference_threshold",
        ),
    ],
)
def test_what_cannot_be_used_is_named(space: dict[str, SearchDimension], named: str) -> None:
    with pytest.raises(PlanInvalid, match=r"initialParams") as caught:
        check_space(space)
    assert named in caught.value.message


def test_every_point_gives_parameters_of_the_right_type_and_comes_back_from_json() -> None:
    space = Space(EVERYTHING)
    for number in range(20):
        point = suggest(space, [], number, seed=7, total=20)
        params = space.params(point)
        parsed = parse_params(params)
        assert isinstance(parsed.num_fixed_layers, int)
        assert parsed.num_fixed_layers in (0, 2, 4)
        assert 1e-5 <= parsed.items_lr <= 1e-3
        assert parsed.examples_order in ((11,), (3, 1, 2))
        stored = Trial(trial=number, status="ok", params=params, quality=0.5, space=space.indices(point))
        again = Trial.model_validate_json(json.dumps(stored.wire()))
        assert space.point(again.params, again.space) == pytest.approx(point)
        assert space.point(again.params) == pytest.approx(point)


def test_absent_parameters_get_their_defaults() -> None:
    assert parse_params({"margin": 1}) == TrialParams(margin=1.0)


MINILM = Subject(layers=6, width=384)


def first(named: dict[str, SearchDimension] | None, subject: Subject = MINILM) -> dict[str, Any]:
    """Parameters of trial 0."""
    space = complete_space(named, preset(subject))
    return space.params(suggest(space, [], 0, seed=3, total=8))


def test_the_preset_begins_at_its_point_and_is_valid() -> None:
    check_space(preset(MINILM).dimensions())
    assert first(None) == pytest.approx(preset(MINILM).point)


@pytest.mark.parametrize(
    ("name", "value"),
    [("items_lr", 5e-5), ("temperature", 0.07), ("num_fixed_layers", 1), ("phrases_per_session", 0), ("margin", 0.3)],
)
def test_naming_one_parameter_changes_that_one_and_no_other(name: str, value: float) -> None:
    found = first(dimensions(**{name: {"choice": [value]}}))
    assert found == pytest.approx({**preset(MINILM).point, name: value})


def test_what_is_not_named_is_searched_as_the_preset_says() -> None:
    of_preset = preset(MINILM).dimensions()
    named = dimensions(temperature={"choice": [0.02, 0.04]})
    assert complete_space(named, preset(MINILM)).dimensions == {**of_preset, **named}


@pytest.mark.parametrize(
    ("named", "begins"),
    [
        (dimensions(items_lr={"logUniform": {"low": 1e-5, "high": 1e-3}}), True),
        (dimensions(items_lr={"logUniform": {"low": 1e-6, "high": 1e-5}}), False),
        (dimensions(temperature={"choice": [0.1, 0.2]}), False),
        (dimensions(margin={"uniform": {"low": 0.1, "high": 0.5}}), False),
        (dimensions(margin={"choice": [0.1]}), True),
    ],
)
def test_trial_0_has_the_presets_values_where_what_is_named_holds_them(
    named: dict[str, SearchDimension], begins: bool
) -> None:
    space = complete_space(named, preset(MINILM))
    assert (space.first is not None) == begins
    assert space.misfit(first(named)) is None


@pytest.mark.parametrize("loss", PAIRWISE_LOSSES)
def test_a_loss_of_pairs_takes_no_phrases_that_it_could_not_learn_from(loss: str) -> None:
    check_space(dimensions(phrases_per_session={"choice": [0]}), loss)
    with pytest.raises(PlanInvalid, match=f"initialParams.phrases_per_session: settings.loss {loss} has no in-batch"):
        check_space(dimensions(phrases_per_session={"choice": [0, 1]}), loss)


@pytest.mark.parametrize("loss", UNWEIGHED)
def test_a_loss_that_does_not_weigh_unclicked_results_takes_no_weight_of_them(loss: str) -> None:
    check_space(dimensions(unclicked_weight={"choice": [1]}), loss)
    check_space(dimensions(unclicked_weight={"choice": [0.1]}), "ListwiseSoftmaxLoss")
    with pytest.raises(PlanInvalid, match=f"initialParams.unclicked_weight: settings.loss {loss} does not weigh"):
        check_space(dimensions(unclicked_weight={"choice": [1, 0.1]}), loss)


def finished(space_dimensions: dict[str, SearchDimension], count: int) -> list[Trial]:
    space, trials = Space(space_dimensions), []
    for number in range(count):
        point = suggest(space, trials, number, seed=1, total=30)
        params = space.params(point)
        failed = number == 1
        trials.append(
            Trial(
                trial=number,
                status="fail" if failed else "ok",
                params=params,
                quality=None if failed else 1 - abs(params["margin"] - 0.4),
                space=space.indices(point),
            )
        )
    return trials


def test_a_search_that_was_interrupted_goes_on_as_it_would_have() -> None:
    space = Space(EVERYTHING)
    whole = finished(EVERYTHING, 12)
    for cut in (1, 5, 11):
        stored = [Trial.model_validate_json(json.dumps(t.wire())) for t in whole[:cut]]
        assert space.params(suggest(space, stored, cut, seed=1, total=30)) == whole[cut].params


def test_tpe_learns_from_what_it_tried() -> None:
    late = finished(dimensions(margin={"uniform": {"low": 0.0, "high": 1.0}}), 30)[15:]
    assert sum(abs(t.params["margin"] - 0.4) < 0.2 for t in late) > len(late) / 2


def test_a_failed_trial_has_no_loss() -> None:
    trials = rebuild(Space(EVERYTHING), finished(EVERYTHING, 3))
    assert [r["status"] for r in trials.results] == ["ok", "fail", "ok"]
    assert "loss" not in trials.results[1]


def test_points_that_were_tried_are_not_tried_again_while_there_are_others() -> None:
    space = Space(dimensions(margin={"choice": [0.1, 0.2, 0.3]}))
    trials: list[Trial] = []
    for number in range(3):
        params = space.params(suggest(space, trials, number, seed=0, total=3))
        trials.append(Trial(trial=number, status="ok", params=params, quality=0.5))
    assert {t.params["margin"] for t in trials} == {0.1, 0.2, 0.3}
