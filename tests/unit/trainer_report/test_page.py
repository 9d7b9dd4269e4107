"""The report: whole, truthful, and safe to open, whatever is in the data."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from bluetune_api.records import GateGuard
from bluetune_trainer.report import numbers
from bluetune_trainer.report.page import render
from unit.trainer_report.made_up import facts

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """A strict reader: every element that is opened is closed, in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("trials", [1, 2, 8, 50])
@pytest.mark.parametrize("gate", [True, False])
def test_it_is_well_formed_and_shows_every_trial(trials: int, gate: bool) -> None:
    page = Page(render(facts(trials, gate=gate)))
    rows = {attributes["data-trial"] for tag, attributes in page.tags if tag == "tr" and "data-trial" in attributes}
    assert rows == {str(number) for number in range(trials)}
    coordinates = [a for tag, a in page.tags if tag == "g" and "coordinates" in (a.get("class") or "")]
    drawn = 0 if trials == 1 else trials
    assert len(coordinates) == 2 * drawn  # for wide and for narrow screens


def test_it_says_which_parameters_nobody_named() -> None:
    made = facts(3)
    every = sorted(made.trials[0].params)
    said = "The preset gave what nobody named"
    assert said not in render(facts(3, named=every))
    shown = render(facts(3, named=every[1:]))
    assert f"{said}: <code>{every[0]}</code>.</p>" in shown
    ancestors = [trial.model_copy(update={"origin": "v000000000001"}) for trial in made.trials]
    assert said not in render(replace(made, trials=ancestors))


@pytest.mark.parametrize("gate", [True, False])
def test_nothing_in_it_is_loaded_from_anywhere(gate: bool) -> None:
    source = render(facts(8, gate=gate))
    for _, attributes in Page(source).tags:
        assert not attributes.keys() & {"src", "href", "style", "onload", "onerror", "onclick", "xlink:href", "action"}
    assert not re.search(r"url\(|@import|https?://", source)


def test_only_its_own_style_and_script_may_run() -> None:
    import base64
    import hashlib

    source = render(facts(8))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', source)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.S)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy


def test_hostile_texts_are_shown_as_texts() -> None:
    plain, hostile = Page(render(facts(8))), Page(render(facts(8, word=HOSTILE)))
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in hostile.tags]
    assert f"{HOSTILE} 0" in " ".join(hostile.texts) or f"{HOSTILE} 1" in " ".join(hostile.texts)
    assert f"not JSON: {HOSTILE}" in hostile.text
    assert f"the loss became nan; {HOSTILE}" in hostile.text


def test_its_numbers_are_those_of_the_records() -> None:
    run = facts(8)
    text = Page(render(run)).text
    gate = run.gate
    assert gate is not None
    assert gate.low is not None
    assert gate.high is not None
    for name in ("ndcg@10", "mrr@10"):
        shown = [numbers.metric(run.baseline[name]), numbers.metric(run.best.metrics[name])]
        assert f"{numbers.metric_name(name)} {shown[0]} {shown[1]} " in text
    assert numbers.metric(gate.baseline["ndcg@10"]) + " → " + numbers.metric(gate.candidate["ndcg@10"]) in text
    assert (
        f"reach from {numbers.change(gate.low)} to {numbers.change(gate.high)}, with a risk of 7 % at each end" in text
    )
    assert "share a risk of 10 %" in text
    for judge in gate.judges:
        assert (
            f"{numbers.change(judge.delta)}, from {numbers.change(judge.low)} to {numbers.change(judge.high)}" in text
        )
    for place, looked in enumerate(gate.examination, 1):
        assert f"place {place}: looked at {looked:.2f} times as often as the first" in text
    for trial in run.trials:
        if trial.quality is not None:
            gain = numbers.change(trial.quality - run.baseline["ndcg@10"])
            assert f"{trial.trial} {numbers.metric(trial.quality)} {gain}" in text
    for part in ("1 234", "987", "987 80 %", "1 411", "99 %", "2 broken lines", "4 duplicates", "7 min 01 s", "940"):
        assert part in text
    for clicks, shown_count in zip(run.positions.clicked, run.positions.shown, strict=True):
        assert f"{clicks} clicks on {shown_count} results shown" in text


