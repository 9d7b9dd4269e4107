"""Is work being done? What the liveness and readiness probes answer, by what was really seen."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bluetune_operator.core.kinds import Key, Kind, Object

RESYNC_PERIODS = 3.0
STUCK_SECONDS = 300.0
"""A reconcile that runs longer than this hangs: all its waits have timeouts far below."""
CANARY_SECONDS = 90.0
"""The operator renews its own Lease every few seconds and watches it: that long without an event, watches are dead."""
DEAF_SECONDS = 60.0
"""A change that a list showed must have come over the watch after this long."""


@dataclass
class Health:
    """What was seen last, by the monotonic clock. Probes read it; they never block."""

    resync_seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = 0.0
    last_sync: float | None = None
    leading: bool = False
    standing_by: bool = False
    canary: float | None = None
    _running: dict[Key, float] = field(default_factory=dict)
    _newest: dict[Kind, int] = field(default_factory=dict)
    _expected: dict[Kind, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def stand_by(self) -> None:
        """Another operator works; this one waits for its Lease."""
        self.standing_by = True

    def lead(self) -> None:
        """This process is the one that works."""
        self.leading, self.standing_by = True, False

    def watched(self, kind: Kind, thing: Object) -> None:
        """A watch event came."""
        version = _version(thing)
        self._newest[kind] = max(self._newest.get(kind, 0), version)
        expected = self._expected.get(kind)
        if expected is not None and self._newest[kind] >= expected[1]:
            del self._expected[kind]

    def canary_seen(self) -> None:
        """The operator's own Lease came over the watch."""
        self.canary = self.clock()

    def listed(self, kind: Kind, news: Iterable[Object]) -> None:
        """A list showed objects that no watch event had told of yet: one must come soon."""
        newest = max((_version(thing) for thing in news), default=0)
        if self.last_sync is not None and newest > self._newest.get(kind, 0) and kind not in self._expected:
            self._expected[kind] = (self.clock(), newest)

    def synced(self) -> None:
        """A full list went through."""
        self.last_sync = self.clock()

    def begun(self, key: Key) -> None:
        """A reconcile began."""
        self._running[key] = self.clock()

    def ended(self, key: Key) -> None:
        """A reconcile ended, well or not."""
        self._running.pop(key, None)

    def problems(self) -> list[str]:
        """Why the process should be restarted; empty if all is well."""
        now, found = self.clock(), []
        if self.leading:
            since = now - (self.last_sync if self.last_sync is not None else self.started)
            if since > RESYNC_PERIODS * self.resync_seconds:
                found.append(f"no full list for {since:.0f} s")
        if self.canary is not None and self.leading and now - self.canary > CANARY_SECONDS:
            found.append(f"no watch event for {now - self.canary:.0f} s")
        for key, begun in self._running.items():
            if now - begun > STUCK_SECONDS:
                found.append(f"the reconcile of {key.kind} {key.namespace}/{key.name} hangs for {now - begun:.0f} s")
        for kind, (since_seen, _) in self._expected.items():
            if now - since_seen > DEAF_SECONDS:
                found.append(f"the watch of {kind.plural} is dead: a change did not come for {now - since_seen:.0f} s")
        return found

    def ready(self) -> bool:
        """Whether this process works and has seen everything once, or waits for the one that works to end."""
        return self.standing_by or (self.leading and self.last_sync is not None)


def _version(thing: Object) -> int:
    text = str(thing["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0
