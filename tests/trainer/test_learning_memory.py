"""What may change the memory, the speed or the number of trained weights of a step, and what it must not change."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from bluetune_api.method import HardNegatives, Lora
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.activations import ActivationCache, ActivationCaches, Budget
from bluetune_trainer.training.adapters import Adapters, trained_state
from bluetune_trainer.training.batches import Batcher
from bluetune_trainer.training.embedder import Cut, Embedder, Filling, freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.filling import CHUNK, FillOrder
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.memory import token_budget
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.task import TrainingTask
from trainer import learning_runs
from trainer.learning_runs import train
from trainer.learning_world import write_tiny_encoder
from trainer.optimizer_log import OptimizerLog, watch


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=2)


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> partial[TrainingTask]:
    return partial(learning_runs.prepared, tiny, tmp_path)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> OptimizerLog:
    return watch(monkeypatch)


def step(task: TrainingTask, embedder: Embedder) -> tuple[float, list[torch.Tensor], int]:
    """Loss and gradients of a batch, and how many numbers waited for the backward pass."""
    waiting = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal waiting
        waiting += tensor.numel()
        return tensor

    batch = Batcher(task.train, task.confidences).batch(np.arange(12))
    embedder.model.zero_grad()
    with saved_tensors_hooks(count, lambda tensor: tensor):
        vectors = embedder.embed(batch.texts)
        loss = task.new_loss(TrialParams())(
            FeatureMaker(TrialParams(), task.ranker, is_similarity=True)(batch, vectors)
        )
    loss.backward()
    gradients = [p.grad.clone() for p in embedder.model.parameters() if p.grad is not None]
    return float(loss.detach()), gradients, waiting


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_grad_cache_gives_the_plain_gradients_and_keeps_no_activations(
    prepared: partial[TrainingTask],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    depth: int,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    monkeypatch.setattr("bluetune_trainer.training.model.TOKENS_PER_CHUNK_CPU", 128)
    task = prepared()
    if dtype == torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # pooling computes in the wider type
    task.new_model().to(dtype)
    caches = ActivationCaches(tmp_path / "activations")
    loss, gradients, waiting = step(task, freeze(task.table, depth, caches))
    same, found, kept = step(task, freeze(task.table, depth, caches, recompute=True))
    assert same == pytest.approx(loss, abs=tolerance)
    for a, b in zip(found, gradients, strict=True):
        assert a.dtype == dtype
        assert torch.allclose(a, b, atol=tolerance, rtol=0)
    assert kept < waiting / 5


def test_a_batch_that_would_not_fit_a_gpu_is_computed_again_by_itself(prepared: partial[TrainingTask]) -> None:
    task = prepared()
    task.new_model()
    plain, squeezed = Embedder(task.table), Embedder(task.table)
    squeezed.fits = 200
    loss, gradients, waiting = step(task, plain)
    same, found, kept = step(task, squeezed)
    assert same == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, gradients, strict=True))
    assert kept < waiting / 5


@pytest.mark.parametrize(
    ("free", "trained", "expected"),
    [
        (80 << 30, 22_000_000, (int((80 << 30) * 0.8) - 264_000_000) // (6 * 384 * 68)),
        (1 << 30, 22_000_000, (int((1 << 30) * 0.8) - 264_000_000) // (6 * 384 * 68)),
        (1 << 20, 22_000_000, 1024),
    ],
)
def test_tokens_that_fit_a_gpu(free: int, trained: int, expected: int) -> None:
    assert token_budget(free, layers=6, width=384, trained=trained) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("setting", [{"grad_cache": True}, {"attention": "Packed"}])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_trial_takes_the_same_steps_whichever_way_it_is_computed(
    prepared: partial[TrainingTask], log: OptimizerLog, setting: dict[str, object], depth: int
) -> None:
    train(prepared(), num_fixed_layers=depth, items_lr=1e-5)
    plain = list(log.gradients)
    log.gradients.clear()
    train(prepared(**setting), num_fixed_layers=depth, items_lr=1e-5)
    for a, b in zip(log.gradients, plain, strict=True):
        assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("depth", [0, 1])
def test_only_adapters_train_and_merged_they_give_what_the_adapted_model_gives(
    tiny: Path, tmp_path: Path, depth: int
) -> None:
    model = Encoder.load(tiny)
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    table = InputTable(model)
    numbers = table.add([f"{'word ' * (i % 5)} text {i}" for i in range(20)], "item")
    embedder = freeze(table, depth, ActivationCaches(tmp_path / "activations"))
    adapters = Adapters(model, Lora(rank=4, alpha=8))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert all(f".layer.{i}." not in name for name in trained for i in range(depth))
    with torch.no_grad():
        before = embedder.embed(numbers)
        for parameter in trained.values():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        adapted = embedder.embed(numbers)
    assert (adapted - before).abs().max() > 0.05
    state = trained_state(model, adapters)
    adapters.remove()
    for name, value in model.state_dict().items():
        assert torch.equal(value, plain[name])
    model.load_state_dict(state, strict=False)
    assert set(state) <= set(plain)
    changed = {name for name in plain if not torch.equal(plain[name], model.state_dict()[name])}
    assert changed == set(state)
    with torch.no_grad():
        assert torch.allclose(freeze(table, depth, ActivationCaches(tmp_path / "b")).embed(numbers), adapted, atol=1e-5)


def test_a_trial_with_adapters_learns_and_is_a_plain_model_afterwards(
    prepared: partial[TrainingTask], tmp_path: Path
) -> None:
    task = prepared(num_epochs=6, lora=Lora(rank=8, alpha=16))
    run = train(task, items_lr=2e-2)
    assert run.metrics["ndcg@10"] > task.baseline["ndcg@10"] + 0.05
    model = task.new_model()
    model.load_state_dict(run.model_state, strict=False)
    model.save(tmp_path / "published")
    files = {path.name for path in (tmp_path / "published").iterdir()}
    assert not [name for name in files if "adapter" in name]
    opened = Encoder.load(tmp_path / "published")
    embedder = Embedder(task.table)
    sample = task.validation.texts[:8]
    with torch.no_grad():
        rows = opened.collate(task.table.rows(sample))
        assert torch.allclose(opened(*rows), embedder.embed(sample), atol=1e-5)
    assert train(prepared(), items_lr=1e-4).quality > 0  # the next trial finds the model as it came


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(PlanInvalid, match=r"settings\.lora"):
        Adapters(torch.nn.Sequential(torch.nn.Embedding(3, 2)), Lora())


def test_mined_negatives_stand_in_the_sessions_of_training_and_not_of_validation(
    prepared: partial[TrainingTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = HardNegatives(count=3, margin=0.0, depth=20)
    at_once = prepared(hard_negatives=wanted).mined
    monkeypatch.setattr("bluetune_trainer.training.mining.ITEMS_IN_BLOCK", 32)
    task = prepared(hard_negatives=wanted)
    assert task.mined is not None
    assert at_once is not None
    assert task.mined.items.tolist() == at_once.items.tolist()
    batcher = task.batcher(TrialParams())
    random = np.random.default_rng(0)
    for session in batcher.relevant[:5]:  # without a generator, as validation has it, nothing is added
        batch = batcher.batch(np.asarray([session]))
        assert batch.valid.sum() == len(task.train.items[task.train.span(int(session))])
    clicked: dict[int, set[int]] = {}
    for i in range(len(task.train)):
        span = task.train.span(i)
        own = task.train.items[span][task.train.clicked[span]]
        clicked.setdefault(int(task.train.queries[i]), set()).update(own.tolist())
    added = 0
    for session in batcher.relevant[:30]:
        span = task.train.span(int(session))
        shown = set(task.train.items[span].tolist())
        batch = batcher.batch(np.asarray([session]), random)
        items = batch.texts[batch.item_at[batch.result_at[0][batch.valid[0]]]]
        extra = set(items.tolist()) - shown
        assert len(items) == len(shown) + len(extra)
        assert extra <= set(task.mined.items[task.mined.rows[int(task.train.queries[session])]].tolist())
        assert not extra & clicked[int(task.train.queries[session])]
        assert not batch.clicked[0][np.isin(items, list(extra))].any()
        added += len(extra)
    assert added > 30
    assert not (task.workdir / "catalogue.npy").exists()
    assert train(task).quality > 0


def test_where_activations_would_not_fit_a_step_computes_its_frozen_layers_without_gradient(
    prepared: partial[TrainingTask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    task = prepared()
    task.new_model()
    filling = task.filling(task.batcher(TrialParams()), lambda: None)
    needed = sum(task.table.lengths(np.unique(filling.order.rows)).tolist()) * 32 * 4
    kept, plain = (
        ActivationCaches(tmp_path / str(disk), Budget(memory=0, disk=disk)) for disk in (needed, needed * 95 // 100)
    )
    remembered = freeze(task.table, 1, kept, filling)
    assert not caplog.records
    recomputed = freeze(task.table, 1, plain, filling)
    (record,) = caplog.records
    assert record.disk_bytes < record.needed_bytes <= needed * 1.01
    loss, gradients, waiting = step(task, remembered)
    same, found, kept_for_backward = step(task, recomputed)
    assert same == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, gradients, strict=True))
    assert kept_for_backward == waiting
    assert not (tmp_path / str(needed * 95 // 100) / "1").exists()


def test_a_step_computes_little_but_its_own_texts_in_the_first_trials_order(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = learning_runs.prepared(tiny, tmp_path, batch_size=5)
    task.new_model()
    computed = 0
    real = ActivationCache.put

    def put(cache: ActivationCache, number: int, state: torch.Tensor) -> None:
        nonlocal computed
        computed += 1
        real(cache, number, state)

    monkeypatch.setattr(ActivationCache, "put", put)
    batcher = task.batcher(TrialParams())
    embedder = freeze(task.table, 1, task.caches, task.filling(batcher, lambda: None))
    seen: set[int] = set()
    for batch in batcher.epoch(5, np.random.default_rng([task.settings.seed, 0, 0])):
        embedder.embed(batch.texts)
        seen.update(batch.texts.tolist())
        assert len(seen) <= computed < len(seen) + CHUNK + 11
    assert len(seen) > 2 * (CHUNK + 11)


def test_caches_that_were_not_used_for_longest_make_room(tiny: Path, tmp_path: Path) -> None:
    model = Encoder.load(tiny)
    table = InputTable(model)
    numbers = table.add([f"text {i}" for i in range(4)], "item")
    order = FillOrder()
    order.add_inputs(table, numbers)
    caches = ActivationCaches(tmp_path, Budget(memory=0, disk=1000))

    def used(bf16: bool, needed: int) -> ActivationCache:
        split = LayerSplit(model, 1)
        split.freeze()
        (cache,) = caches.of([split], needed, bf16=bf16)
        Embedder(table, [Cut(split, cache)], Filling(order), bf16=bf16).embed(numbers)
        return cache

    first, second = used(False, 400), used(True, 400)
    assert used(False, 400) is first
    model.backbone.embeddings.word_embeddings.weight.data += 1  # another start version
    third = used(False, 500)
    missing = [len(cache.missing(numbers)) for cache in (first, second, third)]
    assert missing == [0, 4, 0]
    assert used(True, 1000) is not second
    assert [len(cache.missing(numbers)) for cache in (first, third)] == [4, 4]
