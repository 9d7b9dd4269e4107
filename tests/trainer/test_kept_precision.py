"""`precision: Auto` is decided once: later attempts and the gate compute as the run's first attempt did."""

import logging
import threading
from pathlib import Path

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import RunPrecision
from bluetune_api.store_layout import precision
from bluetune_trainer.errors import GpuNotVisible
from bluetune_trainer.search import version
from bluetune_trainer.store.runs import keep_precision, read
from robustness.small_world import METHOD, fill, plan
from trainer.learning_world import write_tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path, minilm: Path) -> tuple[LocalStore, str]:
    """A store with a batch, and its first version."""
    from bluetune_trainer.cli.importing import run_import

    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    fill(store)
    base = write_tiny_encoder(tmp_path / "base", minilm, layers=1)
    made = plan("Import", "base", baseUri=str(base))
    return store, run_import(store, made, lambda _location: store, stop=threading.Event()).version


def test_a_run_computes_as_its_first_attempt_did(
    world: tuple[LocalStore, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from bluetune_trainer.cli.training import run_train

    store, start = world
    measured_in: list[str] = []
    use = version.use_bf16
    monkeypatch.setattr(version, "use_bf16", lambda named, device: measured_in.append(named) or use(named, device))
    auto = {**METHOD, "settings": {**METHOD["settings"], "precision": "Auto"}}
    for kept in ("BF16", "FP32"):
        keep_precision(store, kept, RunPrecision(precision=kept, machine="another"))
        measured_in.clear()
        with caplog.at_level(logging.INFO, logger="bluetune_trainer"):
            run_train(
                store,
                plan("Train", kept, startVersion=start, method=auto),
                stop=threading.Event(),
                report=lambda _progress: None,
            )
        prepared = [record for record in caplog.records if record.message == "task prepared"]
        assert prepared[-1].bf16 is (kept == "BF16")  # type: ignore[attr-defined]
        assert set(measured_in) == {kept}
        caplog.clear()


def test_the_first_attempt_writes_down_what_it_chose_and_on_what_it_computes(
    world: tuple[LocalStore, str], caplog: pytest.LogCaptureFixture
) -> None:
    from bluetune_trainer.cli.training import run_train

    store, start = world
    auto = {**METHOD, "settings": {**METHOD["settings"], "precision": "Auto"}}
    with caplog.at_level(logging.INFO, logger="bluetune_trainer"):
        run_train(
            store,
            plan("Train", "u", startVersion=start, method=auto),
            stop=threading.Event(),
            report=lambda _progress: None,
        )
    stored = read(store, precision("u"), RunPrecision)
    assert stored is not None
    said = next(record for record in caplog.records if record.message == "training")
    assert said.precision == stored.precision  # type: ignore[attr-defined]
    assert said.on == stored.machine  # type: ignore[attr-defined]


def test_a_run_that_lacks_its_gpus_ends_before_it_begins(world: tuple[LocalStore, str]) -> None:
    from bluetune_trainer.cli.training import run_train

    store, start = world
    with pytest.raises(GpuNotVisible):
        run_train(
            store,
            plan("Train", "u", startVersion=start),
            stop=threading.Event(),
            report=lambda _progress: None,
            gpus=1,
        )
    assert not list(store.list("runs/u/"))
