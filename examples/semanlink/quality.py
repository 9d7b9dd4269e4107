"""The demo's quality without a cluster: three seeds through `bluetune-trainer run`, scored against human judgments.

    .venv/bin/python examples/semanlink/quality.py [--seeds 0 1 2] [--sessions 3000] [--work DIR]

Another seed is another split of the tags, other clicks and another training. What is there from an earlier run is used.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from semanlink.base import base_folder
from semanlink.bm25 import BM25

from bluetune_api.objectstore import LocalStore
from bluetune_api.store_layout import batch_marker
from bluetune_trainer.store.versions import download_version
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.precision import bf16_pays
from semanlink import clicks, dataset, metrics

HERE = Path(__file__).parent


def main() -> int:
    """Run the seeds one after the other; print one line for each and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sessions", type=int, default=3000)
    parser.add_argument("--work", type=Path, default=dataset.cache_folder() / "quality")
    options = parser.parse_args()
    torch.set_num_threads(2)
    data, rows = dataset.load(), []
    print("Clicks are simulated from human judgments on seen tags; scores are human judgments on unseen tags.")
    for seed in options.seeds:
        rows.append(_seed(data, seed, options.sessions, options.work / f"{options.sessions}-{seed}"))
        print(json.dumps(rows[-1]), flush=True)
    gains = [row["tuned"] - row["zero_shot"] for row in rows]
    print(f"NDCG@10 over zero-shot: mean {np.mean(gains):+.4f}, least {min(gains):+.4f}")
    return 0 if min(gains) >= 0.03 and all(row["tuned"] > row["bm25"] for row in rows) else 1


def _seed(data: dataset.Semanlink, seed: int, count: int, work: Path) -> dict[str, float]:
    seen, gate, unseen = data.judgments.split(seed)
    texts = [document.text for document in data.documents]
    zero_shot = Encoder.load(base_folder())
    cached = work / "zero-shot.npy"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.save(cached, zero_shot.encode(texts, "item", bf16=bf16_pays("cpu")))
    items = np.load(cached)
    store = LocalStore(work / "store")
    batch = f"simulated-{seed}-{count}"
    if store.stat(batch_marker(batch)) is None:
        cosines = zero_shot.encode(seen.queries, "query") @ items.T
        sessions = clicks.simulate(data.documents, seen, cosines, count=count, seed=seed)
        store.put("items/items.jsonl", dataset.items_jsonl(data.documents))
        store.put("judgments/tags.jsonl", dataset.judgments_jsonl(data.documents, gate))
        store.put(f"clickstream/{batch}/sessions.jsonl", clicks.jsonl(sessions))
        store.put(batch_marker(batch), b"")
    began = time.monotonic()
    version = _train(work, seed)
    seconds = time.monotonic() - began
    download_version(store, version, work / "model")
    tuned = Encoder.load(work / "model")
    tuned_items = tuned.encode(texts, "item", bf16=bf16_pays("cpu"))
    keywords = BM25(texts)
    after, before = _scores(tuned, tuned_items, unseen), _scores(zero_shot, items, unseen)
    bm25 = metrics.score([keywords.top(query, metrics.DEPTH) for query in unseen.queries], unseen.relevant)
    return {
        "seed": seed,
        "unseen_tags": len(unseen),
        "zero_shot": round(before.ndcg, 4),
        "bm25": round(bm25.ndcg, 4),
        "tuned": round(after.ndcg, 4),
        "mrr_before": round(before.mrr, 4),
        "mrr_after": round(after.mrr, 4),
        "recall_before": round(before.recall, 4),
        "recall_after": round(after.recall, 4),
        "train_seconds": round(seconds),
    }


def _train(work: Path, seed: int) -> str:
    """Train by the demo's own manifests, from the base on this machine; returns the version."""
    documents = [
        document for path in sorted(HERE.glob("[234]0-*.yaml")) for document in yaml.safe_load_all(path.read_text())
    ]
    method, model, _ = documents
    model["spec"]["base"]["uri"] = str(base_folder())
    method["spec"]["settings"]["seed"] = seed
    manifests = work / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(documents))
    trainer = [str(Path(sys.executable).parent / "bluetune-trainer"), "run"]
    subprocess.run([*trainer, "-f", str(manifests), "--store", str(work / "store")], check=True)
    results = [json.loads(path.read_text()) for path in (work / "store" / "runs").glob("*/result.json")]
    return str(next(result["version"] for result in results if result["kind"] == "Train"))


def _scores(encoder: Encoder, items: np.ndarray, judgments: dataset.Judgments) -> metrics.Scores:
    cosines = encoder.encode(judgments.queries, "query") @ items.T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : metrics.DEPTH]
    return metrics.score(best.tolist(), judgments.relevant)


if __name__ == "__main__":
    sys.exit(main())
