"""What is published opens as it is with sentence-transformers and with transformers, and gives the same vectors."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, CLIPModel, CLIPProcessor

from bluetune_api.method import Settings
from bluetune_trainer.report.card import CardFacts, write_card
from bluetune_trainer.training.clip import Clip
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.opening import open_served
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.pooling import Pooling
from bluetune_trainer.training.task import prepare
from bluetune_trainer.training.trial import run_trial, trial_steps
from bluetune_trainer.training.two_towers import TwoTowers
from trainer.learning_world import world, write_tiny_encoder
from trainer.tiny_clip import picture, write_tiny_clip

TEXTS = ["lamp", "A red lamp, USB-C, 2 m", "électricité 电动自行车", "word " * 100]
LOADERS_WANT = ("config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json")


def plain(folder: Path) -> Encoder:
    return Encoder.load(folder)


def with_cls(folder: Path) -> Encoder:
    encoder = Encoder.load(folder)
    encoder.pooling = Pooling(("cls",))
    return encoder


def with_prompts(folder: Path) -> Encoder:
    return Encoder.load(folder, query_prompt="query: ", item_prompt="passage: ")


def fine_tuned(folder: Path) -> Encoder:
    settings = Settings(precision="FP32", batch_size=20, num_epochs=1)
    catalogue, split = world(sessions=40)
    parts = choose_parts(settings)
    task = prepare(folder, catalogue, split, resolve_settings(settings), parts, folder / "work", lambda: None)
    run = run_trial(
        task,
        TrialParams(num_fixed_layers=1, items_lr=3e-3),
        number=0,
        plan=trial_steps(task),
        on_step=lambda share, epoch, spent: None,
        stop=Event(),
    )
    model = task.new_model()
    before = model.encode(TEXTS)
    model.load_state_dict(run.model_state, strict=False)
    assert np.abs(model.encode(TEXTS) - before).max() > 0.01
    assert isinstance(model, Encoder)
    return model


def with_transformers(folder: Path, texts: list[str]) -> np.ndarray:
    """As the README of a sentence encoder says it: tokenizer, model, pooling, normalisation."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    mask = batch["attention_mask"][..., None].float()
    pooled = states[:, 0] if pooling["pooling_mode_cls_token"] else (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(pooled, dim=-1).numpy()


@pytest.mark.parametrize("make", [plain, with_cls, with_prompts, fine_tuned])
def test_an_encoder_opens_with_both_libraries_and_gives_its_vectors(
    make: Callable[[Path], Encoder], minilm: Path, tmp_path: Path
) -> None:
    encoder = make(write_tiny_encoder(tmp_path / "start", minilm))
    folder = tmp_path / "saved"
    encoder.save(folder)
    assert [name for name in LOADERS_WANT if not (folder / name).is_file()] == []
    theirs = SentenceTransformer(str(folder), device="cpu")
    queries, items = encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "item")
    assert np.abs(theirs.encode_query(TEXTS) - queries).max() < 1e-5
    assert np.abs(theirs.encode_document(TEXTS) - items).max() < 1e-5
    assert np.abs(with_transformers(folder, [encoder.query_prompt + t for t in TEXTS]) - queries).max() < 1e-5
    again = open_served(folder, Settings(max_tokens=8, query_prompt="not this"))
    assert np.array_equal(again.encode(TEXTS, "query"), queries)


def test_minilm_saved_by_us_encodes_as_the_original_does(minilm: Path, tmp_path: Path) -> None:
    Encoder.load(minilm).save(tmp_path)
    ours, original = (SentenceTransformer(str(folder), device="cpu").encode(TEXTS) for folder in (tmp_path, minilm))
    assert np.abs(ours - original).max() < 1e-5
    assert np.abs(with_transformers(tmp_path, TEXTS) - original).max() < 1e-5


def test_two_towers_open_as_a_router_and_each_by_itself(minilm: Path, tmp_path: Path) -> None:
    model = TwoTowers(
        Encoder.load(write_tiny_encoder(tmp_path / "q", minilm, seed=1), query_prompt="query: "),
        Encoder.load(write_tiny_encoder(tmp_path / "i", minilm, seed=2), item_prompt="passage: "),
    )
    folder = tmp_path / "saved"
    model.save(folder)
    queries, items = model.encode(TEXTS, "query"), model.encode(TEXTS, "item")
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert np.abs(theirs.encode_query(TEXTS) - queries).max() < 1e-5
    assert np.abs(theirs.encode_document(TEXTS) - items).max() < 1e-5
    for side, vectors, prompt in (("query", queries, "query: "), ("document", items, "passage: ")):
        assert [name for name in LOADERS_WANT if not (folder / side / name).is_file()] == []
        assert np.abs(with_transformers(folder / side, [prompt + t for t in TEXTS]) - vectors).max() < 1e-5
    theirs.save(str(tmp_path / "theirs"))
    for saved in (folder, tmp_path / "theirs"):
        again = open_served(saved, Settings())
        assert np.array_equal(again.encode(TEXTS, "query"), queries)
        assert np.array_equal(again.encode(TEXTS, "item"), items)


def test_a_clip_model_opens_with_both_libraries_for_texts_and_pictures(tmp_path: Path) -> None:
    model: Model = Clip.load(write_tiny_clip(tmp_path / "start"))
    folder = tmp_path / "saved"
    model.save(folder)
    pictures = [picture(colour, np.random.default_rng(1)) for colour in ("red", "blue")]
    texts = ["a red lamp", "blue", "longer than the twenty-four tokens of its window"]
    uris = []
    for image in pictures:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        uris.append(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    queries, items = model.encode(texts, "query"), model.encode(uris, "item")
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert np.abs(theirs.encode(texts) - queries).max() < 1e-5
    assert np.abs(theirs.encode(pictures) - items).max() < 1e-5
    batch = CLIPProcessor.from_pretrained(folder)(
        text=texts, images=pictures, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        plain = CLIPModel.from_pretrained(folder)(**batch)
    assert np.abs(plain.text_embeds.numpy() - queries).max() < 1e-5
    assert np.abs(plain.image_embeds.numpy() - items).max() < 1e-5
    again = open_served(folder, Settings())
    assert np.array_equal(again.encode(texts, "query"), queries)
    assert np.array_equal(again.encode(uris, "item"), items)


def test_the_cards_example_asks_each_tower_by_its_side(minilm: Path, tmp_path: Path) -> None:
    folders = {"one": tmp_path / "one", "two": tmp_path / "two", "clip": tmp_path / "clip"}
    encoder = Encoder.load(write_tiny_encoder(tmp_path / "q", minilm))
    encoder.save(folders["one"])
    TwoTowers.of(encoder).save(folders["two"])
    Clip.load(write_tiny_clip(tmp_path / "c")).save(folders["clip"])
    for kind, folder in folders.items():
        write_card(folder, CardFacts(dimension=32, query_prompt="", item_prompt=""))
        card = (folder / "README.md").read_text()
        assert 'model.encode_query(["red lamp"])' in card
        assert ('encode_document([Image.open("lamp.jpg")])' in card) == (kind == "clip")
        assert ("AutoModel" in card) == (kind == "one")
