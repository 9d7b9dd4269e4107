"""What the page says of models and runs, from objects and records."""

from typing import Any

import pytest

from bluetune.core.page.models import ModelView, model_view
from bluetune.core.page.rollouts import rollout
from bluetune.core.page.runs import Records, RunView, run_line, run_view
from bluetune.core.page.words import ago, gain, lasting, moment, share, tone_of
from unit.ui.scene import CHECK, FOUR, GATE, NOW, RESULT, THREE, TRIALS, before, condition, model, namespace, task


def shown(name: str) -> ModelView:
    models, tasks = namespace()
    return model_view(next(m for m in models if m["metadata"]["name"] == name), tasks, NOW)


def run(name: str, records: Records) -> RunView:
    models, tasks = namespace()
    found = next(t for t in tasks if t["metadata"]["name"] == name)
    return run_view(found, next(m for m in models if m["metadata"]["name"] == "products"), records, NOW)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3600, "60 min ago"),
        (5400, "2 h ago"),
        (200_000, "2 days ago"),
        (-30, "in a moment"),
        (-3600 * 9, "in 9 h"),
    ],
)
def test_times_are_told_coarsely(seconds: float, told: str) -> None:
    assert ago(seconds) == told


def test_a_time_that_cannot_be_read_is_none() -> None:
    assert moment("yesterday", NOW) is None
    assert moment(None, NOW) is None
    assert moment("2026-03-10T11:00:00", NOW) == moment("2026-03-10T12:00:00+01:00", NOW)
    assert (share(0.9989), share(1), share(0)) == ("99.8 %", "100 %", "0 %")
    assert (lasting(0.2), lasting(410)) == ("0 s", "7 min")
    assert (gain(-0.00001), gain(-0.5), gain(0.25)) == ("±0.0000", "−0.5000", "+0.2500")


@pytest.mark.parametrize(
    ("kind", "status", "reason", "tone"),
    [
        ("Ready", "True", "Serving", "good"),
        ("Ready", "False", "StoreDenied", "bad"),
        ("Ready", "Unknown", "Training", "busy"),
        ("Failed", "True", "Evicted", "bad"),
        ("Reconciling", "True", "RollingOut", "busy"),
        ("Promoted", "False", "Pinned", "quiet"),
    ],
)
def test_a_condition_is_good_or_bad_by_what_it_means(kind: str, status: str, reason: str, tone: str) -> None:
    assert tone_of(condition(kind, status, reason)) == tone


def test_a_model_says_what_is_served_since_when_who_works_and_who_waits() -> None:
    view = shown("products")
    assert (view.serves, view.since and view.since.ago, view.made_by) == (THREE, "2 days ago", "products-x7k2p")
    assert [line.name for line in view.at_work] == ["products-w9d4h"]
    assert [(line.name, line.position, line.blocked_by) for line in view.queue] == [
        ("products-q1", 1, "products-w9d4h"),
        ("products-q2", 2, "products-w9d4h"),
    ]
    assert [line.name for line in view.ended][:2] == ["products-m2n8q", "products-f3"]
    assert (view.tone, view.may_change, view.next_run and view.next_run.ago) == ("busy", True, "in 9 h")


def test_a_model_that_stands_still_says_why_and_one_that_serves_nothing_has_no_buttons() -> None:
    view = shown("images")
    assert (view.tone, view.serves, view.may_change) == ("bad", None, False)
    assert view.problem.startswith("StoreDenied: the store does not accept")


def test_a_model_that_no_operator_has_seen_is_shown() -> None:
    view = model_view(model("m"), [], NOW)
    assert (view.state, view.tone, view.lineage.rows) == ("not looked at by an operator yet", "busy", ())


def test_a_pinned_model_says_how_to_let_new_versions_in() -> None:
    pinned = model(
        "m", {"promote": {"outcome": "PassedOver", "version": THREE, "reason": "Pinned"}}, serving={"rollbackTo": THREE}
    )
    view = model_view(pinned, [], NOW)
    assert (view.pinned, view.promote) == (THREE, f"promote {THREE}: PassedOver (Pinned)")
    assert view.release.startswith("kubectl -n search patch emodel m ")


