"""A task that goes on from another one publishes what that one would have published, and trains no finished trial."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Progress
from bluetune_trainer.errors import Stopped
from robustness.small_world import METHOD, fill, plan
from trainer.learning_world import write_tiny_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TWO_TRIALS = {**METHOD, "settings": {**METHOD["settings"], "halving": False}, "initialMaxEvals": 2}


def test_a_resumed_run_ends_in_the_same_version_and_trains_only_what_is_left(
    tmp_path: Path, minilm: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from bluetune_trainer.cli.importing import run_import
    from bluetune_trainer.cli.training import run_train

    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    fill(store)
    base = write_tiny_encoder(tmp_path / "base", minilm, layers=1)
    made = plan("Import", "base", baseUri=str(base))
    start = run_import(store, made, lambda _location: store, stop=threading.Event()).version

    def trained(uid: str, stop_after_trials: int | None = None, **fields: Any) -> Any:
        stop = threading.Event()

        def report(progress: Progress) -> None:
            if stop_after_trials is not None and progress.trials_done >= stop_after_trials:
                stop.set()

        caplog.clear()
        with caplog.at_level(logging.INFO, logger="bluetune_trainer"):
            made = plan("Train", uid, startVersion=start, method=TWO_TRIALS, **fields)
            return run_train(store, made, stop=stop, report=report)

    whole = trained("whole")
    with pytest.raises(Stopped):
        trained("first", stop_after_trials=1)
    kept = store.get("runs/first/trials/0.json")
    result = trained("second", resumeFrom={"task": "first", "uid": "first"})
    ended = [record.trial for record in caplog.records if record.message == "trial ended"]  # type: ignore[attr-defined]
    assert ended == [1]
    assert store.get("runs/second/trials/0.json") == kept
    assert (result.digest, result.trials_done) == (whole.digest, 2)
