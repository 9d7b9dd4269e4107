"""`python -m search_service.reindex`: encode the catalogue with a version and publish its index.

bluetune runs it as the Job that `serving.reindex` declares, before it rolls the version out. Running it again, or twice
at once, ends in the same index.
"""

import logging
import sys
import tempfile
import time
from pathlib import Path

import torch

from bluetune_api.objectstore import StoreError
from bluetune_api.s3 import store_from_environment
from bluetune_trainer.errors import TrainerError
from bluetune_trainer.training.precision import bf16_pays
from search_service import index
from search_service.engine import fetch_encoder
from search_service.settings import Settings, SettingsError

log = logging.getLogger("reindex")


def main() -> int:
    """Index the version in BLUETUNE_VERSION; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        run(Settings.from_environment())
    except (SettingsError, StoreError, TrainerError, ValueError) as error:
        log.error("%s", error)
        return 1
    return 0


def run(settings: Settings) -> None:
    """Encode and publish, unless the index is there already."""
    if settings.version is None:
        raise SettingsError("BLUETUNE_VERSION is not set: which version is to be indexed?")
    store = store_from_environment(settings.store)
    if index.exists(store, settings.version):
        log.info("%s has an index already", settings.version)
        return
    started = time.monotonic()
    items = index.read_items(store, settings.items)
    if not items:
        raise ValueError(f"no items in {store.uri(settings.items)}: upload the catalogue as *.jsonl first")
    torch.set_num_threads(settings.threads)
    settings.workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.workdir) as folder:
        encoder, digest = fetch_encoder(store, settings.version, settings.digest, Path(folder) / "model")
        vectors = encoder.encode([item.text for item in items], "item", bf16=bf16_pays("cpu"))
        log.info("encoded %d items after %.1f s", len(items), time.monotonic() - started)
        first = index.publish(store, settings.version, digest, items, vectors, Path(folder) / "table")
    outcome = "published" if first else "another Job published"
    log.info("%s the index of %s after %.1f s", outcome, settings.version, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
