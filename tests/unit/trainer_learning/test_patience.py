"""How long a step may go on after a stop was asked for."""

from threading import Event

import pytest

from bluetune_trainer.errors import Stopped
from bluetune_trainer.training import trial


def test_a_step_may_end_if_it_soon_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(trial.time, "monotonic", lambda: now)
    stop = Event()
    heed = trial.Patience(stop, seconds=5)
    heed()
    now = 200.0
    stop.set()
    heed()
    now = 204.9
    heed()
    now = 205.0
    with pytest.raises(Stopped):
        heed()
