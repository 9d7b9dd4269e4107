"""Every column on a judged set: what learns nothing once, what learns for each seed, and their table."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from semanlink.base import base_folder
from semanlink.bm25 import BM25

from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.precision import bf16_pays
from quality import baselines, judged, ours
from quality.report import interval

COLUMNS = ("zero-shot", "BM25", "their sum", "oracle", "sentence-transformers, equal steps", "bluetune, default")
LEARNING = COLUMNS[3:]

Scores = dict[str, list[NDArray[np.float64]]]
"""Column → NDCG@10 of each unseen query, for each seed; once where nothing is learned."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    seeds: Sequence[int]
    max_items: int
    max_queries: int
    max_tokens: int
    columns: Sequence[str] = COLUMNS


def measure(folder: Path, how: judged.Logging, options: Options) -> dict[str, Any]:
    """All columns of a set."""
    here = judged.load(folder, options.max_items, options.max_queries)
    texts = [document.text for document in here.world.catalogue]
    index = BM25(texts)
    words = [np.stack([index.scores(q) for q in j.queries]) for j in (here.world.clicked, here.world.scored)]
    start = Encoder.load(base_folder(), max_tokens=options.max_tokens)
    vectors = start.encode(texts, "item")
    cosines = [start.encode(j.queries, "query") @ vectors.T for j in (here.world.clicked, here.world.scored)]
    added = judged.standardised(cosines[1]) + judged.standardised(words[1])
    fixed = {"zero-shot": cosines[1], "BM25": words[1], "their sum": added}
    found: Scores = {name: [judged.ndcg(scores, here.unseen_grades)] for name, scores in fixed.items()}
    for seed in options.seeds:
        sessions = judged.clicked_sessions(here, cosines[0], words[0], how, seed)
        for column in (c for c in LEARNING if c in options.columns):
            learned = sessions
            if column == "oracle":
                learned = judged.oracle_sessions(here, words[0], how.sessions, seed)
            ranked = _learned(column, here, learned, options, seed)
            found.setdefault(column, []).append(judged.ndcg(ranked, here.unseen_grades))
            print(f"{here.name}, seed {seed}: {found[column][-1].mean():.4f}  {column}", flush=True)
    return {
        "set": here.name,
        "items": len(texts),
        "queries": {"learn": len(here.learn_grades), "unseen": len(here.unseen_grades)},
        "logging": asdict(how),
        "max_tokens": options.max_tokens,
        "seeds": list(options.seeds),
        "columns": {name: row(found, name) for name in COLUMNS if name in found},
    }


def row(found: Scores, column: str) -> dict[str, Any]:
    """A column's mean, and its paired differences to the columns to beat: means over seeds, intervals over queries."""
    mean = np.mean(found[column], axis=0)
    against = {}
    for other in ("zero-shot", "BM25", "sentence-transformers, equal steps"):
        if other != column and other in found:
            difference = mean - np.mean(found[other], axis=0)
            low, high = interval(difference)
            against[other] = {"delta": round(float(difference.mean()), 4), "low": round(low, 4), "high": round(high, 4)}
    return {"ndcg@10": round(float(mean.mean()), 4), "against": against}


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each set."""
    lines = ["| | " + " | ".join(COLUMNS) + " | against zero-shot | against sentence-transformers |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    for one in measured:
        cells = [f"{one['columns'][c]['ndcg@10']:.4f}" if c in one["columns"] else "" for c in COLUMNS]
        against = one["columns"].get(COLUMNS[-1], {"against": {}})["against"]
        cells += [_said(against.get(other)) for other in (COLUMNS[0], COLUMNS[4])]
        lines.append(f"| {one['set']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _said(difference: dict[str, float] | None) -> str:
    if difference is None:
        return ""
    return f"{difference['delta']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"


def _learned(
    column: str, here: judged.JudgedSet, sessions: list[dict[str, Any]], options: Options, seed: int
) -> NDArray[np.float64]:
    """Unseen queries × catalogue, by a model that learned from these sessions."""
    texts = [document.text for document in here.world.ranked]
    if column.startswith("sentence-transformers"):
        tuned = baselines.tune(
            here.world.catalogue,
            sessions,
            baselines.Budget(steps=ours.steps_of_default(len(sessions))),
            seed=seed,
            batch_size=ours.PRESET.batch_size,
            max_tokens=options.max_tokens,
            bf16=bf16_pays("cpu"),
        ).model
        queries = tuned.encode(list(here.world.scored.queries), normalize_embeddings=True)
        return np.asarray(queries @ tuned.encode(texts, normalize_embeddings=True).T)
    with tempfile.TemporaryDirectory(prefix="bluetune-judged-") as scratch:
        settings = {"settings": {"maxTokens": options.max_tokens}}
        trained = ours.train(here.world, sessions, Path(scratch), seed=seed, trials=1, method=settings)
        encoder = Encoder.load(trained.model, max_tokens=options.max_tokens)
    return np.asarray(encoder.encode(here.world.scored.queries, "query") @ encoder.encode(texts, "item").T)
