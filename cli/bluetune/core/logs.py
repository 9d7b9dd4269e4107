"""Which pod's log comes next, and where in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bluetune.core.kinds import Object, name_of


@dataclass
class Position:
    """How far the log of a pod was shown."""

    pod: str
    created: str
    """Its creationTimestamp."""
    last: str = ""
    """Time of the last line that was shown, as the kubelet writes it: of a fixed width, so it sorts as text."""
    read: bool = False
    """Whether the last look came to the end of what was there."""
    done: bool = False
    """Whether all of it was shown."""

    @property
    def since(self) -> str | None:
        """From when to ask; the API server knows whole seconds."""
        return f"{self.last[:19]}Z" if self.last else None

    def shown(self, line: str) -> str | None:
        """The text of a line without its time; None if it was shown before."""
        at, _, text = line.partition(" ")
        if at <= self.last:
            return None
        self.last = at
        return text


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
