"""Every answer of an API server that is none of 2xx becomes one sentence."""

import json
from typing import Any

import pytest

from bluetune.core.errors import Exit
from bluetune.core.kinds import PODS, TASKS
from bluetune.core.refusals import not_found, refusal


def status(reason: str, message: str, **details: Any) -> str:
    return json.dumps({"kind": "Status", "reason": reason, "message": message, "details": details})


@pytest.mark.parametrize(
    ("code", "body", "said", "ends"),
    [
        (401, status("Unauthorized", "Unauthorized"), "does not accept the credentials", Exit.REFUSED),
        (
            403,
            status("Forbidden", 'x is forbidden: User "u" cannot get resource'),
            "you may not get finetuningtasks.bluetune.dev in namespace n: ask for that right (the chart",
            Exit.REFUSED,
        ),
        (403, status("Forbidden", "denied by policy p"), "refused it: denied by policy p", Exit.REFUSED),
        (404, "404 page not found\n", "does not know finetuningtasks.bluetune.dev: install", Exit.REFUSED),
        (404, status("NotFound", "m", name="t", kind="finetuningtasks"), "no FineTuningTask t in", Exit.REFUSED),
        (404, status("NotFound", "m", name="n", kind="namespaces"), "there is no namespace n", Exit.REFUSED),
        (409, status("AlreadyExists", "m", name="t"), "FineTuningTask t exists already in namespace n", Exit.REFUSED),
        (422, status("Invalid", "spec.x: too long"), "refused it: spec.x: too long", Exit.REFUSED),
        (503, "", "answered HTTP 503: without a word", Exit.UNREACHABLE),
        (502, "<html>bad gateway", "answered HTTP 502: <html>bad gateway", Exit.UNREACHABLE),
        (418, "[]", "refused it: []", Exit.REFUSED),
    ],
)
def test_an_answer_becomes_a_sentence_and_an_exit_code(code: int, body: str, said: str, ends: Exit) -> None:
    error = refusal(code, body, verb="get", kind=TASKS, namespace="n", name="t")
    assert said in str(error)
    assert (error.code, "\n" in str(error)) == (ends, False)


def test_a_right_that_the_chart_does_not_give_is_not_said_to_be_the_charts() -> None:
    error = refusal(403, status("Forbidden", "is forbidden: User u"), verb="list", kind=PODS, namespace="n")
    assert str(error) == "you may not list pods in namespace n: ask for that right"


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    assert str(not_found(TASKS, "t", "n", ["b", "a"])).endswith("in namespace n: there are a, b")
    assert "there are none (-n names another one)" in str(not_found(TASKS, "t", "n", []))
    assert str(not_found(TASKS, "t", "n", [f"t{i:02}" for i in range(25)])).endswith("t19 and 5 more")