def _said(page: str) -> tuple[str, str]:
    """Title and tone of the headline."""
    ((tone, title),) = re.findall(r'<section class="headline (\w+)".*?<p class="verdict">([^<]*)</p>', page, re.S)
    return title, tone


def test_the_headline_says_what_the_gate_decided_and_no_more() -> None:
    gate = facts(3).gate
    assert gate is not None
    page = render(facts(3, gate=gate.model_copy(update={"low": -0.01, "delta": 0.02, "own_delta": 0.02})))
    assert _said(page) == ("Undecided", "open")
    assert "GateUndecided." in page
    assert "Better" not in page


def test_what_is_measured_by_fewer_than_ten_queries_is_not_called_better() -> None:
    gate = facts(3).gate
    assert gate is not None
    page = render(facts(3, gate=gate.model_copy(update={"queries": 9})))
    assert _said(page) == ("Not measured", "open")
    assert "Better" not in page


def test_a_run_without_gate_says_so_and_claims_nothing() -> None:
    page = render(facts(4, gate=False, evidence=None))
    text = Page(page).text
    assert _said(page) == ("Not measured", "open")
    assert "Better" not in page
    assert "The gate had nothing to decide by" in text
    assert "There is no query to show" in text


def test_a_metric_that_cannot_move_is_named_and_has_no_row() -> None:
    page = Page(render(facts(4)))
    assert "Left out is what did not change: Recall@10 (1.0000)" in page.text
    assert "Recall@10 1.0000 1.0000" not in page.text


def test_folds_hold_out_and_judgments_are_told_apart() -> None:
    gate = facts(3).gate
    assert gate is not None
    folds, held_out, judged = (
        Page(render(facts(3, gate=gate.model_copy(update=change)))).text
        for change in ({}, {"folds": None}, {"folds": None, "source": "Judgments", "examination": []})
    )
    assert "each compared by one of 5 trainings that did not see it" in folds
    assert "held-out sessions of 60 different queries that no training saw" in held_out
    assert "judged queries" in judged
    assert "as clicks tell it" not in judged
    assert "times as often as the first" in folds
    assert "times as often as the first" not in judged
    assert "what was judged relevant" in judged


def test_a_second_run_says_which_run_it_is_and_what_counts() -> None:
    gate = facts(3).gate
    assert gate is not None
    again = gate.model_copy(update={"attempt": 3, "earlier_runs": 1, "risk": 0.005, "own_delta": 0.03})
    text = Page(render(facts(3, gate=again))).text
    assert "no. 3 against this version evidence of 1 earlier counts" in text
    assert "with a risk of 0.5 % at each end" in text
    assert "in this run alone" in text


def test_items_that_are_cut_are_said() -> None:
    assert "3 of 40 items fill the window of 256 tokens" in Page(render(facts(3))).text


def test_a_run_without_any_shown_result_is_still_a_report() -> None:
    from bluetune_trainer.report.content import Positions

    nothing = np.zeros(0, np.int64)
    assert "No result was shown" in render(facts(2, positions=Positions(nothing, nothing), stages=[]))


def test_it_says_by_how_many_sessions_it_was_judged_and_what_was_left_out_for_the_judgments() -> None:
    page = Page(render(facts())).text
    assert "940 sessions with a click and a result that was passed over, 95 of them for validation, 0 held out" in page
    assert "judged queries, on which nothing is trained" not in page
    assert "7 sessions of judged queries, on which nothing is trained" in Page(render(facts(left_out=7))).text


def test_guards_are_listed_with_what_was_measured_and_what_was_not() -> None:
    made = facts()
    assert made.gate is not None
    guards = [
        GateGuard(kind="Forgetting", name="forgetting", before=0.71, after=0.52, passed=False, detail="surely <less>"),
        GateGuard(kind="Agreement", name="agreement", detail="not measured: 12 different texts"),
    ]
    page = render(facts(gate=made.gate.model_copy(update={"guards": guards})))
    for part in ("0.7100", "0.5200", "surely &lt;less&gt;", "not measured: 12 different texts", "Refused by a guard"):
        assert part in page
    assert "What must not get worse" not in render(made)
