"""One measurement: what it depends on, and where its result is kept so that a second run does not measure it again."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from quality.worlds import Clicks, Logger, SplitName

Column = Literal["bm25", "zero_shot", "st_steps", "st_time", "document_loss", "clicks_only", "default", "search"]


@dataclass(frozen=True, order=True)
class Cell:
    """A column in a setting."""

    column: Column
    split: SplitName = "tags"
    sessions: int = 1257
    """With a click."""
    logger: Logger = "both"
    clicks: Clicks = "model"
    seed: int = 0

    def measured_as(self) -> "Cell":
        """The cell itself; of a column that learns nothing, the one that stands for all clicks and seeds."""
        return Cell(self.column, self.split) if self.column in ("bm25", "zero_shot") else self

    def setting(self) -> tuple[str, int, str, str]:
        """What cells of different columns and seeds have in common."""
        return self.split, self.sessions, self.logger, self.clicks


@dataclass(frozen=True)
class Measured:
    """What a cell came to."""

    ndcg: list[float]
    """NDCG@10 of each scored query."""
    mrr: float
    recall: float
    seconds: float = 0.0
    """Wall clock of the training."""
    processor_seconds: float = 0.0
    """Processor time of the training, of all threads."""
    more: dict[str, Any] | None = None
    """Whatever else is worth keeping: steps, parameters, the gate's report."""


def fingerprint(*folders: Path) -> str:
    """A hash of Python sources."""
    found = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (folder.rglob("*.py") if folder.is_dir() else [folder])):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def cached(folder: Path, cell: Cell, code: str, measure: Callable[[], Measured]) -> Measured:
    """The cell's result for this code, measured now if it is not there."""
    cell = cell.measured_as()
    key = hashlib.sha256(json.dumps([asdict(cell), code], sort_keys=True).encode()).hexdigest()[:20]
    path = folder / f"{cell.column}-{key}.json"
    if path.exists():
        return Measured(**json.loads(path.read_text())["measured"])
    measured = measure()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"cell": asdict(cell), "code": code, "measured": asdict(measured)}))
    os.replace(part, path)
    return measured