def rolling(step: str, **serving: Any) -> dict[str, Any]:
    made = {"from": THREE, "to": FOUR, "step": step, "startedAt": before(minutes=2), "stepStartedAt": before(minutes=1)}
    return model("m", {"rollout": made}, serving=serving)


@pytest.mark.parametrize(
    ("step", "serving", "states"),
    [
        ("Patch", {}, ["now", "todo", "todo"]),
        ("Wait", {"verify": {"port": 8080}}, ["done", "now", "todo", "todo"]),
        (
            "Verify",
            {"verify": {"port": 8080}, "index": {"target": {"type": "Parquet"}}},
            ["done", "done", "done", "now", "todo"],
        ),
        ("Reindex", {}, ["now", "todo", "todo", "todo"]),
        ("RollingBack", {}, []),
        ("Failed", {}, []),
    ],
)
def test_a_rollout_has_the_steps_that_its_model_asks_for(step: str, serving: dict[str, Any], states: list[str]) -> None:
    found = rollout(rolling(step, **serving), NOW)
    assert found is not None
    assert [each.state for each in found.steps] == states
    assert found.failed == (step == "Failed")


def test_a_rollout_that_is_done_is_none_and_one_in_the_queue_has_not_begun() -> None:
    assert rollout(rolling("Done"), NOW) is None
    queued = rolling("Patch")
    queued["status"]["rollout"]["queuedSince"] = before(minutes=1)
    found = rollout(queued, NOW)
    assert found is not None
    assert (found.words, [step.state for step in found.steps]) == ("waiting for its turn", ["todo"] * 3)


def test_a_run_tells_how_far_it_is_and_how_long_it_takes() -> None:
    line = run("products-w9d4h", Records()).line
    assert (line.stage, line.percent, line.left, line.trials) == ("training", 42, "about 7 min left", "5/8")
    assert not line.waits
    assert not line.ended


def test_a_run_that_is_asked_to_end_says_so_until_it_has() -> None:
    asked = task("t", "m", cancel=True)
    assert run_line(asked, NOW).cancelling
    over = asked | {"status": {"conditions": [condition("Failed", "True", "Cancelled")]}}
    assert not run_line(over, NOW).cancelling


def test_the_gate_shows_its_evidence_and_judges_by_what_the_model_asks_for_now() -> None:
    view = run("products-x7k2p", Records(RESULT, CHECK, TRIALS, report=True))
    assert view.gate is not None
    assert (view.gate.title, view.gate.tone) == ("The gate lets it pass", "good")
    assert view.gate.plot is not None
    assert view.gate.plot.words.startswith("clicks, local judge: +0.0301, from +0.0142 to +0.0460; ")
    assert [guard.told for guard in view.gate.guards] == ["holds", "not measured"]
    unsure = RESULT.model_copy(update={"gate": GATE.model_copy(update={"low": -0.001})})
    gate = run("products-x7k2p", Records(unsure)).gate
    assert gate is not None
    assert gate.title == "Undecided"


def test_without_the_store_gate_and_check_are_told_by_the_status() -> None:
    view = run("products-c5", Records(why="You may not."))
    assert view.gate is not None
    assert view.check is not None
    assert (view.gate.title, view.gate.plot, view.curves, view.why) == ("Undecided", None, None, "You may not.")
    assert (view.check.title, view.check.notes) == ("Worth training on", ("1,204 sessions can be measured",))
    assert run("products-q1", Records()).gate is None


def test_the_check_gives_its_verdict_with_figures() -> None:
    view = run("products-x7k2p", Records(check=CHECK)).check
    assert view is not None
    assert (view.title, view.tone) == ("Worth training on", "good")
    assert {fact.name: fact.told for fact in view.facts}["sessions"] == "4,810"
    bad = run(
        "products-x7k2p", Records(check=CHECK.model_copy(update={"valid": False, "problems": ["no clicks"]}))
    ).check
    assert bad is not None
    assert (bad.title, bad.problems) == ("Not worth training on", ("no clicks",))
