"""A small random encoder and a world with something to learn, for tests of the training itself."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from bluetune_api.records import Trial
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.training.encoder import Encoder

TOPICS = ("apple", "river", "engine", "violin", "winter", "market", "garden", "planet", "bridge", "harbour")
CODES = ("zip", "mog", "dax", "wug", "fep", "lut", "kiv", "toma", "blick", "gorp")
"""What people type for each topic: the encoder cannot know."""


def write_tiny_encoder(folder: Path, minilm: Path, *, layers: int = 3, width: int = 32, seed: int = 0) -> Path:
    """A random BERT with a real tokenizer, in our layout."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    Encoder(BertModel(config), tokenizer, max_tokens=64).save(folder)
    return folder


def world(sessions: int = 200, seed: int = 0, items: int = 120) -> tuple[Catalogue, Split]:
    """Items of ten topics; people type a code word and click the items of its topic."""
    random = np.random.default_rng(seed)
    topic_of = random.integers(0, len(TOPICS), items)
    texts = [
        f"{TOPICS[t]} {' '.join(random.choice(TOPICS, random.integers(0, 3)))} {i}" for i, t in enumerate(topic_of)
    ]
    ids = [f"item-{i}" for i in range(items)]

    def part(count: int, variants: tuple[str, ...]) -> Sessions:
        queries, shown, clicked = [], [], []
        for _ in range(count):
            topic = int(random.integers(len(TOPICS)))
            queries.append(f"{random.choice(variants)} {CODES[topic]}")
            own = np.flatnonzero(topic_of == topic)
            results = np.unique(np.concatenate([random.choice(own, 2), random.choice(items, 8)]))
            results = random.permutation(results)
            shown.append(results)
            clicked.append(topic_of[results] == topic)
        lengths = [len(results) for results in shown]
        return Sessions(
            queries=queries,
            items=np.concatenate(shown).astype(np.int32),
            clicked=np.concatenate(clicked),
            offsets=np.cumsum([0, *lengths]).astype(np.int64),
        )

    split = Split(part(sessions, ("find", "show", "good")), part(60, ("want",)), part(60, ("some",)))
    return Catalogue(ids, texts, {item: i for i, item in enumerate(ids)}), split


@dataclass
class FolderTrials:
    """Trials on disk, as plain as can be."""

    folder: Path
    written: list[Trial] = field(default_factory=list)

    def finished(self) -> list[Trial]:
        return [Trial.model_validate_json(path.read_text()) for path in self.folder.glob("*.json")]

    def record(self, trial: Trial, model: Path | None) -> None:
        if model is not None:
            shutil.copytree(model, self.folder / f"best-{trial.trial}")
        path = self.folder / f"{trial.trial}.json"
        assert not path.exists(), "a finished trial ran again"
        path.write_text(trial.model_dump_json(by_alias=True))
        self.written.append(trial)

    def waiting(self) -> list[Trial]:
        ended = {trial.trial for trial in self.finished()}
        paths = sorted((self.folder / "rungs").glob("*.json"))  # a later rung replaces an earlier one
        found = {t.trial: t for t in (Trial.model_validate_json(path.read_text()) for path in paths)}
        return [trial for number, trial in found.items() if number not in ended]

    def record_rung(self, trial: Trial) -> None:
        (self.folder / "rungs").mkdir(exist_ok=True)
        path = self.folder / "rungs" / f"{trial.trial:03d}-{len(trial.rungs)}.json"
        path.write_text(trial.model_dump_json(by_alias=True))

    def keep_checkpoint(self, trial: int, path: Path) -> None:
        shutil.copy(path, self.folder / f"{trial}.safetensors")

    def fetch_checkpoint(self, trial: int, path: Path) -> None:
        if (self.folder / f"{trial}.safetensors").exists():
            shutil.copy(self.folder / f"{trial}.safetensors", path)

    def fetch_best(self, trial: int, into: Path) -> None:
        shutil.copytree(self.folder / f"best-{trial}", into, dirs_exist_ok=True)
