"""A task until it has ended, and what its pods log meanwhile."""

import random
import time
from collections.abc import Callable, Iterator

import urllib3

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.display import Display
from bluetune.core import watch
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import PODS, TASK_UID_LABEL, TASKS, Object, name_of
from bluetune.core.logs import Position, is_over, longest_pause, next_pod, position_of
from bluetune.core.refusals import ApiRefusal
from bluetune.core.tasks import ended, verdict
from bluetune.core.waiting import POLL_SECONDS, Waiting

PATIENT_LOG_SECONDS = 600.0
"""How long a followed log may be answered with errors: longer than it takes until a lost node's pods are replaced."""
CONTAINER = "trainer"
"""Of a pod that bluetune makes."""


def until_ended(cluster: Cluster, name: str, display: Display, timeout: float | None) -> Object:
    """Show a task until it has ended; returns it. Raises CliError, with TIMEOUT when the time is over."""
    with display.watching(f"FineTuningTask {name}") as watcher:
        for task in states(cluster, name, timeout):
            watcher.show(watch.of_task(task))
    return task


def states(cluster: Cluster, name: str, timeout: float | None, *, named: str = "--timeout") -> Iterator[Object]:
    """A task as it is at each look; the last one has ended. Raises as `until_ended`."""
    waiting = Waiting(cluster.get(TASKS, name), timeout, named=named)
    while True:
        yield waiting.task
        if waiting.over():
            return
        time.sleep(POLL_SECONDS)
        waiting.see(cluster.get(TASKS, name, patient=True))


def log_lines(
    cluster: Cluster,
    name: str,
    *,
    follow: bool,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Lines of a task's newest pod; with `follow` those of all pods to come, until the task has ended.

    Whatever breaks a followed log, it goes on behind the last line that was seen. A pod whose log the API server fails
    to give for PATIENT_LOG_SECONDS is given up for a newer one; CliError is raised if there is none.
    """
    uid = cluster.get(TASKS, name)["metadata"]["uid"]
    position: Position | None = None
    failures, failing_since = 0, 0.0
    while True:
        task = cluster.get(TASKS, name, patient=True)
        over = ended(task) is not None or task["metadata"]["uid"] != uid
        pods = cluster.list(PODS, labels={TASK_UID_LABEL: uid}, patient=True)
        pod = next_pod(pods, position)
        if pod is None and (over or not follow):
            if position is None:
                raise CliError(f"task {name} has no pod whose log could be read; {verdict(task)}")
            return
        if pod is not None:
            if position is None or position.pod != name_of(pod):
                position, failures = position_of(pod), 0
            try:
                for line in _pod_lines(cluster, position, follow=follow, live=follow and not over):
                    failures = 0
                    yield line
            except CliError as error:
                if not follow or error.code != Exit.UNREACHABLE:
                    raise
                failing_since = failing_since if failures else clock()
                failures += 1
                if clock() - failing_since < PATIENT_LOG_SECONDS:
                    sleep(random.uniform(0, longest_pause(failures)))
                    continue
                position.done = True
                if next_pod(pods, position) is None:
                    raise
                say(f"the log of pod {position.pod} is given up: {error}")
                continue
            failures = 0
            if not follow:
                return
            # what was over before its log was read to the end has nothing more to say
            position.done = position.read and (over or is_over(pod))
            if position.done:
                say(f"the log of pod {position.pod} has ended")
                continue
            if over:
                return
        sleep(POLL_SECONDS)


def _pod_lines(cluster: Cluster, position: Position, *, follow: bool, live: bool) -> Iterator[str]:
    """What a pod has logged behind a position; `read` is then whether it was read to its end.

    Args:
        follow: whether it will be asked for again, so that a container may be still to come.
        live: go on with what is logged meanwhile.

    Raises CliError, with UNREACHABLE for what may pass.
    """
    position.read = False
    try:
        for line in cluster.log(position.pod, CONTAINER, follow=live, since=position.ask()):
            text = position.shown(line)
            if text is not None:
                yield text
    except ApiRefusal as error:
        waiting = error.status == 400  # for its container
        if not follow or not (waiting or error.status == 404):
            raise
        return
    except urllib3.exceptions.HTTPError as error:
        if live:  # as after a silence, by whoever is in between; whether the API server is away, other reads tell
            return
        raise CliError(f"the log of pod {position.pod} broke off: {error}", Exit.UNREACHABLE) from None
    position.read = True
