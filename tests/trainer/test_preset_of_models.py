"""What the preset reads off a model that was opened, and that a run without parameters trains it."""

import json
from pathlib import Path

import pytest
from transformers import AlbertConfig, AlbertModel, AutoTokenizer

from bluetune_api.method import Lora, Settings
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.params import TrainingSettings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.preset import Subject
from bluetune_trainer.training.subject import subject_of
from bluetune_trainer.training.two_towers import TwoTowers
from trainer.learning_world import write_tiny_encoder
from trainer.shop import write_shop


def subject(model: Model, settings: Settings | None = None, **training: object) -> Subject:
    parts = choose_parts(settings or Settings())
    return subject_of(model, TrainingSettings(**training), parts)  # type: ignore[arg-type]


def write_albert(folder: Path, minilm: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    sizes = {"embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4}
    config = AlbertConfig(
        vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=64, num_hidden_groups=1, **sizes
    )
    Encoder(AlbertModel(config), tokenizer, max_tokens=64).save(folder)
    return folder


def test_layers_and_width_are_the_models(tmp_path: Path, minilm: Path) -> None:
    model = Encoder.load(write_tiny_encoder(tmp_path / "tiny", minilm, layers=4, width=32))
    assert subject(model) == Subject(layers=4, width=32)
    assert subject(TwoTowers.of(model)) == Subject(layers=4, width=32, two_towers=True)
    assert subject(model, lora=Lora()) == Subject(layers=4, width=32, lora=True)
    assert subject(Encoder.load(minilm)) == Subject(layers=6, width=384)


def test_layers_that_share_their_weights_cannot_be_frozen_one_by_one(tmp_path: Path, minilm: Path) -> None:
    model = Encoder.load(write_albert(tmp_path / "albert", minilm))
    assert subject(model) == Subject(layers=6, width=32, freezable=False)


@pytest.mark.parametrize(
    ("loss", "has"),
    [("ListwiseSoftmaxLoss", True), ("InfoNCELoss", True), ("CosineProbMarginRankingLoss", False)],
)
def test_a_loss_says_whether_it_has_a_temperature_and_learns_from_phrases(minilm: Path, loss: str, has: bool) -> None:
    found = subject(Encoder.load(minilm), Settings(loss=loss))
    assert (found.temperature, found.phrases) == (has, has)
    assert found.trusts_negatives == (loss == "ListwiseSoftmaxLoss")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", ["two layers", "albert"])
def test_a_method_that_says_nothing_trains_any_model(tmp_path: Path, minilm: Path, family: str) -> None:
    if family == "albert":
        base = write_albert(tmp_path / "base", minilm)
    else:
        base = write_tiny_encoder(tmp_path / "base", minilm, layers=2)
    shop = write_shop(tmp_path, base, sessions=120)
    method = {"plugin": "TextFineTuningMethod", "items": {"textFields": ["title"]}, "initialMaxEvals": 1}
    shop.change(lambda documents: documents["FineTuningMethod"].update(spec=method))
    done = shop.run()
    assert done.returncode == 0, done.stderr
    (trial,) = [json.loads(p.read_bytes()) for p in shop.folder.glob("runs/*/trials/0.json")]
    assert trial["params"]["num_fixed_layers"] == (0 if family == "albert" else 1)
    (report,) = shop.folder.glob("runs/*/report.html")
    named = "The preset gave what nobody named: <code>interpolation</code>, <code>items_lr</code>"
    assert named in report.read_text()
