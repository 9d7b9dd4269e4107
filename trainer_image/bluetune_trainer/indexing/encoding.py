"""One shard of an index: its items' vectors, those that are known taken over, the others encoded."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bluetune_api.index_records import IndexProgress
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.indexing.parts import PartWriter
from bluetune_trainer.indexing.places import BUCKETS
from bluetune_trainer.indexing.spool import ItemSpool, VectorSpool
from bluetune_trainer.store.progress import now
from bluetune_trainer.training.model import Model, ReadFile

log = logging.getLogger(__name__)

BLOCK = 4096
"""Items encoded together: enough that texts of like length meet."""
SECONDS_BETWEEN_LINES = 30.0

Report = Callable[[IndexProgress], None]


@dataclass(frozen=True)
class Encoded:
    """What was written."""

    rows: int
    encoded: int
    """Items that were encoded anew."""


class Speed:
    """How fast items are done, and how long the others take."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._began, self._said = clock(), -SECONDS_BETWEEN_LINES

    def say(self, done: int, total: int) -> None:
        """Report it, and now and then log it."""
        moment = self._clock()
        rate = done / max(moment - self._began, 1e-3)
        left = round((total - done) / rate) if rate > 0 else None
        self._report(
            IndexProgress(
                stage="Encoding",
                done=done,
                total=max(total, done),
                rate=round(rate, 1),
                seconds_left=left,
                updated_at=now(),
            )
        )
        if moment - self._said >= SECONDS_BETWEEN_LINES or done >= total:
            self._said = moment
            log.info("encoding", extra={"items": done, "of": total, "rate": round(rate, 1), "secondsLeft": left})


def encode_shard(
    model: Model,
    version: str,
    items: ItemSpool,
    former: VectorSpool | None,
    path: Path,
    *,
    bf16: bool,
    files: ReadFile,
    report: Report,
    check: Callable[[], None],
) -> Encoded:
    """Write a shard's part.

    Args:
        model: the version.
        former: vectors that it gave before.
        path: of the part.
        files: reads what an item names.
        report: told how far it is.
        check: called between blocks; may raise to stop.

    Raises:
        DataInvalid: an item has a vector that is not finite.
    """
    speed, encoded, total = Speed(report), 0, items.lines
    with PartWriter(path, version, model.dimension) as part:
        for block, lines in _blocks(items, former):
            check()
            total = lines + part.rows
            texts = [text for _, text, vector in block if vector is None]
            fresh = iter(model.encode(texts, "item", bf16=bf16, files=files) if texts else ())
            vectors = np.stack([next(fresh) if vector is None else vector for _, _, vector in block])
            _check_finite(vectors, [item_id for item_id, _, _ in block], bf16=bf16)
            part.write([item_id for item_id, _, _ in block], [text_digest(text).hex() for _, text, _ in block], vectors)
            encoded += len(texts)
            speed.say(part.rows, total)
        return Encoded(part.rows, encoded)


def text_digest(text: str) -> bytes:
    """What says that an item's text is still the same."""
    return hashlib.sha256(text.encode()).digest()


_Item = tuple[str, str, NDArray[np.float32] | None]
"""Id, text, and the vector if it is known."""


def _blocks(items: ItemSpool, former: VectorSpool | None) -> Iterator[tuple[list[_Item], int]]:
    """Items by bucket and id, in blocks, each with how many lines are left from its beginning on."""
    left, gathered = items.lines, list[_Item]()
    for bucket in range(BUCKETS):
        known = dict(former.take(bucket)) if former is not None else {}
        for item_id, text in items.take(bucket):
            gathered.append((item_id, text, known.get(text_digest(text)) if known else None))
            if len(gathered) == BLOCK:
                yield gathered, left
                left, gathered = max(left - BLOCK, 0), []
    if gathered:
        yield gathered, len(gathered)


def _check_finite(vectors: NDArray[np.float32], ids: list[str], *, bf16: bool) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        precise = "; set settings.precision: FP32" if bf16 else ""
        raise DataInvalid(
            f"the version gives item {ids[bad[0]]!r:.100} a vector that is not finite ({len(bad)} of {len(ids)} items"
            f" in its block){precise}",
            reason="IndexInvalid",
        )
