"""For how long this process has seen a rollout, and its step, under way."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bluetune_api.model import Rollout
from bluetune_operator.core.rollout.limits import Watched

Model = tuple[str, str]


@dataclass(frozen=True)
class _Seen:
    rollout: str
    rollout_since: float
    step: tuple[str, str]
    step_since: float


class RolloutWatch:
    """Remembers when it first saw the rollouts under way. It is lost with the process, which then begins anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Model, _Seen] = {}

    def look(self, model: Model, rollout: Rollout) -> Watched:
        """See a rollout, and say for how long it has been seen."""
        now, step, last = self._clock(), (rollout.step, rollout.step_started_at), self._seen.get(model)
        same = last is not None and last.rollout == rollout.started_at
        since = last.rollout_since if last is not None and same else now
        step_since = last.step_since if last is not None and same and last.step == step else now
        self._seen[model] = _Seen(rollout.started_at, since, step, step_since)
        return Watched(now - since, now - step_since)

    def forget(self, model: Model) -> None:
        """None is under way."""
        self._seen.pop(model, None)
