"""Every family of models is opened, trained and published as sentence-transformers computes it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from bluetune_api.method import Settings
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.activations import ActivationCaches
from bluetune_trainer.training.embedder import freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.freezing import LayerSplit, most_fixed
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.layout import ITEM_PROMPTS
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.opening import open_model
from trainer.model_table import FAMILIES, Family
from trainer.tiny_models import write_family, write_router, write_static

TEXTS = ["?", "red lamp", "a lamp of glass, green or blue, for the desk", "éclair 电动自行车", "long " * 30, "Kettle"]
Vectors = NDArray[np.float32]


def theirs(folder: Path) -> tuple[SentenceTransformer, Vectors, Vectors, Vectors]:
    """The library's model, and its vectors: without a prompt, of queries and of items."""
    model = SentenceTransformer(str(folder), device="cpu")
    item = next((model.prompts[name] for name in ITEM_PROMPTS if model.prompts.get(name)), "")
    vectors = [
        model.encode(TEXTS, batch_size=4, prompt=prompt, task=task)
        for prompt, task in (("", "document"), (model.prompts.get("query") or "", "query"), (item, "document"))
    ]
    return model, vectors[0], vectors[1], vectors[2]


def assert_same(found: Vectors, expected: Vectors) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.linalg.norm(expected, axis=1).mean()


def assert_computes_as_theirs(model: Model, folder: Path) -> Vectors:
    """Ours gives the library's vectors for the folder, for each text alone and beside others; its plain vectors."""
    _, plain, queries, items = theirs(folder)
    assert_same(model.encode(TEXTS, "query"), queries)
    assert_same(model.encode(TEXTS, "item"), items)
    assert_same(np.concatenate([model.encode([text], "item") for text in TEXTS]), items)
    return plain


def one_step(model: Model, depth: int, workdir: Path) -> None:
    """Train a little, with so many frozen layers."""
    table = InputTable(model)
    items, queries = table.add(TEXTS, "item"), table.add(TEXTS[::-1], "query")
    embedder = freeze(table, depth, ActivationCaches(workdir))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    vectors = embedder.embed(np.unique(np.concatenate([items, queries])))
    (vectors * torch.linspace(-1, 1, vectors.shape[1])).sum().backward()
    optimizer.step()


def assert_round_trip(base: Path, workdir: Path, depth: int) -> tuple[Model, SentenceTransformer]:
    """Import, train and publish; the model in memory, and the library's of what was published."""
    original, before, _, _ = theirs(base)
    model = open_model(base, Settings())
    assert_computes_as_theirs(model, base)
    for name in ("imported", "tuned"):
        if name == "tuned":
            one_step(model, depth, workdir / "work")
        model.save(workdir / name)
        after = assert_computes_as_theirs(model, workdir / name)
        if name == "imported":
            assert_same(after, before)
        else:
            assert np.abs(after - before).max() > 1e-3
        assert_computes_as_theirs(open_model(workdir / name, Settings()), workdir / name)
    published = SentenceTransformer(str(workdir / "tuned"), device="cpu")
    assert published.similarity_fn_name == original.similarity_fn_name
    assert published.default_prompt_name == original.default_prompt_name
    assert {name: published.prompts.get(name) for name, text in original.prompts.items() if text} == {
        name: text for name, text in original.prompts.items() if text
    }
    return model, published


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.id)
def test_import_and_a_trained_version_give_the_vectors_of_sentence_transformers(family: Family, tmp_path: Path) -> None:
    base = write_family(tmp_path, family)
    model, published = assert_round_trip(base, tmp_path, depth=1 if family.fixed else 0)
    original = SentenceTransformer(str(base), device="cpu")
    assert [type(module) for module in published] == [type(module) for module in original]
    assert published.max_seq_length == original.max_seq_length
    assert isinstance(model, Encoder)
    how = "packed" if model.packs else "padded" if model.backbone.config._attn_implementation == "bluetune" else "own"
    assert how == family.attention
    assert (most_fixed(model) == 2) == family.fixed
    if family.fixed:
        assert LayerSplit(model, 1).holds() == family.cut
    else:
        with pytest.raises(PlanInvalid, match=r"num_fixed_layers: 1, but .* they share their weights; use 0"):
            LayerSplit(model, 1)


@pytest.mark.parametrize("normalize", [True, False])
def test_static_embeddings(normalize: bool, tmp_path: Path) -> None:
    base = write_static(tmp_path / "base", normalize=normalize)
    model, _ = assert_round_trip(base, tmp_path, depth=0)
    assert most_fixed(model) == 0


def test_a_router_of_two_kinds_of_encoders(tmp_path: Path) -> None:
    static = write_static(tmp_path / "static")
    family = Family("bert", "", {**FAMILIES[0].config, "hidden_size": 16}, "packed")
    base = write_router(tmp_path / "base", static, write_family(tmp_path / "of", family))
    assert_round_trip(base, tmp_path, depth=0)
