"""Which pod's log comes next, and where in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bluetune.core.kinds import Object, name_of

SLACK = timedelta(seconds=1)
"""How far lines of stdout and stderr may be out of order."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 30.0
BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass
class Position:
    """How far the log of a pod was shown."""

    pod: str
    created: str
    """Its creationTimestamp."""
    read: bool = False
    """Whether the last look came to the end of what was there."""
    done: bool = False
    """Whether all of it was shown."""
    _since: datetime = BEGINNING
    _recent: list[tuple[datetime, str]] = field(default_factory=list)
    """(time, line) of what was shown since `_since`."""
    _again: Counter[str] = field(default_factory=Counter)
    """Lines that come once more, as they were shown before the log was asked for."""

    def ask(self) -> str | None:
        """From when to ask for the log, now: a whole second, as the API server knows no finer ones. None: all of it."""
        self._again = Counter(line for _, line in self._recent)
        return None if self._since == BEGINNING else f"{self._since:%Y-%m-%dT%H:%M:%SZ}"

    def shown(self, line: str) -> str | None:
        """The text of a line without its time; None if it was shown before the log was asked for.

        Lines are not told apart by their times: a container runtime gives all lines of one read the same time.
        """
        at, text = _parsed(line)
        if self._again[line]:
            self._again[line] -= 1
            return None
        self._recent.append((at or self._since, line))
        if at and (since := at.replace(microsecond=0) - SLACK) > self._since:
            self._since = since
            self._recent = [(time, kept) for time, kept in self._recent if time >= since]
        return text


def _parsed(line: str) -> tuple[datetime | None, str]:
    """The time in UTC and the text; without a time, the whole line, which is then the kubelet's and not the pod's."""
    stamp, _, text = line.partition(" ")
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None, line
    return (at.astimezone(UTC), text) if at.tzinfo else (None, line)


def longest_pause(failures: int) -> float:
    """Bound in seconds of the pause after so many failures in a row to read a log."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))


def pod_state(pod: Object) -> str:
    """Pending, Running, Succeeded, Failed or Unknown."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_over(pod: Object) -> bool:
    """Whether nothing more will be logged."""
    return pod_state(pod) in ("Succeeded", "Failed")


def position_of(pod: Object) -> Position:
    """At the beginning of a pod's log."""
    return Position(name_of(pod), str(pod["metadata"]["creationTimestamp"]))


def next_pod(pods: Sequence[Object], position: Position | None) -> Object | None:
    """The pod whose log is to be shown: the same until it is done or gone, then the oldest of those that are newer. At
    first, the newest one that has started, or else the newest one."""
    by_age = sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], name_of(pod)))
    if position is None:
        started = [pod for pod in by_age if pod_state(pod) != "Pending"]
        found = started or by_age
        return found[-1] if found else None
    if not position.done:
        for pod in by_age:
            if name_of(pod) == position.pod:
                return pod
    here = (position.created, position.pod)
    return next((pod for pod in by_age if (pod["metadata"]["creationTimestamp"], name_of(pod)) > here), None)
