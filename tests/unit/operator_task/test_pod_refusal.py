"""When a Job's Events are asked why it has no pod, and what they say."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.jobs.pod_refusal import MAX_SECONDS, SILENT_SECONDS, lacks_pod, next_look, refusal

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
FORBIDDEN = 'Error creating: pods "t-check-{}" is forbidden: exceeded quota: small'


def job(started: str | None = "00:00", *, suspend: bool = False, condition: str | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {"startTime": f"2026-01-01T00:{started}Z"} if started else {}
    if condition:
        status["conditions"] = [{"type": condition, "status": "True"}]
    return {"metadata": {"name": "t-check", "uid": "u"}, "spec": {"suspend": suspend}, "status": status}


def pod(phase: str, created: str = "00:10") -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": f"2026-01-01T00:{created}Z"}, "status": {"phase": phase}}


def event(at: str, message: str, **times: Any) -> dict[str, Any]:
    created = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
    return {**created, "message": message, "lastTimestamp": f"2026-01-01T00:{at}Z", **times}


@pytest.mark.parametrize(
    ("the_job", "pods", "lacks"),
    [
        pytest.param(job(), [], True, id="none after a minute"),
        pytest.param(job("00:56"), [], False, id="just begun"),
        pytest.param(job(None), [], False, id="Kubernetes has not begun with it"),
        pytest.param(job(suspend=True), [], False, id="suspended"),
        pytest.param(job(condition="Complete"), [], False, id="finished"),
        pytest.param(job(), [pod("Pending")], False, id="one that may yet run"),
        pytest.param(job(), [pod("Failed")], True, id="only one that failed"),
    ],
)
def test_events_are_asked_when_there_should_be_a_pod(the_job: Any, pods: Any, lacks: bool) -> None:
    assert lacks_pod(the_job, pods, NOW) is lacks


@pytest.mark.parametrize(
    ("pods", "events", "said"),
    [
        pytest.param([], [], None, id="nothing was said"),
        pytest.param(
            [], [event("00:20", FORBIDDEN.format("a1b2c"))], "the pod is forbidden: exceeded quota: small", id="a quota"
        ),
        pytest.param(
            [],
            [event("00:20", "(combined from similar events): " + FORBIDDEN.format("d3e4f"))],
            "the pod is forbidden: exceeded quota: small",
            id="many times",
        ),
        pytest.param([], [event("00:20", "later"), event("00:10", "before")], "later", id="the newest counts"),
        pytest.param([pod("Failed")], [event("00:20", "now")], "now", id="refused after a first pod failed"),
        pytest.param([pod("Failed", "00:30")], [event("00:20", "then")], None, id="a pod was made since"),
        pytest.param(
            [],
            [event("", "series", lastTimestamp=None, eventTime="2026-01-01T00:00:20.123456Z")],
            "series",
            id="an Event of the new kind",
        ),
        pytest.param([], [event("00:20", "")], "no reason is given", id="without words"),
    ],
)
def test_what_is_told(pods: Any, events: Any, said: str | None) -> None:
    found = refusal(job(), pods, events)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert (found.reason, found.message) == ("PodRefused", f"no pod can be made for Job 't-check': {said}")


def test_each_look_comes_after_as_long_as_the_job_has_waited() -> None:
    later = datetime(2026, 1, 2, tzinfo=UTC)
    looks = [next_look(job("00:59"), NOW), next_look(job(), NOW), next_look(job(), later), next_look(job(None), NOW)]
    assert looks == [SILENT_SECONDS, 60.0, MAX_SECONDS, SILENT_SECONDS]


class Answers:
    """An API server that has these answers to lists."""

    def __init__(self, *answers: list[dict[str, Any]] | ApiError) -> None:
        self.answers = list(answers)

    async def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


def told(events: JobEvents, pods: list[dict[str, Any]], later: float = 0.0) -> str | None:
    waiting = {**job(), "metadata": {"name": "t-check", "namespace": "n", "uid": "u"}}
    trouble = asyncio.run(events.why_no_pod(waiting, pods, NOW + timedelta(seconds=later)))
    return trouble and trouble.message.rpartition(": ")[2]


def test_the_same_events_are_listed_again_only_after_a_while_or_when_a_pod_came_and_went() -> None:
    server = Answers([event("00:20", "first")], [event("00:30", "second")], [event("00:50", "third")])
    events = JobEvents(cast("KubeApi", server))
    assert [told(events, [], later) for later in (0, 59, 61)] == ["first", "first", "second"]
    assert told(events, [pod("Failed", "00:40")], 62) == "third"
    assert not server.answers


def test_events_that_cannot_be_read_cost_only_the_answer() -> None:
    events = JobEvents(cast("KubeApi", Answers(ApiError(403, "Forbidden", "no"), [event("00:20", "first")])))
    assert [told(events, []), told(events, [])] == [None, "first"]
