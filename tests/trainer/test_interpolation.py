"""What a trial keeps lies on the way from the start version's weights to the trained ones."""

from pathlib import Path

import pytest
import torch

from bluetune_api.method import Lora
from trainer.learning_runs import prepared, train
from trainer.learning_world import write_tiny_encoder


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


def test_the_kept_weights_lie_where_it_says_and_the_training_goes_on_from_its_own(tiny: Path, tmp_path: Path) -> None:
    task = prepared(tiny, tmp_path, test_each_n_inputs=1e6)
    start = {name: p.detach().clone() for name, p in task.new_model().named_parameters()}
    trained = train(task, interpolation=1.0).model_state
    kept = train(task, interpolation=0.25)
    for name, end in trained.items():
        expected = start[name] + 0.25 * (end - start[name])
        assert torch.allclose(kept.model_state[name], expected, atol=1e-6), name
        assert not torch.equal(kept.model_state[name], end), name
    model = dict(task.model.named_parameters())
    assert all(torch.equal(model[name], end) for name, end in trained.items())


def test_with_adapters_it_is_the_merged_weights_that_lie_on_the_way(tiny: Path, tmp_path: Path) -> None:
    task = prepared(tiny, tmp_path, lora=Lora(rank=4, alpha=8))
    start = {name: p.detach().clone() for name, p in task.new_model().named_parameters()}
    trained = train(task, interpolation=1.0, items_lr=3e-2).model_state
    kept = train(task, interpolation=0.25, items_lr=3e-2).model_state
    assert trained
    for name, end in trained.items():
        assert (end - start[name]).abs().max() > 1e-3, name
        assert torch.allclose(kept[name], start[name] + 0.25 * (end - start[name]), atol=1e-6), name
