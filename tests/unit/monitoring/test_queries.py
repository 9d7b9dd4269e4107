"""The chart's alerts and its dashboard ask for metrics and labels that the operator has, and say what they mean."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bluetune_api.alerts import ALERTS
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.core.figures import RolloutEnd, TaskFigures
from bluetune_operator.core.kinds import MODELS, TASKS
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.handlers.state_metrics import StateMetrics
from bluetune_operator.reconciler.base import NoticeOutcome
from unit.monitoring.promql import OF_THE_TARGET, QueryError, labels_of, of_template, selectors

CHECKOUT = Path(__file__).resolve().parents[3]
CHART = CHECKOUT / "helm" / "bluetune"
GROUPS = yaml.safe_load((CHART / "monitoring/alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads((CHART / "monitoring/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OPERATIONS = (CHECKOUT / "docs/operations.md").read_text()
MODEL = {"namespace", "model"}


def all_series() -> Iterator[tuple[str, frozenset[str]]]:
    """Every metric of an operator that has seen everything once, with its labels."""
    metrics, cache, moment = Metrics(WorkQueue()), ObjectCache(), "2026-01-01T00:00:00Z"
    metrics.registry.register(StateMetrics(cache))
    condition = {"type": "LockAcquired", "status": "True", "reason": "Acquired", "lastTransitionTime": moment}
    about = {"name": "m", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    status: dict[str, Any] = {"phase": "Running", "conditions": [condition]}
    cache.put(TASKS, {"metadata": about, "spec": {"modelRef": {"name": "m"}}, "status": status})
    cache.put(MODELS, {"metadata": about, "status": status | {"rollout": {"step": "Wait", "stepStartedAt": moment}}})
    metrics.reconcile_seconds.labels("Lock", "ok").observe(1)
    metrics.retries.labels("Lock").inc()
    metrics.request("GET", 200, 0.1)
    metrics.first_job(1)
    metrics.lost_namespaces({"n"})
    metrics.retrain_run("n", "m")
    metrics.retrain_held_back("n", "m", "CoolingDown")
    for outcome in get_args(NoticeOutcome):
        metrics.notice("n", "m", outcome)
    metrics.task_moved("n", "m", TaskFigures(1.0, 1.0, "Failed", "GatePassed"))
    metrics.rollout_ended("n", "m", RolloutEnd("Done", "RolledOut"))
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            yield sample.name, frozenset(sample.labels) | OF_THE_TARGET


METRICS = dict(all_series())


def without_macros(query: str) -> str:
    """A query of the dashboard with a time for each of Grafana's."""
    return re.sub(r"\$__(range|rate_interval)\b", "5m", query)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_there_is_and_says_what_it_is_about(rule: dict[str, Any]) -> None:
    labels, said = labels_of(rule["expr"], METRICS), rule["annotations"]
    assert of_template(" ".join(said.values())) <= labels
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert promql.parse_duration(rule.get("for", "1s"))
    if rule in GROUPS[1]["rules"]:
        assert of_template(said["summary"]) >= MODEL <= of_template(said["description"])
    else:
        assert "namespace" in said["description"]


def test_every_alert_has_a_section_in_the_runbook_and_points_to_it() -> None:
    page = (CHECKOUT / "docs/runbook.md").read_text()
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
    assert [rule["alert"] for rule in RULES] == list(ALERTS)
    table = re.findall(r"^\| `(\w+)` \| (warning|critical) \|", OPERATIONS, re.MULTILINE)
    assert table == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]
    for rule in RULES:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (path, anchor) == ("docs/runbook.md", rule["alert"].lower())
        assert anchor in anchors
    for entry in ALERTS.values():
        assert set(re.findall(r"\]\(#([^)]*)\)", entry.do)) <= anchors


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_there_is_by_its_variables(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        query = without_macros(target["expr"])
        assert of_template(target["legendFormat"]) <= labels_of(query, METRICS)
        for name, chosen_by in selectors(query):
            if name != "bluetune_namespace_lost":
                assert chosen_by >= (MODEL if "model" in METRICS[name] else {"namespace"})


def test_the_dashboards_variables_are_all_there_and_name_what_there_is() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD)))
    assert used == variables.keys()
    asked = [each["query"]["query"] for each in variables.values() if each["type"] == "query"]
    assert len(asked) == 3
    for query in asked:
        (inner, label) = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]
        assert label in labels_of(inner, METRICS)


def test_the_dashboard_names_no_data_source_of_somebodys() -> None:
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps({**DASHBOARD, "uid": ""}))
    assert set(sources) == {"", "${datasource}"}


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_documentation_names_every_metric_and_no_other() -> None:
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in METRICS}
    families = {name + "_total" if name + "_total" in METRICS else name for name in families}
    named = set(re.findall(r"`(bluetune_\w+)`", OPERATIONS))
    assert named <= families
    assert {name for name in families - named if not name.startswith(("bluetune_process_", "python_"))} == set()


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sum(bluetune_leader", "unclosed"),
        ("bluetune_leaders", "no metric bluetune_leaders"),
        ('bluetune_tasks{state="Failed"}', "no label"),
        ('bluetune_tasks{phase="Broken"}', "is never phase"),
        ('bluetune_rollouts_total{outcome=~"Done|Lost"}', "is never outcome"),
        ("sum by (pods) (bluetune_leader)", "no label"),
        ("rate(bluetune_tasks[5m])", "no counter"),
        ("histogram_quantile(0.5, sum by (kind) (rate(bluetune_reconcile_seconds_bucket[5m])))", "no label"),
        ("bluetune_tasks unless on (kind) bluetune_leader", "no label"),
        ("sum by (model) (bluetune_tasks) / sum by (phase) (bluetune_tasks)", "never match"),
    ],
)
def test_a_query_about_what_does_not_exist_is_found(query: str, complaint: str) -> None:
    with pytest.raises(QueryError, match=complaint):
        labels_of(query, METRICS)
