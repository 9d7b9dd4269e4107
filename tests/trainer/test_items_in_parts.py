"""Items longer than the window, in the table and in a trial."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from bluetune_api.method import Settings
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import Stopped
from bluetune_trainer.training.activations import ActivationCaches
from bluetune_trainer.training.embedder import Embedder, Filling, freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.evaluation import embed_all
from bluetune_trainer.training.filling import FillOrder
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.parts_of_items import split_to_fit
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer.learning_world import CODES, TOPICS, world, write_tiny_encoder

TEXTS = ["lamp", "red lamp " * 20, "green", "blue candle " * 9, "lamp"]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=2)


@pytest.mark.parametrize("depth", [0, 1])
def test_each_part_is_encoded_like_a_text_of_its_own(tiny: Path, tmp_path: Path, depth: int) -> None:
    encoder = Encoder.load(tiny, max_tokens=12, query_prompt="query: ", item_prompt="passage: ")
    table = InputTable(encoder, split=split_to_fit)
    items, queries = table.add(TEXTS, "item"), table.add([TEXTS[1]], "query")
    assert items[0] == items[4]
    numbers = np.array([items[1], queries[0], items[0], items[3]])
    with torch.no_grad():
        vectors = freeze(table, depth, ActivationCaches(tmp_path)).embed(numbers)
    assert embed_all(Embedder(table), numbers).shape == vectors.shape

    def fits(part: str) -> bool:
        return len(encoder.tokenizer("passage: " + part)["input_ids"]) < 12

    for row, text in ((0, TEXTS[1]), (2, TEXTS[0]), (3, TEXTS[3])):
        parts = split_to_fit(text, fits)
        found = vectors[row].numpy()
        assert np.allclose(found[: len(parts)], encoder.encode(parts, "item"), atol=1e-6)
        assert not found[len(parts) :].any()
    assert vectors.shape[1] > 4
    assert np.allclose(vectors[1, 0].numpy(), encoder.encode([TEXTS[1]], "query")[0], atol=1e-6)
    assert not vectors[1, 1:].any()


def test_an_item_is_computed_with_its_chunk_in_all_its_parts_and_a_stop_is_heeded(tiny: Path, tmp_path: Path) -> None:
    table = InputTable(Encoder.load(tiny, max_tokens=12), split=split_to_fit)
    numbers = np.unique(table.add(TEXTS, "item"))
    order = FillOrder()
    order.add_inputs(table, numbers)
    caches = ActivationCaches(tmp_path)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        freeze(table, 1, caches, Filling(order, heed=stop)).embed(numbers[:1])
    embedder = freeze(table, 1, caches, Filling(order))
    embedder.embed(numbers[:1])
    rows, counts = table.rows_of(numbers)
    assert counts is not None
    (cache,) = caches.of([LayerSplit(table.model.tower("item"), 1)], bf16=False)
    assert not len(cache.missing(rows))


def test_without_the_setting_items_are_cut_as_ever(tiny: Path) -> None:
    encoder = Encoder.load(tiny, max_tokens=12)
    table = InputTable(encoder)
    numbers = table.add(TEXTS, "item")
    with torch.no_grad():
        vectors = Embedder(table).embed(np.unique(numbers))
    assert vectors.shape == (4, 32)
    assert np.allclose(vectors.numpy(), encoder.encode(TEXTS[:4]), atol=1e-6)


def buried(filler: int) -> tuple[Catalogue, Split]:
    """The world, with the word that tells an item's topic behind words that tell nothing."""
    catalogue, split = world(sessions=160)
    texts = [f"{'thing ' * filler}{text.split()[0]}" for text in catalogue.texts]
    return Catalogue(catalogue.ids, texts, catalogue.position), split


def train(tiny: Path, workdir: Path, **settings: object) -> tuple[TrainingTask, TrialRun]:
    chosen = Settings(precision="FP32", batch_size=20, num_epochs=5, max_tokens=12, **settings)  # type: ignore[arg-type]
    catalogue, split = buried(filler=25)
    task = prepare(tiny, catalogue, split, resolve_settings(chosen), choose_parts(chosen), workdir, lambda: None)
    run = run_trial(
        task,
        TrialParams(num_fixed_layers=0, items_lr=3e-3, temperature=0.1),
        number=0,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )
    return task, run


def test_what_lies_beyond_the_window_is_learned_from_only_in_parts(tiny: Path, tmp_path: Path) -> None:
    assert len(TOPICS) == len(CODES)
    _, cut = train(tiny, tmp_path / "cut", long_items="Truncate")
    _, parts = train(tiny, tmp_path / "parts", long_items="Split", parts_rank="SoftMax")
    assert parts.metrics["ndcg@10"] > cut.metrics["ndcg@10"] + 0.15
