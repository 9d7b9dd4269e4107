"""Our columns: `bluetune-trainer run` on manifests, as a user would call it, with the settings that users get."""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from semanlink.base import base_folder
from semanlink.clicks import jsonl

from bluetune_api.method import Settings
from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Gate, Serving
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Result
from bluetune_api.store_layout import batch_marker
from bluetune_operator.core.tasks.gate import promotion
from bluetune_trainer.data.splits import HELD_OUT_SHARE, VALIDATION_SHARE
from bluetune_trainer.store.versions import download_version
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.steps import plan_steps
from quality.worlds import World
from semanlink import dataset

MAX_TOKENS = 64
"""Of every column: Semanlink's texts have 37 tokens on average, and one in eight is longer than this."""
BATCH = "simulated"


@dataclass(frozen=True)
class Trained:
    """What a run left."""

    model: Path
    result: Result
    seconds: float
    processor_seconds: float


def train(
    here: World, sessions: list[dict[str, Any]], work: Path, *, seed: int, trials: int, method: dict[str, Any]
) -> Trained:
    """Put the data into a store of its own, run, and fetch the version.

    Args:
        trials: 1 is the preset's first point and no search.
        method: of its spec, settings and initialParams beyond the window and the seed.
    """
    store = LocalStore(work / "store")
    store.put("items/items.jsonl", dataset.items_jsonl(here.catalogue))
    store.put(f"clickstream/{BATCH}/sessions.jsonl", jsonl(sessions))
    store.put(batch_marker(BATCH), b"")
    path = work / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(_manifests(seed, trials, method)))
    trainer = [str(Path(sys.executable).parent / "bluetune-trainer"), "run"]
    began, busy = time.monotonic(), _children()
    done = subprocess.run([*trainer, "-f", str(path), "--store", str(work / "store")], capture_output=True, text=True)
    seconds, processor = time.monotonic() - began, _children() - busy
    if done.returncode:
        raise RuntimeError(f"the training ended with {done.returncode}:\n{done.stderr[-3000:]}")
    result = next(r for r in _results(work / "store") if r.kind == "Train")
    download_version(store, result.version, work / "model")
    return Trained(work / "model", result, seconds, processor)


PRESET = resolve_settings(Settings())


def steps_of_default(sessions: int) -> int:
    """Optimizer steps of one training with the preset; of the sessions a fifth is kept for validation and gate."""
    return plan_steps(round((1 - VALIDATION_SHARE - HELD_OUT_SHARE) * sessions), PRESET).steps


def decision(result: Result, gate: Gate) -> dict[str, str]:
    """What the operator makes of the run when the model's gate is this one."""
    assert result.parent is not None
    live = CurrentVersion(
        version=result.parent,
        uri="s3://benchmark/live/",
        digest="sha256:" + 64 * "0",
        promoted_at="2026-01-01T00:00:00Z",
    )
    said = promotion(
        wanted=True,
        result=result,
        live_version=live.version,
        serving=Serving(deployment="search", container="search", gate=gate),
        model=EmbeddingModelStatus(current=live),
    )
    return {"promoted": said.promoted, "reason": said.reason, "message": said.message}


def _manifests(seed: int, trials: int, given: dict[str, Any]) -> list[dict[str, Any]]:
    def of(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": name, "namespace": "benchmark"}
        return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}

    settings = {"maxTokens": MAX_TOKENS, "seed": seed, **given.get("settings", {})}
    method = {**given, "settings": settings, "initialMaxEvals": trials}
    location = {"endpoint": "localhost:9000", "secure": False, "bucket": "benchmark", "prefix": "semanlink"}
    model = {
        "base": {"uri": str(base_folder())},
        "methodRef": {"name": "semanlink"},
        "store": {**location, "credentialsSecretRef": {"name": "store"}},
    }
    task = {"modelRef": {"name": "semanlink"}, "batchId": BATCH}
    return [
        of("FineTuningMethod", "semanlink", method),
        of("EmbeddingModel", "semanlink", model),
        of("FineTuningTask", "semanlink", task),
    ]


def _results(store: Path) -> list[Result]:
    return [Result.model_validate(json.loads(path.read_text())) for path in (store / "runs").glob("*/result.json")]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
