"""Two processes that train a trial together come to what one process comes to, wherever they begin."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from bluetune_api.method import Settings
from bluetune_trainer.training.checkpoint import TrialCheckpoint
from bluetune_trainer.training.companions import Preparation
from bluetune_trainer.training.launch import together
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.ranks import told
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialFailed, TrialRun, run_trial, trial_steps
from trainer.learning_world import world, write_tiny_encoder
from trainer.rank_companions import follow_all, refuse_pickles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARAMS = TrialParams(num_fixed_layers=1, items_lr=1e-3, query_lr=1e-3, temperature=0.1)
KINDS: dict[str, dict[str, Any]] = {
    "shared": {},
    "two towers": {"towers": "Separate", "accumulate_batches": 2},
    "lora": {"lora": {"rank": 4, "alpha": 8}, "gradient_clipping": 0.5},
    "gradCache": {"grad_cache": True, "long_items": "Split", "max_tokens": 8},
}


def preparations(start: Path, folder: Path, devices: int) -> list[Preparation]:
    catalogue, split = world(sessions=80)
    found = []
    for kind, given in KINDS.items():
        fixed = {"precision": "FP32", "batch_size": 20, "num_epochs": 2, "test_each_n_inputs": 40.0}
        settings = Settings.model_validate({**fixed, "devices": devices, **given})
        workdir = folder / kind
        workdir.mkdir(parents=True)
        parts = choose_parts(settings)
        found.append(Preparation(start, catalogue, split, resolve_settings(settings), parts, workdir, "built in"))
    return found


def trial(
    task: TrainingTask, checkpoint: TrialCheckpoint, params: TrialParams = PARAMS, until: int | None = None
) -> TrialRun:
    return run_trial(
        task,
        params,
        number=3,
        plan=trial_steps(task, (0.5,)),
        until=until,
        checkpoint=checkpoint,
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )


def begun(begin: Preparation) -> TrainingTask:
    return prepare(
        begin.start_folder, begin.catalogue, begin.split, begin.settings, begin.parts, begin.workdir, lambda: None
    )


@contextmanager
def no_pickles() -> Iterator[None]:
    original = torch.distributed.distributed_c10d._object_to_tensor
    refuse_pickles()
    try:
        yield
    finally:
        torch.distributed.distributed_c10d._object_to_tensor = original


def same(one: TrialRun, other: TrialRun) -> bool:
    """Equal to the last bit, but for the time it took."""
    weights = all(torch.equal(one.model_state[name], other.model_state[name]) for name in one.model_state)
    return weights and replace(one, model_state={}, seconds=0) == replace(other, model_state={}, seconds=0)


def alike(one: TrialRun, other: TrialRun, kind: str) -> None:
    """Equal but for the order in which floating-point numbers were added."""
    assert other.metrics == pytest.approx(one.metrics, abs=1e-3), kind
    for alone, both in zip(one.history, other.history, strict=True):
        assert both.train_loss == pytest.approx(alone.train_loss, abs=2e-5), kind
        assert both.val_loss == pytest.approx(alone.val_loss, abs=2e-5), kind


def test_two_processes_take_the_steps_of_one_and_go_on_from_a_checkpoint(minilm: Path, tmp_path: Path) -> None:
    start = write_tiny_encoder(tmp_path / "start", minilm, layers=2)
    alone: dict[str, TrialRun] = {}
    for kind, begin in zip(KINDS, preparations(start, tmp_path / "alone", 1), strict=True):
        path = begin.workdir / "trial.safetensors"
        alone[kind] = trial(begun(begin), TrialCheckpoint(path, lambda: None, seconds=1e9))
    begins = preparations(start, tmp_path / "both", 2)
    with no_pickles(), together(2, follow_all, begins):
        for number, (kind, begin) in enumerate(zip(KINDS, begins, strict=True)):
            if number:
                told(None)  # the others' task before is over
            task = begun(begin)
            path = begin.workdir / "trial.safetensors"
            kept: list[Path] = []

            def keep(path: Path = path, kept: list[Path] = kept) -> None:
                kept.append(shutil.copy(path, path.with_suffix(f".{len(kept)}")))

            whole = trial(task, TrialCheckpoint(path, keep, seconds=0))
            alike(alone[kind], whole, kind)
            assert (len(kept) > 1, (begin.workdir / "rank-1").is_dir()) == (True, True)
            if kind == "shared":
                waits = TrialCheckpoint(begin.workdir / "rung.safetensors", lambda: None, seconds=1e9)
                assert trial(task, waits, until=0).paused
                assert same(trial(task, waits), whole)
                diverges = TrialCheckpoint(begin.workdir / "diverges.safetensors", lambda: None, seconds=1e9)
                with pytest.raises(TrialFailed):  # on both, which go on together with the next one
                    trial(task, diverges, replace(PARAMS, items_lr=1e30))
            shutil.copy(kept[len(kept) // 2], path)
            assert same(trial(task, TrialCheckpoint(path, lambda: None, seconds=1e9)), whole), kind
