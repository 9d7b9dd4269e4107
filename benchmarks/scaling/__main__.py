"""What workers save: 16 small trials with 1, 2 and 4 workers here, and a simulation of 1 to 64 GPUs from their times.

    .venv/bin/python benchmarks/scaling [--sessions 600] [--workers 1 2 4] [--out DIR]

A small random BERT learns from sessions whose queries are code words. Each process computes with one thread, so that
all runs must come to the same digest, which is checked. Of a run's time, `search` is that from the begin of the first
trial to the end of the last one, and `overhead` is what the rest of the command takes beyond what it takes with one
worker: Ray, the workers and their copies of the data. The simulation plays the search's own order of trials; `idle` is
the share of the workers' time that they wait for others, by the rung that the others train up to.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

from bluetune_api.objectstore import LocalStore  # noqa: E402 - the path comes first
from bluetune_api.records import Result, Trial  # noqa: E402
from bluetune_api.store_layout import batch_marker  # noqa: E402
from machine import machine  # noqa: E402
from scaling.simulate import Schedule, of_measured  # noqa: E402
from search_cost import World, generated  # noqa: E402

TRIALS = 16
GPUS = (1, 2, 4, 8, 16, 32, 64)
SIMULATED = ((8, True), (64, True), (64, False))
"""Trials, and whether with halving."""


@dataclass(frozen=True)
class Measured:
    """A run with so many workers."""

    workers: int
    seconds: float
    """Of the command."""
    search: float
    """From the begin of the first trial to the end of the last one."""
    trained: float
    """Seconds of all trials."""
    digest: str


def run(world: World, work: Path, workers: int) -> tuple[Measured, list[float]]:
    """Run the search in a store of its own. With it, the seconds of a full training by the pace of each trial."""
    store = LocalStore(work / "store")
    store.put("items/items.jsonl", world.items)
    store.put("clickstream/simulated/sessions.jsonl", world.sessions)
    store.put(batch_marker("simulated"), b"")
    manifests = work / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(_manifests(world)))
    command = [str(Path(sys.executable).parent / "bluetune-trainer"), "run", "-f", str(manifests)]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--store", str(work / "store"), "--workers", str(workers)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"the run ended with {done.returncode}:\n{done.stderr[-3000:]}")
    (path,) = (p for p in (work / "store" / "runs").glob("*/result.json") if '"Train"' in p.read_text())
    result = Result.model_validate_json(path.read_bytes())
    files = [p for folder in ("rungs", "trials") for p in (path.parent / folder).rglob("*.json")]
    first = min(files, key=lambda p: p.stat().st_mtime)
    last = max(files, key=lambda p: p.stat().st_mtime)
    trials = [Trial.model_validate_json(p.read_bytes()) for p in (path.parent / "trials").glob("*.json")]
    assert len(trials) == TRIALS
    search = last.stat().st_mtime - first.stat().st_mtime + Trial.model_validate_json(first.read_bytes()).seconds
    epochs = float(world.method["settings"]["numEpochs"])
    paces = [trial.seconds / trial.epochs * epochs for trial in trials]
    trained = sum(trial.seconds for trial in trials)
    return Measured(workers, round(seconds, 1), round(search, 1), round(trained, 1), str(result.digest)), paces


def _manifests(world: World) -> list[dict[str, Any]]:
    def of(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": "scaling", "namespace": "benchmark"}
        return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}

    store = {"endpoint": "localhost:9000", "bucket": "benchmark", "credentialsSecretRef": {"name": "store"}}
    serving = {"deployment": "search", "container": "server", "gate": {"folds": 2}}
    model = {"base": {"uri": str(world.base)}, "methodRef": {"name": "scaling"}, "store": store, "serving": serving}
    return [
        of("FineTuningMethod", {**world.method, "initialMaxEvals": TRIALS}),
        of("EmbeddingModel", model),
        of("FineTuningTask", {"modelRef": {"name": "scaling"}, "batchId": "simulated"}),
    ]


def simulated(paces: Sequence[float]) -> list[dict[str, Any]]:
    """Searches of more trials than were measured, on 1 to 64 GPUs."""
    return [
        {
            "trials": trials,
            "halving": halving,
            "schedules": [_row(s) for s in of_measured(paces, trials, GPUS, halving=halving)],
        }
        for trials, halving in SIMULATED
    ]


def _row(found: Schedule) -> dict[str, Any]:
    whole = found.workers * found.wall
    return {
        "workers": found.workers,
        "seconds": round(found.wall, 1),
        "efficiency": round(found.efficiency, 3),
        "idle": {level: round(seconds / whole, 3) for level, seconds in found.idle.items()},
    }


def table(runs: Sequence[Measured], searches: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    alone = runs[0]
    lines = ["| workers | command s | search s | overhead s | times as fast, search |", "|---|---|---|---|---|"]
    for one in runs:
        overhead = one.seconds - one.search - (alone.seconds - alone.search)
        faster = alone.search / one.search
        lines.append(f"| {one.workers} | {one.seconds:.0f} | {one.search:.0f} | {overhead:.0f} | {faster:.2f} |")
    for search in searches:
        first = search["schedules"][0]["seconds"]
        named = "halving" if search["halving"] else "no halving"
        lines += ["", f"| {search['trials']} trials, {named}: GPUs | times as fast | efficiency | idle, by rung |"]
        lines += ["|---|---|---|---|"]
        for row in search["schedules"]:
            idle = ", ".join(f"{level}: {share:.0%}" for level, share in row["idle"].items() if share >= 0.005)
            lines.append(
                f"| {row['workers']} | {first / row['seconds']:.2f} | {row['efficiency']:.0%} | {idle or 'none'} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, simulate, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=600)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    runs: list[Measured] = []
    paces: list[float] = []
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="bluetune-scaling-") as scratch:
        world = generated(options.sessions, 0, Path(scratch) / "base")
        for workers in options.workers:
            work = Path(scratch) / str(workers)
            work.mkdir()
            measured, found = run(world, work, workers)
            paces = paces or found
            runs.append(measured)
            print(measured, flush=True)
    assert len({one.digest for one in runs}) == 1, "the number of workers changed the result"
    searches = simulated(paces)
    content = {
        "trials": TRIALS,
        "sessions": options.sessions,
        "machine": {**machine(1, False), "load": [round(value, 1) for value in load]},
        "runs": [asdict(one) for one in runs],
        "fullTrainingSeconds": [round(pace, 2) for pace in paces],
        "simulated": searches,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scaling.json").write_text(json.dumps(content, indent=1) + "\n")
    print(table(runs, searches))


if __name__ == "__main__":
    main()
