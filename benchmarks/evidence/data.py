"""Judged search data as arrays: Semanlink, or a folder with `items.jsonl` and `judgments.jsonl`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from semanlink.base import base_folder
from semanlink.bm25 import BM25

from bluetune_trainer.data.splits import normalised
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.precision import bf16_pays
from semanlink import dataset

Matrix = NDArray[np.float32]
MAX_TOKENS = 64
MIN_RELEVANT = 1
LEARN_SHARE = 0.3


@dataclass(frozen=True)
class Judged:
    """Q judged queries over N documents, and how two rankers score them. Some of the queries are to learn from."""

    name: str
    grades: Matrix
    """[Q, N], scaled to at most 1."""
    learn: NDArray[np.bool_]
    """Q: candidates may learn from these; logs and truth of the comparison are of the others."""
    items: Matrix
    """[N, dimension] unit vectors by the start model."""
    queries: Matrix
    """[Q, dimension]."""
    lexical: Matrix
    """[Q, N] scores of BM25."""


def semanlink(work: Path) -> Judged:
    """The tags that clicks are made for; the unseen ones are the quality benchmark's alone."""
    data = dataset.load()
    seen = data.judgments.split(0).seen
    queries, relevant = list(seen.queries), seen.relevant
    grades = np.zeros((len(queries), len(data.documents)), np.float32)
    for row, found in enumerate(relevant):
        grades[row, list(found)] = 1
    return _judged("semanlink", [d.text for d in data.documents], queries, grades, work)


def folder(path: Path, work: Path) -> Judged:
    """A catalogue (`item_id`, `title`, `description`) and its judgments (`query`, `object_id`, `grade`)."""
    items = [json.loads(line) for line in (path / "items.jsonl").read_text().splitlines()]
    place = {str(item["item_id"]): i for i, item in enumerate(items)}
    texts = [". ".join(item[k] for k in ("title", "description") if item.get(k)) for item in items]
    grades: dict[str, dict[int, float]] = {}
    for file in sorted(path.glob("judgments*.jsonl")):
        if "llm" in file.name:
            continue
        for line in file.read_text().splitlines():
            one = json.loads(line)
            if (item := place.get(str(one["object_id"]))) is not None:
                grades.setdefault(one["query"], {})[item] = float(one["grade"])
    queries = sorted(q for q, found in grades.items() if sum(g > 0 for g in found.values()) >= MIN_RELEVANT)
    table = np.zeros((len(queries), len(items)), np.float32)
    for row, query in enumerate(queries):
        for item, grade in grades[query].items():
            table[row, item] = grade
    return _judged(path.name, texts, queries, table / table.max(), work)


def _judged(name: str, texts: list[str], queries: list[str], grades: Matrix, work: Path) -> Judged:
    path = work / f"{name}.npz"
    if not path.exists():
        encoder = Encoder.load(base_folder(), max_tokens=MAX_TOKENS)
        items = encoder.encode(texts, "item", bf16=bf16_pays("cpu"))
        keywords = BM25(texts)
        lexical = np.stack([keywords.scores(query) for query in queries]).astype(np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, items=items, queries=encoder.encode(queries, "query"), lexical=lexical)
    kept = np.load(path)
    learn = np.array(
        [hashlib.sha256(f"learn:{normalised(q)}".encode()).digest()[0] < LEARN_SHARE * 256 for q in queries]
    )
    return Judged(name, grades, learn, kept["items"], kept["queries"], kept["lexical"])


def ndcg(scores: Matrix, grades: Matrix) -> NDArray[np.float64]:
    """NDCG@10 of each query, gain linear in the grade. Both [Q, N]."""
    discount = 1 / np.log2(np.arange(10) + 2)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ideal = -np.sort(-grades, axis=1)[:, :10]
    return (np.take_along_axis(grades, best, 1) * discount).sum(1) / (ideal * discount).sum(1)
