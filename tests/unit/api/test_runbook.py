"""Every phase, condition and reason has a line in the runbook, and every line is about one that is set."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from bluetune_api.reasons import ConditionType, Phase, Reason, known_reason
from bluetune_api.runbook import CONDITIONS, PHASES, REASONS, runbook_page

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = sorted((CHECKOUT / "operator/bluetune_operator").rglob("*.py"))
TRAINER = sorted((CHECKOUT / "trainer_image/bluetune_trainer").rglob("*.py"))

SETTERS = {
    # callable: position of the reason
    "say": 2,
    "now_doing": 1,
    "succeed": 0,
    "fail": 0,
    "condition": 2,
    "Failure": 0,
    "Problem": 0,
    "Trouble": 0,
    "Promotion": 1,
    "StoreProblem": 0,
    "News": 1,
    "_lost": 2,
    "_unusable": 1,
}
"""What takes a reason in the operator. Their parameters have the type `Reason`, which mypy checks too."""


def literals(node: ast.expr) -> Iterator[str]:
    """The words that an expression may be, as far as they stand in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from literals(value)


def set_in(text: str) -> set[str]:
    """Reasons that a source sets by name."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        position = SETTERS.get(name)
        arguments = [*node.args[position : position + 1]] if position is not None else []
        arguments += [k.value for k in node.keywords if k.arg == "reason" and name != "extra"]
        found |= {word for argument in arguments for word in literals(argument)}
    return found


def test_the_scan_sees_a_reason() -> None:
    assert set_in('run.draft.say("Ready", True, "Made" if a else "Up")\nFailure("More", "x")') == {"Made", "Up", "More"}


@pytest.mark.parametrize("path", SOURCES + TRAINER, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_source_sets_no_reason_that_has_no_line(path: Path) -> None:
    assert set_in(path.read_text()) <= set(get_args(Reason))


def test_every_word_has_a_line() -> None:
    assert set(get_args(Reason)) == set(REASONS)
    assert set(get_args(Phase)) == set(PHASES)
    assert set(get_args(ConditionType)) == set(CONDITIONS)
    assert all(entry.when for entry in (*REASONS.values(), *PHASES.values()))


def test_every_line_is_about_a_word_that_the_code_knows() -> None:
    api = [CHECKOUT / "crds/bluetune_api" / name for name in ("gate_verdict.py", "model.py")]
    code = "".join(path.read_text() for path in (*SOURCES, *TRAINER, *api))
    fromkubernetes = {"Evicted", "BackoffLimitExceeded"}
    assert {word for word in REASONS if f'"{word}"' not in code} <= fromkubernetes


def test_the_page_names_all_of_them() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", runbook_page(), re.MULTILINE)
    assert sorted(rows) == sorted([*REASONS, *PHASES, *CONDITIONS])
    assert all(line.count("|") in (4, 5) for line in runbook_page().splitlines() if line.startswith("| `"))


def test_what_others_write_is_none_of_ours_unless_it_is_known() -> None:
    assert known_reason("DataInvalid") == "DataInvalid"
    assert [known_reason(text) for text in ("Exit10", "", None)] == [None, None, None]
