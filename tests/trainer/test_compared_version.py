"""A version that is compared: it ranks as a server of it would, and encodes each text once."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from bluetune_api.method import Settings
from bluetune_trainer.search import version as module
from bluetune_trainer.search.version import Version
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import choose_parts
from trainer.learning_world import write_tiny_encoder

TEXTS = ["red lamp", "blue candle", "red lamp " * 10 + "green sofa " * 400, "boat"]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm, layers=1)


def version(folder: Path, **settings: object) -> Version:
    chosen = Settings(precision="FP32", max_tokens=12, **settings)  # type: ignore[arg-type]
    return Version(folder, resolve_settings(chosen), choose_parts(chosen))


def test_a_version_encodes_each_text_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    embed = module.embed_all

    def counted(embedder: Embedder, numbers: NDArray[np.int64], step: None) -> Tensor:
        encoded.extend(numbers.tolist())
        return embed(embedder, numbers, step)

    monkeypatch.setattr(module, "embed_all", counted)
    compared = version(tiny)
    first = compared.scores(["lamp", "boat"], TEXTS[:2])
    again = compared.scores(["boat", "sea", "lamp"], [*TEXTS[1:], TEXTS[0], TEXTS[1]])
    assert len(encoded) == len(set(encoded)) == len({*TEXTS, "lamp", "boat", "sea"})
    assert again[[2, 0]][:, [3, 0]] == pytest.approx(first, abs=1e-6)
    encoder = Encoder.load(tiny)
    expected = encoder.encode(["boat", "sea", "lamp"], "query") @ encoder.encode([*TEXTS[1:], TEXTS[0], TEXTS[1]]).T
    assert again == pytest.approx(expected, abs=1e-5)


def test_items_in_parts_rank_alike_whether_they_are_remembered_or_not(tiny: Path) -> None:
    split = {"long_items": "Split", "parts_rank": "SoftMax"}
    compared = version(tiny, **split)
    compared.scores(["lamp"], TEXTS[:1])
    found = compared.scores(["lamp"], TEXTS)
    assert found == pytest.approx(version(tiny, **split).scores(["lamp"], TEXTS), abs=1e-6)
    assert not np.allclose(found[0, 2], version(tiny).scores(["lamp"], TEXTS)[0, 2], atol=1e-4)


def test_nothing_is_asked_of_no_queries(tiny: Path) -> None:
    assert version(tiny).scores([], TEXTS).shape == (0, 4)
