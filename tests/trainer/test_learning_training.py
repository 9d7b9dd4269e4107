"""Freezing, the step and a trial, on a small random encoder."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest
import torch

from bluetune_api.method import EarlyStopping, Settings
from bluetune_trainer.errors import PlanInvalid, Stopped
from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss
from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY
from bluetune_trainer.ranking.ties import RanksNotFinite
from bluetune_trainer.training.activations import ActivationCache, MemoryLeft
from bluetune_trainer.training.batches import Batcher
from bluetune_trainer.training.embedder import Cut, Embedder, Filling
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.filling import FillOrder
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialFailed
from trainer.learning_runs import train
from trainer.learning_world import world, write_tiny_encoder

TEXTS = [f"{'word ' * (i % 7)} text {i}" for i in range(40)]
Prepare = Callable[..., TrainingTask]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> Prepare:
    def make(**settings: object) -> TrainingTask:
        catalogue, split = world()
        fixed: dict[str, object] = {"precision": "FP32", "batch_size": 20, "num_epochs": 2, **settings}
        chosen = Settings(**fixed)  # type: ignore[arg-type]
        return prepare(tiny, catalogue, split, resolve_settings(chosen), choose_parts(chosen), tmp_path, lambda: None)

    return make


@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("depth", [1, 2])
def test_cached_activations_give_the_same_vectors_bit_for_bit(
    tiny: Path, tmp_path: Path, depth: int, memory: int
) -> None:
    encoder = Encoder.load(tiny)
    table = InputTable(encoder)
    numbers = table.add(TEXTS, "item")
    split = LayerSplit(encoder, depth)
    split.freeze()
    order = FillOrder()
    order.add_inputs(table, numbers, size=len(numbers))
    cut = Cut(split, ActivationCache(tmp_path / "spill", "x", MemoryLeft(memory)))
    cached = Embedder(table, [cut], Filling(order))
    with torch.no_grad():
        plain = Embedder(table).embed(numbers)
        assert torch.equal(cached.embed(numbers), plain)
        assert torch.equal(cached.embed(numbers), plain)
    assert (tmp_path / "spill").exists() == (memory == 0)


@pytest.mark.parametrize("size", [None, 3, 16])
def test_activations_are_the_same_whatever_came_before(tiny: Path, tmp_path: Path, size: int | None) -> None:
    encoder = Encoder.load(tiny)
    table = InputTable(encoder)
    numbers = table.add(TEXTS, "item")
    split = LayerSplit(encoder, 1)
    split.freeze()
    order = FillOrder()
    if size is not None:
        order.add_inputs(table, numbers[4:], size=size)
    found = []
    for name, before in (("a", numbers[:0]), ("b", numbers[5:30]), ("c", numbers[::-3])):
        cache = ActivationCache(tmp_path, name)
        embedder = Embedder(table, [Cut(split, cache)], Filling(order))
        with torch.no_grad():
            if len(before):
                embedder.embed(before)
                assert len(cache.missing(numbers))
            found.append(embedder.embed(numbers))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_freezing_switches_off_the_parameters_below_the_cut_and_no_others(tiny: Path) -> None:
    encoder = Encoder.load(tiny)
    LayerSplit(encoder, 2).freeze()
    trained = {name for name, p in encoder.backbone.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in encoder.backbone.named_parameters() if n.startswith("encoder.layer.2.")}
    LayerSplit(encoder, 0).freeze()
    trained = {name for name, p in encoder.backbone.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in encoder.backbone.named_parameters() if not n.startswith("pooler.")}


def test_freezing_everything_is_refused(tiny: Path) -> None:
    with pytest.raises(PlanInvalid, match="at most 2"):
        LayerSplit(Encoder.load(tiny), 3)


def test_a_step_equals_one_that_encodes_every_text_by_itself(prepared: Prepare) -> None:
    task = prepared()
    batch = Batcher(task.train, task.confidences).batch(np.arange(12))
    encoder = task.new_model()
    LayerSplit(encoder, 0).freeze()
    features = FeatureMaker(TrialParams(), task.ranker, is_similarity=True)

    def gradients(vectors: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
        encoder.zero_grad()
        loss = ListwiseSoftmaxLoss(0.05)(features(batch, vectors))
        loss.backward()
        return float(loss.detach()), [p.grad.clone() for p in encoder.parameters() if p.grad is not None]

    alone = [encoder(*encoder.tower("item").collate([row]))[0] for row in task.table.rows(batch.texts)]
    reference, expected = gradients(torch.stack(alone))
    loss, found = gradients(Embedder(task.table).embed(batch.texts))
    assert loss == pytest.approx(reference, abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_a_trial_learns_what_the_start_version_cannot_know_and_leaves_frozen_layers_as_they_are(
    prepared: Prepare,
) -> None:
    task = prepared(num_epochs=6)
    before = {n: p.detach().clone() for n, p in task.model.named_parameters()}
    run = train(task)
    assert run.metrics["ndcg@10"] > task.baseline["ndcg@10"] + 0.15
    assert run.metrics["val_loss"] > 0
    assert set(run.model_state) == {n for n in before if ".layer.1." in n or ".layer.2." in n}
    after = dict(task.model.named_parameters())
    for name, value in before.items():
        assert torch.equal(after[name], value) == (name not in run.model_state), name


def test_the_same_seed_and_number_give_the_same_weights_and_others_give_others(prepared: Prepare) -> None:
    task = prepared(num_epochs=1)
    first, again, other = train(task, 3), train(task, 3), train(task, 4)
    assert first.metrics == again.metrics
    assert all(torch.equal(first.model_state[n], again.model_state[n]) for n in first.model_state)
    assert any(not torch.equal(first.model_state[n], other.model_state[n]) for n in first.model_state)


def test_a_cache_that_an_earlier_trial_filled_changes_nothing(prepared: Prepare) -> None:
    task = prepared(num_epochs=1)
    train(task, 0, num_fixed_layers=2)
    warm = train(task, 1)
    cold = train(prepared(num_epochs=1), 1)
    assert warm.metrics == cold.metrics


def test_early_stopping_ends_a_trial_whose_val_loss_rises_and_the_best_validation_is_kept(prepared: Prepare) -> None:
    task = prepared(num_epochs=30, early_stopping=EarlyStopping(patience=2))
    run = train(task, items_lr=0.01)
    assert run.epochs < 30
    assert run.best_epoch <= run.epochs


def test_a_trial_whose_model_collapses_fails_and_says_what_to_lower(prepared: Prepare) -> None:
    with pytest.raises(TrialFailed, match=r"the model collapsed, the mean cosine of two items is .*items_lr"):
        train(prepared(num_epochs=5), items_lr=0.1)


@pytest.mark.parametrize(
    ("rank", "words"),
    [(math.nan, "ranks are no finite numbers .*items_lr"), (0.5, "all results rank alike in 100% of the sessions")],
)
def test_a_trial_whose_ranks_have_no_order_fails_and_is_not_judged_by_the_order_of_the_log(
    prepared: Prepare, rank: float, words: str
) -> None:
    task = prepared()

    def ranker(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        ranks = COSINE_SIMILARITY(queries, items)
        return ranks if torch.is_grad_enabled() else torch.full_like(ranks, rank)  # in validations alone

    task.start.scores()
    task.ranker = ranker
    with pytest.raises(TrialFailed, match=words):
        train(task)


def test_a_start_version_whose_ranks_are_no_numbers_is_told_before_anything_is_trained(
    tiny: Path, tmp_path: Path
) -> None:
    catalogue, split = world(sessions=90)
    settings = Settings(precision="FP32", ranker="COSINE_SIMILARITY")
    broken = replace(choose_parts(settings), ranker=lambda q, i: torch.full((len(q), len(i)), math.inf))
    with pytest.raises(RanksNotFinite, match=r"the start version, before any training: .* ranks are no finite numbers"):
        prepare(tiny, catalogue, split, resolve_settings(settings), broken, tmp_path, lambda: None)


def test_a_trial_that_diverges_fails_and_says_what_to_lower(prepared: Prepare) -> None:
    with pytest.raises(TrialFailed, match="items_lr"):
        train(prepared(), items_lr=1e30)


def test_a_trial_that_no_pair_is_left_for_fails_and_says_why(prepared: Prepare) -> None:
    task = prepared(num_epochs=1, loss="ProbMarginRankingLoss")
    with pytest.raises(TrialFailed, match="no example was fed: ranks of clicked and unclicked results differ by"):
        train(task, max_abs_difference_threshold=1e-9)


def test_ranks_of_any_size_are_learned_from(prepared: Prepare) -> None:
    task = prepared(num_epochs=1, loss="ProbMarginRankingLoss")
    wide = replace(task, ranker=lambda queries, items: 1000 * queries @ items.T)
    assert train(wide).history[-1].train_loss != 0


def test_a_stop_ends_the_trial_between_steps(prepared: Prepare) -> None:
    stop = Event()
    timer = Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(Stopped):
        train(prepared(num_epochs=1000, early_stopping=EarlyStopping(patience=1000)), stop=stop)


def test_the_learning_rate_falls_after_step_size_optimizer_steps(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *args: object, **kwargs: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(prepared(num_epochs=1, warmup=0.0, step_size=4, gamma=0.5), items_lr=1e-3)
    assert rates[:10] == pytest.approx([1e-3] * 4 + [5e-4] * 4 + [2.5e-4] * 2)


def test_confidences_are_computed_over_the_whole_list_of_each_session(prepared: Prepare) -> None:
    task = prepared(confidence_calculator="calculate_confidences")
    assert len(task.confidences) == len(task.train.items)
    first = task.confidences[task.train.span(0)]
    assert first.min() == 0.0
    assert first.max() == 1.0
