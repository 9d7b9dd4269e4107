"""A trial that was left anywhere and gone on with ends as one that was not."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from bluetune_api.method import Lora, Settings
from bluetune_trainer.errors import Stopped
from bluetune_trainer.training.activations import ActivationCaches
from bluetune_trainer.training.checkpoint import SafetensorsIO, TrialCheckpoint, load, pack, unpack
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.steps import StepPlan
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer.learning_world import world, write_tiny_encoder

RUNGS = (0.2, 0.5)


@pytest.fixture(scope="module")
def task(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingTask:
    folder = write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)
    settings = resolve_settings(
        Settings.model_validate(
            {"precision": "FP32", "batch_size": 25, "num_epochs": 2, "step_size": 3, "test_each_n_inputs": 75.0}
        )
    )
    catalogue, split = world()
    return prepare(
        folder, catalogue, split, settings, choose_parts(Settings()), tmp_path_factory.mktemp("work"), lambda: None
    )


PARAMS = TrialParams(num_fixed_layers=1, items_lr=3e-3, negative_downsampling=0.7, examples_order=(11, 1))


def trial(
    task: TrainingTask,
    plan: StepPlan,
    *,
    until: int | None = None,
    checkpoint: TrialCheckpoint | None = None,
    stop_before: float | None = None,
) -> TrialRun:
    """Run it; with `stop_before`, ask it to stop when that share of its steps is done."""
    stop = Event()

    def on_step(share: float, epoch: int, spent: float) -> None:
        if stop_before is not None and share >= stop_before:
            stop.set()

    return run_trial(task, PARAMS, number=3, plan=plan, until=until, checkpoint=checkpoint, on_step=on_step, stop=stop)


def same(one: TrialRun, other: TrialRun) -> bool:
    """Equal to the last bit, but for the time it took."""
    weights = one.model_state.keys() == other.model_state.keys() and all(
        torch.equal(one.model_state[name], other.model_state[name]) for name in one.model_state
    )
    return weights and replace(one, model_state={}, seconds=0) == replace(other, model_state={}, seconds=0)


@pytest.mark.parametrize(
    ("interval", "places", "settings"),
    [
        (75.0, 14, {}),
        (200.0, 15, {}),
        (50.0, 5, {"accumulate_batches": 3}),
        (50.0, 15, {"lora": Lora(rank=4, alpha=8)}),
    ],
)
def test_a_trial_that_goes_on_from_any_checkpoint_ends_as_one_that_never_left(
    task: TrainingTask, tmp_path: Path, interval: float, places: int, settings: dict[str, Any]
) -> None:
    task = replace(task, settings=replace(task.settings, test_each_n_inputs=interval, **settings))
    plan = trial_steps(task, RUNGS)
    assert plan.batches == 16
    kept: dict[int, Path] = {}

    def keep() -> None:
        step = len(kept)
        kept[step] = shutil.copy(path, tmp_path / f"{step}.copy")

    path = tmp_path / "running.safetensors"
    whole = trial(task, plan, checkpoint=TrialCheckpoint(path, keep, seconds=0))
    assert len(whole.rungs) == 2
    assert same(whole, trial(task, plan))
    assert len(kept) == places
    for copy in kept.values():
        shutil.copy(copy, path)
        assert same(trial(task, plan, checkpoint=TrialCheckpoint(path, lambda: None, seconds=1e9)), whole), copy


def test_a_trial_paused_at_each_rung_ends_as_one_that_was_not(task: TrainingTask, tmp_path: Path) -> None:
    plan = trial_steps(task, RUNGS)
    whole = trial(task, plan)
    checkpoint = TrialCheckpoint(tmp_path / "trial.safetensors", lambda: None, seconds=1e9)
    first = trial(task, plan, until=0, checkpoint=checkpoint)
    again = trial(task, plan, until=0, checkpoint=checkpoint)
    assert (first.paused, first.rungs, first.epochs) == (True, whole.rungs[:1], plan.rungs[0] / plan.batches_per_epoch)
    assert same(first, again)
    assert trial(task, plan, until=1, checkpoint=checkpoint).rungs == whole.rungs
    assert same(trial(task, plan, checkpoint=checkpoint), whole)


def test_a_lucky_look_at_a_rung_is_not_what_a_trial_keeps(
    task: TrainingTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = TrainingTask.evaluate, [0.9, 0.8, 0.3, 0.5, 0.4]  # two rungs inside the first of several validations

    def evaluate(self: TrainingTask, *args: Any) -> dict[str, float]:
        return {**real(self, *args), self.settings.objective: next(values)}

    task = replace(task, settings=replace(task.settings, test_each_n_inputs=100.0))
    plan = replace(trial_steps(task), rungs=(1, 2))
    monkeypatch.setattr(TrainingTask, "evaluate", evaluate)
    values = iter([*seen, *([0.1] * 20)])
    checkpoint = TrialCheckpoint(tmp_path / "trial.safetensors", lambda: None, seconds=1e9)
    assert trial(task, plan, until=1, checkpoint=checkpoint).quality == pytest.approx(0.8)
    ended = trial(task, plan, checkpoint=checkpoint)
    assert ended.rungs == pytest.approx([0.9, 0.8])
    assert ended.quality == pytest.approx(0.5)


def test_a_stop_leaves_a_checkpoint(task: TrainingTask, tmp_path: Path) -> None:
    plan = trial_steps(task, RUNGS)
    checkpoint = TrialCheckpoint(tmp_path / "trial.safetensors", lambda: None, seconds=1e9)
    with pytest.raises(Stopped):
        trial(task, plan, checkpoint=checkpoint, stop_before=3 / 16)
    state = load(checkpoint.path)
    assert state is not None
    assert state["global_step"] == 4
    assert same(trial(task, plan, checkpoint=checkpoint), trial(task, plan))


def test_a_trial_ends_alike_whatever_other_trials_left_in_the_cache(
    task: TrainingTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LayerSplit.lower

    def lower(split: LayerSplit, *batch: torch.Tensor) -> torch.Tensor:
        """The shape of a pass moves last bits in large models. Here, more of them, so that a small one shows it."""
        return real(split, *batch) * (1 + batch[0].numel() / 1e5)

    monkeypatch.setattr(LayerSplit, "lower", lower)
    alone = replace(task, caches=ActivationCaches(tmp_path / "alone"))
    after = replace(task, caches=ActivationCaches(tmp_path / "after"))
    other = replace(task, caches=after.caches, settings=replace(task.settings, num_epochs=1))
    params = replace(PARAMS, phrases_per_session=2.0, negative_downsampling=0.3)
    until = trial_steps(other, (0.3,))
    run_trial(other, params, number=1, plan=until, until=0, on_step=lambda *_: None, stop=Event())
    plan = trial_steps(task)
    assert same(trial(alone, plan), trial(after, plan))


@pytest.mark.parametrize("damage", ["text", "cut", "version"])
def test_a_checkpoint_that_cannot_be_used_is_put_away(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trial.safetensors"
    SafetensorsIO().save_checkpoint({"a": torch.arange(1000)}, path)
    if damage == "text":
        path.write_text("no tensors")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.write_bytes(path.read_bytes().replace(b"bluetune-trial-1", b"bluetune-trial-0"))
    assert load(path) is None
    assert not path.exists()


def test_a_checkpoint_holds_nested_state_and_no_pickle(tmp_path: Path) -> None:
    state = {
        "optimizer": {0: {"step": torch.tensor(3.0)}, 1: {"step": torch.tensor(4.0)}},
        "betas": (0.9, 0.999),
        "best": float("inf"),
        "$": None,
        "list": [1, "a", [True, {"x": torch.zeros(2, 3).T}]],
        "empty": {},
    }
    tensors: dict[str, torch.Tensor] = {}
    again = unpack(json.loads(json.dumps(pack(state, tensors))), tensors.__getitem__)
    assert str(again) == str(state)
    with pytest.raises(TypeError, match="/what is a Event"):
        pack({"what": Event()}, {})
    path = tmp_path / "trial.safetensors"
    SafetensorsIO().save_checkpoint(state, path)
    assert str(load(path)) == str(state)
    assert not zipfile.is_zipfile(path)


def test_what_is_frozen_is_not_in_a_checkpoint(task: TrainingTask, tmp_path: Path) -> None:
    checkpoint = TrialCheckpoint(tmp_path / "trial.safetensors", lambda: None, seconds=1e9)
    task = replace(task, settings=replace(task.settings, test_each_n_inputs=200.0))  # the rung is the best there is
    trial(task, trial_steps(task, RUNGS), until=0, checkpoint=checkpoint)
    state = load(checkpoint.path)
    assert state is not None
    trained = sum(p.numel() for n, p in task.model.named_parameters() if ".layer.1." in n or ".layer.2." in n)
    assert sum(value.numel() for value in state["state_dict"].values()) == trained
    assert checkpoint.path.stat().st_size < 3.3 * 4 * trained + 20_000
