"""What is asked of the API server for a task, and what a task says of its end."""

from typing import Any

import pytest

from bluetune.core import tasks
from bluetune.core.errors import CliError, Exit


def task(end: str | None = None, *, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    conditions = [] if end is None else [{"type": end, "status": "True", "reason": "R", "message": "m"}]
    return {
        "metadata": {"name": "t", "uid": "u"},
        "spec": {"modelRef": {"name": "m"}, **spec},
        "status": {"conditions": conditions, **(status or {})},
    }


@pytest.mark.parametrize(
    ("given", "space"),
    [
        ([], {}),
        (["query_lr=1e-5,2e-5"], {"query_lr": [1e-5, 2e-5]}),
        (["num_fixed_layers=3"], {"num_fixed_layers": [3]}),
        (["a=true", "b=x, 1.5"], {"a": [True], "b": ["x", 1.5]}),
        (["a=inf"], {"a": ["inf"]}),  # not a number that JSON has; the API server says whether it takes the text
        (["a=x=y"], {"a": ["x=y"]}),
    ],
)
def test_parameters_become_choices_of_the_search(given: list[str], space: dict[str, list[Any]]) -> None:
    assert tasks.parameter_space(given) == {name: {"choice": values} for name, values in space.items()}


@pytest.mark.parametrize("given", [["query_lr"], ["=1"], ["a="], ["a=1,"], ["a=1", "a=2"]])
def test_a_parameter_that_cannot_be_read_is_named(given: list[str]) -> None:
    with pytest.raises(CliError, match=f"--param '?{given[-1].split('=')[0]}") as refused:
        tasks.parameter_space(given)
    assert refused.value.code == Exit.USAGE


def test_a_submitted_task_says_what_was_given_and_no_more() -> None:
    assert tasks.submitted("m", name="t")["spec"] == {"modelRef": {"name": "m"}}
    whole = tasks.submitted(
        "m",
        name="t",
        batch="b/1",
        method="f",
        start_from="v" + "0" * 12,
        deploy=True,
        key="k",
        space={"a": {"choice": [1]}},
    )
    assert whole["spec"] == {
        "modelRef": {"name": "m"},
        "methodRef": {"name": "f"},
        "batchId": "b/1",
        "startFrom": "v" + "0" * 12,
        "deployAsBlue": True,
        "idempotencyKey": "k",
        "overrides": {"initialParams": {"a": {"choice": [1]}}},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start_from": "latest"}, "spec.startFrom"),
        ({"name": "T"}, "metadata.name"),
        ({"batch": "../x"}, "spec.batchId"),
        ({"space": {"queryLR": {"choice": [1]}}}, "snake_case"),
    ],
)
def test_what_the_api_server_would_refuse_is_refused_before(given: dict[str, Any], said: str) -> None:
    with pytest.raises(CliError, match=said):
        tasks.submitted("m", **{"name": "t", **given})


def test_a_name_leaves_room_for_its_random_end() -> None:
    assert tasks.task_name("products", "x7k2p") == "products-x7k2p"
    long = tasks.task_name("a" * 43 + "-b", "x7k2p")
    assert (len(long), long) == (49, "a" * 43 + "-x7k2p")


def test_a_repeated_task_names_the_batch_that_was_chosen_and_leaves_out_what_ended_it() -> None:
    old = task("Failed", status={"batchId": "b1"}, cancel=True, suspend=True, fieldOfTomorrow=1)
    assert tasks.repeated(old, "t2") == {
        "apiVersion": "bluetune.dev/v1alpha1",
        "kind": "FineTuningTask",
        "metadata": {"name": "t2"},
        "spec": {"modelRef": {"name": "m"}, "batchId": "b1", "fieldOfTomorrow": 1},
    }


@pytest.mark.parametrize(("resume", "goes_on_from"), [(True, "t"), (False, None)])
def test_a_repeated_task_goes_on_from_the_ended_one_only_if_it_is_asked_to(
    resume: bool, goes_on_from: str | None
) -> None:
    old = task("Failed", status={"batchId": "b1"}, resumeFrom="before")
    assert tasks.repeated(old, "t2", resume=resume)["spec"].get("resumeFrom") == goes_on_from


def test_a_task_that_succeeded_is_not_resumed() -> None:
    with pytest.raises(CliError, match="nothing to resume: leave --resume out"):
        tasks.repeated(task("Succeeded"), "t2", resume=True)


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (task(), "has not ended"),
        (task("Succeeded", idempotencyKey="k"), "its idempotencyKey 'k' would hand its result over"),
    ],
)
def test_a_task_is_not_repeated_for_nothing(old: dict[str, Any], said: str) -> None:
    with pytest.raises(CliError, match=said):
        tasks.repeated(old, "t2")


def test_a_change_names_the_uid_and_is_none_where_it_is_so_already() -> None:
    assert tasks.change(task(), "suspend", True) == {"metadata": {"uid": "u"}, "spec": {"suspend": True}}
    assert tasks.change(task(suspend=True), "suspend", True) is None
    assert tasks.change(task(), "suspend", False) is None
    with pytest.raises(CliError, match=r"has ended \(Failed\)"):
        tasks.change(task("Failed"), "cancel", True)


@pytest.mark.parametrize(
    ("spec", "model", "said"),
    [
        ({}, None, False),
        ({}, {"spec": {}}, False),
        ({"queueName": "q"}, None, True),
        ({}, {"spec": {"queueName": "q"}}, True),
    ],
)
def test_suspending_a_job_of_kueue_says_that_it_has_no_effect(spec: Any, model: Any, said: bool) -> None:
    assert (tasks.suspend_note(task(**spec), model) is not None) is said


@pytest.mark.parametrize(
    ("seen", "code", "sentence"),
    [
        (task("Succeeded", status={"bestModelId": "v1", "message": "Fine."}), 0, "task t Succeeded, version v1: Fine"),
        (task("Failed", status={"message": "no clicks"}), 1, "task t Failed: no clicks"),
        (task(), 1, "task t goes on"),
    ],
)
def test_the_end_of_a_task_is_a_sentence_and_an_exit_code(seen: dict[str, Any], code: int, sentence: str) -> None:
    assert (tasks.exit_code(seen), tasks.verdict(seen)) == (code, sentence)
