"""Probes that fail when no work is done, and logs that say what they are about."""

import json
import logging
from typing import Any

import pytest

from bluetune_operator.core.figures import RolloutEnd, TaskFigures
from bluetune_operator.core.kinds import JOBS, TASKS, Key
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.logs import JsonFormatter, TextFormatter, _About, _Repeated, current_key
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue

KEY = Key(TASKS.name, "n", "t")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def version(number: int) -> dict[str, Any]:
    return {"metadata": {"name": "x", "resourceVersion": str(number)}}


def working() -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(resync_seconds=100, clock=clock)
    health.leading = True
    health.synced()
    return health, clock


def test_ready_means_leading_and_everything_seen_once() -> None:
    health = Health(resync_seconds=100)
    assert not health.ready()
    health.leading = True
    assert not health.ready()
    health.synced()
    assert health.ready()


def test_standing_by_is_ready_too_and_leading_afterwards_is_not_until_everything_was_seen() -> None:
    health = Health(resync_seconds=100)
    health.stand_by()
    assert health.ready()
    health.lead()
    assert not health.ready()


def test_waiting_for_the_lease_is_not_a_reason_to_be_restarted() -> None:
    clock = Clock()
    health = Health(resync_seconds=100, clock=clock)
    clock.now = 10_000
    assert health.problems() == []


def test_no_list_for_long_a_hanging_reconcile_and_silence_are() -> None:
    health, clock = working()
    health.canary_seen()
    health.begun(KEY)
    clock.now = 301
    found = "; ".join(health.problems())
    assert "no full list for 301 s" in found
    assert "no watch event for 301 s" in found
    assert "FineTuningTask n/t hangs" in found
    health.ended(KEY)
    health.synced()
    health.canary_seen()
    assert health.problems() == []


def test_a_watch_that_misses_what_a_list_shows_is_dead_until_it_catches_up() -> None:
    health, clock = working()
    health.watched(JOBS, version(5))
    health.listed(JOBS, [version(9)])
    clock.now = 61
    health.synced()
    assert health.problems() == ["the watch of jobs is dead: a change did not come for 61 s"]
    health.watched(JOBS, version(9))
    assert health.problems() == []


def test_logs_are_json_with_the_resource_they_are_about() -> None:
    record = logging.LogRecord("l", logging.INFO, __file__, 1, "did %s", ("it",), None)
    token = current_key.set(KEY)
    try:
        _About().filter(record)
    finally:
        current_key.reset(token)
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["task"], line["namespace"], line["level"]) == ("did it", "t", "n", "info")


def test_metrics_of_a_model_go_with_it() -> None:
    metrics = Metrics(WorkQueue())
    assert "bluetune_queue_depth 0.0" in metrics.text().decode()
    for model in ("a", "b"):
        metrics.retrain_run("n", model)
        metrics.notice("n", model, "Lost", 2)
        metrics.retrain_held_back("n", model, "CoolingDown")
        metrics.task_moved("n", model, TaskFigures(1.0, 2.0, "Succeeded", "GatePassed"))
        metrics.rollout_ended("n", model, RolloutEnd("Done", "RolledOut"))
    assert 'bluetune_notices_total{model="a",namespace="n",outcome="Lost"} 2.0' in metrics.text().decode()
    metrics.model_gone("n", "a")
    metrics.model_gone("n", "never counted")
    text = metrics.text().decode()
    assert 'model="a"' not in text
    assert text.count('_total{model="b"') == 6
    assert text.count('_seconds_count{model="b"') == 2


def test_metrics_name_the_namespaces_that_are_lost() -> None:
    metrics = Metrics(WorkQueue())
    metrics.lost_namespaces({"staging"})
    assert 'bluetune_namespace_lost{namespace="staging"} 1.0' in metrics.text().decode()
    metrics.lost_namespaces(frozenset())
    assert "bluetune_namespace_lost{" not in metrics.text().decode()


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_message_of_others_is_one_line_and_plays_no_tricks(formatter: logging.Formatter) -> None:
    evil = "no batch\n2026-01-01 INFO the task was promoted\x1b[2J\u202e\ud800"
    line = formatter.format(logging.LogRecord("n", logging.INFO, "", 0, "%s", (evil,), None))
    assert "the task was promoted" in line
    assert not set(line) & set("\n\x1b\u202e\ud800")


def test_a_request_that_is_tried_again_and_again_is_logged_now_and_then() -> None:
    now = [0.0]
    repeated = _Repeated(clock=lambda: now[0])

    def passes(text: str, logger: str = "kopf._cogs.clients.api") -> bool:
        return repeated.filter(logging.LogRecord(logger, logging.ERROR, "", 0, text, (), None))

    def refused(number: int, namespace: str) -> str:
        url = f"http://api/apis/batch/v1/namespaces/{namespace}/jobs?watch=true&resourceVersion={number}"
        return f"Request attempt #{number} failed; will retry: GET {url} -> APIForbiddenError('no Role')"

    assert [passes(refused(number, "staging")) for number in range(1, 4)] == [True, False, False]
    assert passes(refused(1, "search"))
    assert passes("Request attempt #9 failed; escalating: GET http://api -> 'x'")
    assert passes(refused(4, "staging"), logger="bluetune_operator")
    now[0] = 601.0
    assert [passes(refused(number, "staging")) for number in range(5, 7)] == [True, False]
