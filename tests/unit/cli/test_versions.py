"""The lineage of a model, and what differs between two versions, as status and tasks have them."""

from typing import Any

import pytest

from bluetune.core import versions
from bluetune.core.errors import CliError

BASE, ONE, TWO, LOST = ("v" + letter * 12 for letter in "0abc")


def task(name: str, version: str | None, parent: str, model: str = "m", **status: Any) -> dict[str, Any]:
    made = {"bestModelId": version, "startVersion": parent, "completionTime": name}
    return {"metadata": {"name": name}, "spec": {"modelRef": {"name": model}}, "status": made | status}


def model(current: str | None = None, history: tuple[str, ...] = (), **serving: Any) -> dict[str, Any]:
    served = [{"version": version, "metrics": {"gain": 0.5}} for version in history]
    status: dict[str, Any] = {"baseVersion": BASE, "history": served}
    if current:
        status["current"] = {"version": current, "task": "gone"}
    return {
        "metadata": {"name": "m", "uid": "u", "namespace": "n"},
        "spec": {"serving": serving or None},
        "status": status,
    }


TASKS = [
    task("t2", TWO, ONE, batchId="b3", batches={"learn": ["b3", "b2"]}, metrics={"candidate": {"gain": 0.25}}),
    task("t1", ONE, BASE, batchId="b1", best={"params": {"query_lr": 1e-5}}),
    task("t3", TWO, ONE, duplicateOf="t2"),
    task("t4", None, ONE),
    task("t5", LOST, BASE, model="other"),
]


def lines(model: dict[str, Any], tasks: list[dict[str, Any]]) -> list[str]:
    return [f"{depth} {versions.line(v)}" for depth, v in versions.branches(versions.versions(model, tasks))]


def test_the_tree_has_parents_first_and_says_what_is_current() -> None:
    assert lines(model(ONE, (BASE,), rollbackTo=ONE), TASKS) == [
        f"0 {BASE} · base, served before",
        f"1 {ONE} · current, rollbackTo · task t1 · batch b1",
        f"2 {TWO} · task t2 · batch b3 and 1 more · gain 0.2500",
    ]


def test_a_version_whose_task_is_gone_is_there_by_the_status() -> None:
    assert lines(model(LOST, (TWO, LOST)), TASKS[:1]) == [
        f"0 {BASE} · base",
        f"0 {LOST} · current · gain 0.5000",
        f"0 {TWO} · served before · task t2 · batch b3 and 1 more · gain 0.2500",
    ]


def test_a_model_of_which_nothing_is_known_has_no_tree() -> None:
    assert lines({"metadata": {"name": "m"}, "spec": {}}, []) == []


def test_only_what_differs_is_shown() -> None:
    known = versions.versions(model(), TASKS)
    one, two = known[ONE], known[TWO]
    assert versions.differences(one, one) == []
    assert [found.cells() for found in versions.differences(one, two)] == [
        ("parent", BASE, ONE),
        ("task", "t1", "t2"),
        ("batches", "b1", "b3, b2"),
        ("query_lr", "1e-05", "–"),
        ("metric gain", "–", "0.25"),
    ]


def test_what_differs_by_less_than_a_table_shows_differs() -> None:
    a = versions.Version(ONE, params={"lr": 1e-5, "x": 2})
    b = versions.Version(TWO, params={"lr": 1.0000000001e-5, "x": 2.0})
    (found,) = versions.differences(a, b)
    assert found.cells() == ("lr", "1e-05", "1.0000000001e-05")


def test_programs_get_numbers_and_a_hyperparameter_overwrites_nothing() -> None:
    a = versions.Version(ONE, task="t1", batches=("b1",), params={"task": 1e-5, "params": True}, metrics={"gain": 0.5})
    b = versions.Version(TWO, task="t2", metrics={"gain": 0.123456789})
    found = versions.differences(a, b)
    assert [each.path for each in found] == ["task", "batches", "params.params", "params.task", "metrics.gain"]
    assert versions.difference_wire(found, ONE, TWO) == {
        "task": {ONE: "t1", TWO: "t2"},
        "batches": {ONE: ["b1"], TWO: None},
        "params": {"task": {ONE: 1e-5, TWO: None}, "params": {ONE: True, TWO: None}},
        "metrics": {"gain": {ONE: 0.5, TWO: 0.123456789}},
    }


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CliError, match=f"names version {LOST} of model m: known are {BASE}, {ONE}, {TWO}$"):
        versions.named(versions.versions(model(), TASKS), "m", LOST)


def test_going_back_sets_the_field_of_this_very_model() -> None:
    patch = {"metadata": {"uid": "u"}, "spec": {"serving": {"rollbackTo": ONE}}}
    assert versions.rollback(model(deployment="d"), ONE) == patch
    assert versions.rollback(model(deployment="d", rollbackTo=TWO), ONE) == patch
    assert versions.rollback(model(deployment="d", rollbackTo=ONE), ONE) is None
    with pytest.raises(CliError, match=r"no spec\.serving"):
        versions.rollback(model(), ONE)
    with pytest.raises(CliError, match="12 hexadecimal digits"):
        versions.rollback(model(deployment="d"), "latest")


def test_promoting_names_what_it_replaces() -> None:
    patch = {"metadata": {"uid": "u"}, "spec": {"serving": {"promote": {"version": TWO, "replaces": ONE}}}}
    assert versions.promotion(model(ONE, deployment="d"), TWO) == patch
    before = {"version": TWO, "replaces": BASE}
    assert versions.promotion(model(ONE, deployment="d", promote=before), TWO) == patch
    assert versions.promotion(model(TWO, deployment="d"), TWO) is None


@pytest.mark.parametrize(
    ("current", "serving", "words"),
    [
        (ONE, {}, r"no spec\.serving"),
        (None, {"deployment": "d"}, "no current version yet"),
        (
            ONE,
            {"deployment": "d", "rollbackTo": ONE},
            r'first, kubectl -n n patch emodel m --type=merge -p .{"spec":{"serving":{"rollbackTo":null}}}.$',
        ),
        (
            ONE,
            {"deployment": "d", "promote": {"version": TWO, "replaces": ONE}},
            r'before .not looked at yet.*-n n patch emodel m .*{"promote":null}',
        ),
    ],
)
def test_what_would_come_to_nothing_is_refused(current: str | None, serving: dict[str, Any], words: str) -> None:
    with pytest.raises(CliError, match=words):
        versions.promotion(model(current, **serving), TWO)
