"""Two encoders: which learning rate, which decay and which freezing reaches which weights."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from bluetune_api.method import HardNegatives, Lora, Settings
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss
from bluetune_trainer.training.embedder import freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.groups import parameter_groups
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import run_trial, trial_steps
from bluetune_trainer.training.two_towers import TwoTowers
from trainer.learning_world import world, write_tiny_encoder

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def task(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingTask:
    folder = tmp_path_factory.mktemp("towers")
    settings = Settings(precision="FP32", batch_size=20, num_epochs=1, towers="Separate")
    catalogue, split = world(sessions=60)
    start = write_tiny_encoder(folder / "start", minilm)
    return prepare(start, catalogue, split, resolve_settings(settings), choose_parts(settings), folder, lambda: None)


def after_one_step(task: TrainingTask, **params: float) -> tuple[State, State]:
    """Weights before and after one optimizer step on the first batch, at depth 0."""
    chosen = TrialParams(num_fixed_layers=0, **params)  # type: ignore[arg-type]
    model = task.new_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    embedder = freeze(task.table, 0, task.caches)
    optimizer = torch.optim.AdamW(parameter_groups(model, model, chosen), fused=True)
    batch = task.batcher(chosen).batch(np.arange(8))
    features = FeatureMaker(chosen, task.ranker, is_similarity=True)
    ListwiseSoftmaxLoss(0.1)(features(batch, embedder.embed(batch.texts))).backward()
    optimizer.step()
    optimizer.zero_grad()
    return before, {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(states: tuple[State, State], tower: str) -> torch.Tensor:
    before, after = states
    names = [n for n in before if n.startswith(f"{tower}_tower.") and ".pooler." not in n]
    return torch.cat([(after[name] - before[name]).flatten() for name in names])


def test_query_lr_moves_the_query_tower_by_its_factor_and_leaves_the_item_tower_bit_equal(task: TrainingTask) -> None:
    rates = {"items_lr": 1e-3, "items_weight_decay": 0.0, "query_weight_decay": 0.0}
    slow = after_one_step(task, query_lr=1e-3, **rates)
    fast = after_one_step(task, query_lr=4e-3, **rates)
    assert torch.equal(moved(slow, "item"), moved(fast, "item"))
    query = moved(slow, "query")
    assert query.abs().max() > 5e-4
    assert torch.allclose(moved(fast, "query"), 4 * query, atol=2e-6)


def test_items_lr_moves_the_item_tower_only(task: TrainingTask) -> None:
    slow = after_one_step(task, query_lr=1e-3, items_lr=1e-3, query_weight_decay=0.0, items_weight_decay=0.0)
    fast = after_one_step(task, query_lr=1e-3, items_lr=2e-3, query_weight_decay=0.0, items_weight_decay=0.0)
    assert torch.equal(moved(slow, "query"), moved(fast, "query"))
    assert torch.allclose(moved(fast, "item"), 2 * moved(slow, "item"), atol=2e-6)


@pytest.mark.parametrize(("decayed", "other"), [("query", "item"), ("item", "query")])
def test_weight_decay_shrinks_the_weights_of_its_tower_by_lr_times_decay(
    task: TrainingTask, decayed: str, other: str
) -> None:
    rates = {"query_lr": 1e-2, "items_lr": 1e-2}
    name = {"query": "query_weight_decay", "item": "items_weight_decay"}
    without = after_one_step(task, **rates, query_weight_decay=0.0, items_weight_decay=0.0)
    with_decay = after_one_step(task, **rates, **{name[decayed]: 0.5, name[other]: 0.0})
    assert torch.equal(moved(without, other), moved(with_decay, other))
    weights = torch.cat(
        [
            v.flatten() if v.dim() > 1 else torch.zeros(len(v))  # biases and norms do not decay
            for n, v in without[0].items()
            if n.startswith(f"{decayed}_tower.") and ".pooler." not in n
        ]
    )
    assert weights.abs().max() > 0.05
    assert torch.allclose(moved(with_decay, decayed) - moved(without, decayed), -1e-2 * 0.5 * weights, atol=1e-6)


def test_shared_weights_follow_the_items_and_their_biases_and_norms_do_not_decay(minilm: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(write_tiny_encoder(tmp_path, minilm))
    chosen = TrialParams(query_lr=1.0, query_weight_decay=1.0, items_lr=0.25, items_weight_decay=0.5)
    decays, others = parameter_groups(encoder, encoder, chosen)
    assert (decays["name"], decays["lr"], decays["weight_decay"]) == ("items", 0.25, 0.5)
    assert (others["name"], others["lr"], others["weight_decay"]) == ("items without decay", 0.25, 0.0)
    names = {id(p): name for name, p in encoder.named_parameters()}
    kept = {names.pop(id(p)) for p in others["params"]}
    assert kept == {n for n, _ in encoder.named_parameters() if n.endswith(".bias") or "LayerNorm" in n}
    assert {id(p) for p in decays["params"]} == set(names)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_trial_leaves_the_fixed_layers_of_both_towers_bit_equal_and_changes_all_else(
    task: TrainingTask, depth: int
) -> None:
    before = {name: p.detach().clone() for name, p in task.new_model().named_parameters()}
    run_trial(
        task,
        TrialParams(num_fixed_layers=depth, items_lr=1e-3, query_lr=1e-3, temperature=0.1),
        number=depth,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )
    after = dict(task.model.named_parameters())
    kept = ["embeddings.", *(f"encoder.layer.{layer}." for layer in range(depth))] if depth else []
    expected = {
        name
        for name in before
        if "backbone.pooler." in name or any(name.split(".backbone.")[1].startswith(prefix) for prefix in kept)
    }
    assert {name for name in before if torch.equal(before[name], after[name])} == expected


@pytest.mark.parametrize(
    "how",
    [
        {"lora": Lora(rank=4, alpha=8)},
        {"grad_cache": True},
        {"hard_negatives": HardNegatives(count=2)},
        {"accumulate_batches": 2, "batch_size": 5, "gradient_clipping": 1.0, "warmup": 0.5},
        {"matryoshka_dims": [8]},
        {"long_items": "Split", "max_tokens": 8, "hard_negatives": HardNegatives(count=2)},
    ],
    ids=lambda how: "-".join(how),
)
def test_every_way_of_training_reaches_each_tower_at_its_own_rate(
    minilm: Path, tmp_path: Path, how: dict[str, object]
) -> None:
    fixed: dict[str, object] = {"precision": "FP32", "batch_size": 20, "num_epochs": 1, "towers": "Separate", **how}
    settings = Settings(**fixed)  # type: ignore[arg-type]
    catalogue, split = world(sessions=60)
    start = write_tiny_encoder(tmp_path / "start", minilm)
    task = prepare(start, catalogue, split, resolve_settings(settings), choose_parts(settings), tmp_path, lambda: None)
    before = {name: p.detach().clone() for name, p in task.new_model().named_parameters()}
    run = run_trial(
        task,
        TrialParams(num_fixed_layers=1, items_lr=1e-3, query_lr=1e-9, query_weight_decay=0.0),
        number=0,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )
    assert set(run.model_state) <= set(before)
    most = {"query": 0.0, "item": 0.0}
    for name, value in run.model_state.items():
        assert ".layer.0." not in name
        side = name.split("_")[0]
        most[side] = max(most[side], float((value - before[name]).abs().max()))
    assert most["query"] < 1e-6
    assert most["item"] > 1e-4


def test_more_fixed_layers_than_a_tower_has_are_refused(task: TrainingTask) -> None:
    task.new_model()
    with pytest.raises(PlanInvalid, match="num_fixed_layers: 3 leaves nothing to train, the model has 3"):
        freeze(task.table, 3, task.caches)


@pytest.mark.parametrize("depth", [0, 1])
def test_each_input_is_encoded_by_its_own_tower(minilm: Path, tmp_path: Path, depth: int, task: TrainingTask) -> None:
    model = TwoTowers(
        Encoder.load(write_tiny_encoder(tmp_path / "q", minilm, seed=1)),
        Encoder.load(write_tiny_encoder(tmp_path / "i", minilm, seed=2)),
    )
    table = InputTable(model)
    texts = ["lamp", "a red lamp", "green", "a much longer text about lamps and candles"]
    items, queries = table.add(texts, "item"), table.add(texts, "query")
    numbers = np.stack([queries, items], 1).reshape(-1)
    with torch.no_grad():
        vectors = freeze(table, depth, task.caches).embed(numbers).numpy()
    assert np.allclose(vectors[::2], model.query_tower.encode(texts, "query"), atol=1e-6)
    assert np.allclose(vectors[1::2], model.item_tower.encode(texts, "item"), atol=1e-6)
    assert not np.allclose(vectors[::2], vectors[1::2], atol=1e-2)


def test_towers_of_different_dimensions_are_refused(minilm: Path, tmp_path: Path) -> None:
    small = Encoder.load(write_tiny_encoder(tmp_path, minilm))
    with pytest.raises(PlanInvalid, match="384 dimensions and the item tower 32"):
        TwoTowers(Encoder.load(minilm), small)
