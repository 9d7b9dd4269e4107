"""The operator with its own timeouts shortened, so that outages of seconds are to it what minutes are in production.

`CHAOS_CLOCK` is how many seconds its clock is off.
"""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Self

from bluetune_operator.adapters import kube, store
from bluetune_operator.core.config import config_from
from bluetune_operator.handlers import app, guard, logs, queue
from bluetune_operator.reconciler import lock
from bluetune_operator.reconciler.models import base_import as model_import
from bluetune_operator.reconciler.models import reconcile as model
from bluetune_operator.reconciler.tasks import admission as task_admission
from bluetune_operator.reconciler.tasks import end as task_end
from bluetune_operator.reconciler.tasks import work as task_work

SHORTER: list[tuple[ModuleType, dict[str, float]]] = [
    (kube, {"CONNECT_SECONDS": 2.0, "READ_SECONDS": 4.0, "BACKOFF_CAP_SECONDS": 1.0, "CALL_SECONDS": 15.0}),
    (store, {"READ_SECONDS": 3.0, "CALL_SECONDS": 10.0, "REST_SECONDS": 1.0}),
    (guard, {"DURATION_SECONDS": 8.0, "RENEW_SECONDS": 1.5, "RETRY_SECONDS": 0.5, "DEADLINE_SECONDS": 5.0}),
    (queue, {"CAP_SECONDS": 5.0}),
    (lock, {"AGAIN_SECONDS": 1.0}),
    (model, {"RETRY_SECONDS": 3.0, "DEPLOYMENT_SECONDS": 1.0}),
    (model_import, {"LOOK_SECONDS": 1.0, "SLOW_SECONDS": 3.0}),
    (task_admission, {"STORE_SECONDS": 2.0, "REMNANT_SECONDS": 1.0}),
    (task_work, {"QUIET_SECONDS": 3.0, "MENDED_SECONDS": 3.0}),
    (task_end, {"ROLLOUT_SECONDS": 3.0}),
]
RESYNC_SECONDS = 15.0


class Shifted(datetime):
    """datetime whose now() is off by CHAOS_CLOCK seconds."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The time, off."""
        return super().now(tz) + timedelta(seconds=float(os.environ["CHAOS_CLOCK"]))


def main() -> int:
    """Run until a signal comes."""
    for module, values in SHORTER:
        for name, value in values.items():
            if not hasattr(module, name):
                raise AttributeError(f"{module.__name__} has no {name} any more: correct SHORTER")
            setattr(module, name, value)
    if os.environ.get("CHAOS_CLOCK"):
        app.datetime = Shifted  # type: ignore[attr-defined]
    config = replace(config_from(os.environ), resync_seconds=RESYNC_SECONDS)
    logs.configure(config.log_format)
    return asyncio.run(app.run(config))


if __name__ == "__main__":
    sys.exit(main())
