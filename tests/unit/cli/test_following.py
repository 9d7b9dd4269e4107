"""A log that is followed, past all that breaks it, and a task that is watched to its end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from bluetune.adapters import following
from bluetune.adapters.display import Display
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import PODS, Kind
from bluetune.core.refusals import refusal

BROKEN = ProtocolError("reset by peer")
SILENT = ReadTimeoutError(None, "/log", "read timed out")  # type: ignore[arg-type]


def refused(status: int) -> Exception:
    return refusal(status, "", verb="get", kind=PODS, namespace="n")


def pod(name: str, created: str, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"phase": phase}}


def stamped(second: int, text: str) -> str:
    return f"2026-01-31T20:00:{second:02}.1+08:00 {text}"


@dataclass
class Scripted:
    """A cluster whose pods log what the test says: `answers[pod]` has the lines of each request, and its error.

    Like the kubelet, it keeps back the lines from before `since`.
    """

    answers: dict[str, list[list[str | Exception]]]
    pods: list[dict[str, Any]]
    over_after: int
    """Requests for logs after which the task has ended."""
    asked: list[tuple[str, bool, str | None]] = field(default_factory=list)

    def get(self, kind: Kind, name: str, *, patient: bool = False) -> dict[str, Any]:
        ended = "True" if len(self.asked) >= self.over_after else "False"
        conditions = [{"type": "Succeeded", "status": ended}]
        return {"metadata": {"name": name, "uid": "u"}, "spec": {}, "status": {"conditions": conditions}}

    def list(self, kind: Kind, *, labels: Mapping[str, str], patient: bool = False) -> list[dict[str, Any]]:
        assert patient
        return self.pods

    def log(self, pod: str, container: str, *, follow: bool, since: str | None) -> Iterator[str]:
        self.asked.append((pod, follow, since))
        script = self.answers[pod]
        for line in script.pop(0) if len(script) > 1 else script[0]:
            if isinstance(line, Exception):
                raise line
            if since is None or datetime.fromisoformat(line.split()[0]) >= datetime.fromisoformat(since):
                yield line


class Time:
    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def followed(cluster: Scripted, *, follow: bool = True) -> tuple[list[str], list[str]]:
    time, said = Time(), list[str]()
    found = following.log_lines(
        cluster,  # type: ignore[arg-type]
        "t",
        follow=follow,
        say=said.append,
        sleep=time.sleep,
        clock=lambda: time.now,
    )
    return list(found), said


ONE, TWO, THREE = stamped(1, "one"), stamped(1, "two"), stamped(5, "three")


@pytest.mark.parametrize("error", [BROKEN, SILENT, refused(500), refused(503), refused(429), refused(400)])
def test_a_log_goes_on_behind_its_last_line_after(error: Exception) -> None:
    cluster = Scripted({"p": [[ONE, error], [ONE, TWO, error], [ONE, TWO, THREE]]}, [pod("p", "1")], over_after=3)
    assert followed(cluster) == (["one", "two", "three"], ["the log of pod p has ended"])
    assert [since for _, _, since in cluster.asked[:2]] == [None, "2026-01-31T12:00:00Z"]


def test_the_log_goes_on_from_pod_to_pod() -> None:
    pods = [pod("b", "2", "Pending"), pod("a", "1", "Succeeded")]
    cluster = Scripted({"a": [[ONE]], "b": [[refused(400)], [ONE, TWO]]}, pods, over_after=3)
    lines, said = followed(cluster)
    assert lines == ["one", "one", "two"]
    assert said == ["the log of pod a has ended", "the log of pod b has ended"]


def test_a_log_that_fails_for_long_is_given_up() -> None:
    cluster = Scripted({"a": [[ONE, refused(500)], [refused(500)]]}, [pod("a", "1")], over_after=10_000)
    with pytest.raises(CliError) as raised:
        followed(cluster)
    assert raised.value.code == Exit.UNREACHABLE
    assert 20 < len(cluster.asked) < 200


def test_a_log_that_fails_for_long_is_given_up_for_a_newer_pod() -> None:
    pods = [pod("a", "1"), pod("b", "2", "Pending")]
    cluster = Scripted({"a": [[ONE, refused(500)], [refused(500)]], "b": [[TWO]]}, pods, over_after=10_000)
    lines = following.log_lines(
        cluster,  # type: ignore[arg-type]
        "t",
        follow=True,
        say=(said := list[str]()).append,
        sleep=(time := Time()).sleep,
        clock=lambda: time.now,
    )
    assert [next(lines), next(lines)] == ["one", "two"]
    assert said == ["the log of pod a is given up: the API server answered HTTP 500: without a word"]


@pytest.mark.parametrize("error", [BROKEN, SILENT])
def test_a_silent_pod_is_followed_for_as_long_as_its_task_runs(error: Exception) -> None:
    cluster = Scripted({"p": [*[[error]] * 1000, [ONE]]}, [pod("p", "1")], over_after=1001)
    assert followed(cluster)[0] == ["one"]


@pytest.mark.parametrize(
    ("error", "code"), [(BROKEN, Exit.UNREACHABLE), (refused(500), Exit.UNREACHABLE), (refused(404), Exit.REFUSED)]
)
def test_a_log_that_is_not_followed_ends_with_its_first_error(error: Exception, code: Exit) -> None:
    cluster = Scripted({"p": [[ONE, error]]}, [pod("p", "1")], over_after=0)
    with pytest.raises(CliError) as raised:
        followed(cluster, follow=False)
    assert (raised.value.code, len(cluster.asked)) == (code, 1)


def test_what_may_not_be_read_is_not_asked_for_again() -> None:
    cluster = Scripted({"p": [[refused(403)]]}, [pod("p", "1")], over_after=10)
    with pytest.raises(CliError, match="refused"):
        followed(cluster)
    assert len(cluster.asked) == 1


def test_a_task_without_a_pod_says_so() -> None:
    with pytest.raises(CliError, match="task t has no pod"):
        followed(Scripted({}, [], over_after=0))


def test_a_wait_ends_with_the_task_or_with_its_time() -> None:
    ended = Scripted({}, [], over_after=0)
    assert following.until_ended(ended, "t", Display(), None)["metadata"]["name"] == "t"  # type: ignore[arg-type]
    with pytest.raises(CliError) as raised:
        following.until_ended(Scripted({}, [], over_after=1), "t", Display(), 0)  # type: ignore[arg-type]
    assert raised.value.code == Exit.TIMEOUT
