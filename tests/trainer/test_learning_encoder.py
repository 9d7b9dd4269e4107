"""The encoder against sentence-transformers and transformers, on a real model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.pooling import Pooling

TEXTS = ["hello world", "a longer text with more words in it " * 60, "x", "hello world", "", "  Ünïcode – and 数字 42"]


@pytest.fixture(scope="module")
def saved(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    Encoder.load(minilm, query_prompt="query: ").save(folder)
    return folder


def test_sentence_transformers_opens_what_was_saved_and_gives_the_same_vectors(minilm: Path, saved: Path) -> None:
    from sentence_transformers import SentenceTransformer

    ours = Encoder.load(saved)
    theirs = SentenceTransformer(str(saved), device="cpu")
    np.testing.assert_allclose(theirs.encode(TEXTS), ours.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(theirs.encode(TEXTS, prompt_name="query"), ours.encode(TEXTS, "query"), atol=1e-5)
    original = SentenceTransformer(str(minilm), device="cpu")
    np.testing.assert_allclose(original.encode(TEXTS), ours.encode(TEXTS), atol=1e-5)


def test_transformers_opens_what_was_saved_and_gives_the_same_vectors(saved: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(saved), AutoModel.from_pretrained(saved).eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    np.testing.assert_allclose(pooled.numpy(), Encoder.load(saved).encode(TEXTS), atol=1e-5)


def test_padding_changes_no_vector(minilm: Path) -> None:
    encoder = Encoder.load(minilm)
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_what_is_saved_is_the_same_bytes_wherever_it_came_from(saved: Path, tmp_path: Path) -> None:
    Encoder.load(saved).save(tmp_path / "again")
    names = sorted(p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file())
    assert "model.safetensors" in names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name
        if name.endswith(".json"):
            assert str(saved) not in (saved / name).read_text()


def test_prompts_and_window_are_part_of_the_version(minilm: Path, tmp_path: Path) -> None:
    Encoder.load(minilm, query_prompt="query: ", item_prompt="passage: ", max_tokens=16).save(tmp_path)
    encoder = Encoder.load(tmp_path)
    assert (encoder.query_prompt, encoder.item_prompt, encoder.max_tokens) == ("query: ", "passage: ", 16)
    plain = Encoder.load(tmp_path, query_prompt="", item_prompt="")
    np.testing.assert_allclose(encoder.encode(["a"], "item"), plain.encode(["passage: a"], "item"), atol=1e-6)
    np.testing.assert_allclose(encoder.encode(["a"], "query"), plain.encode(["query: a"], "query"), atol=1e-6)


def test_cls_pooling_takes_the_first_token(saved: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(saved)
    encoder.pooling = Pooling(("cls",))
    encoder.save(tmp_path)
    assert Encoder.load(tmp_path).pooling == Pooling(("cls",))
    assert not np.allclose(
        Encoder.load(tmp_path).encode(["some words"]), Encoder.load(saved).encode(["some words"]), atol=1e-2
    )


def test_a_folder_without_a_model_and_a_window_beyond_its_positions_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match=r"config\.json is missing"):
        Encoder.load(tmp_path)
    with pytest.raises(PlanInvalid, match=r"settings\.maxTokens is 9999, but the model's window has 512 tokens"):
        Encoder.load(saved, max_tokens=9999)
