"""A shop whose visitors use words of their own: small enough for a minute, and there is something to learn."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

JARGON = {
    "glimmer": ("lamp", "lantern", "bulb", "candle"),
    "snugwear": ("sweater", "scarf", "mittens", "cardigan"),
    "rollabout": ("bicycle", "scooter", "skateboard", "tricycle"),
    "brewgear": ("kettle", "teapot", "coffee grinder", "espresso pot"),
    "fixkit": ("hammer", "screwdriver", "wrench", "pliers"),
    "leafpal": ("fern", "cactus", "monstera", "bonsai"),
}
ADJECTIVES = [
    "red",
    "small",
    "cheap",
    "vintage",
    "light",
    "sturdy",
    "blue",
    "modern",
    "gift",
    "travel",
    "large",
    "green",
]
CLICKS_ALONE = {
    "interpolation": {"choice": [1]},
    "phrases_per_session": {"choice": [0]},
    "unclicked_weight": {"choice": [1]},
}
"""Parameters in place of the preset's, for models and runs so small that they have to learn all from a few clicks."""
FOLDS = 2
"""As few as there can be: each is one more training."""
RESULTS = 8
SECONDS = 500


@dataclass(frozen=True)
class Shop:
    """A folder that stands for a model's prefix, and the manifests of a run on it."""

    folder: Path
    manifests: Path
    base: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bluetune_trainer.cli.main", *arguments]

    def run_command(self) -> list[str]:
        return self.command("run", "-f", str(self.manifests), "--store", str(self.folder))

    def environment(self, **extra: str) -> dict[str, str]:
        termination = {"BLUETUNE_TERMINATION_LOG": str(self.folder / "termination.json")}
        return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **termination, **extra}

    def run(self, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(**extra)
        return subprocess.run(
            self.run_command(), capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
        )

    def termination(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "termination.json").read_text())
        return found

    def documents(self) -> dict[str, dict[str, Any]]:
        """The manifests, by kind."""
        return {document["kind"]: document for document in yaml.safe_load_all(self.manifests.read_text())}

    def objects(self) -> dict[str, bytes]:
        """What stands below the model's prefix, by key."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def change(self, edit: Callable[[dict[str, dict[str, Any]]], None]) -> None:
        """Edit the manifests, by kind."""
        documents = self.documents()
        edit(documents)
        self.manifests.write_text(yaml.safe_dump_all(documents.values()))


def write_shop(root: Path, base: Path, *, sessions: int = 240, seed: int = 0) -> Shop:
    """Items, one batch of clicks, and three manifests."""
    rng = random.Random(seed)
    folder = root / "store"
    items = [
        {"item_id": f"{kind}-{noun}-{adjective}".replace(" ", "-"), "title": f"{adjective} {noun}", "kind": kind}
        for kind, nouns in JARGON.items()
        for noun in nouns
        for adjective in ADJECTIVES
    ]
    batch = folder / "clickstream" / "monday"
    batch.mkdir(parents=True)
    (folder / "items").mkdir()
    (folder / "items" / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    lines = []
    for number in range(sessions):
        kind = rng.choice(sorted(JARGON))
        relevant = rng.sample([i for i in items if i["kind"] == kind], 2)
        shown = relevant + rng.sample([i for i in items if i["kind"] != kind], RESULTS - 2)
        rng.shuffle(shown)
        clicked = [i for i in shown if i["kind"] == kind]
        lines.append(
            {
                "session_id": f"s{number}",
                "search_query": f"{rng.choice(ADJECTIVES)} {rng.choice(ADJECTIVES)} {kind}",
                "created_at": f"2026-03-02T{number // 60 % 24:02d}:{number % 60:02d}:00Z",
                "search_results": [{"object_id": i["item_id"], "rank": rank} for rank, i in enumerate(shown)],
                "events": [_click(f"e{number}-{n}", i["item_id"]) for n, i in enumerate(clicked)],
            }
        )
    (batch / "part-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (batch / "_SUCCESS").touch()
    manifests = root / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(_manifests(base)))
    return Shop(folder, manifests, base)


def _click(event: str, item: str) -> dict[str, Any]:
    return {"event_id": event, "object_id": item, "event_type": "click", "created_at": 1772445600}


def _manifests(base: Path) -> list[dict[str, Any]]:
    def of(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    store = {"endpoint": "minio:9000", "bucket": "shop", "credentialsSecretRef": {"name": "store"}}
    method = {
        "items": {"textFields": ["title"]},
        "settings": {"numEpochs": 1, "batchSize": 16, "testEachNInputs": 1.0, "precision": "FP32", "maxTokens": 32},
        "initialParams": {
            "num_fixed_layers": {"choice": [4]},
            "items_lr": {"choice": [2e-4, 5e-5]},
            **CLICKS_ALONE,
        },
        "initialMaxEvals": 2,
    }
    serving = {"deployment": "blue", "container": "server", "gate": {"folds": FOLDS}}
    model = {"base": {"uri": str(base)}, "methodRef": {"name": "clicks"}, "store": store, "serving": serving}
    return [
        of("EmbeddingModel", "shop", model),
        of("FineTuningMethod", "clicks", method),
        of("FineTuningTask", "first", {"modelRef": {"name": "shop"}, "metadata": {"why": "test"}}),
    ]
