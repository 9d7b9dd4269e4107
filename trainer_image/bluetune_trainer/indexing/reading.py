"""A shard's part of the catalogue, and of the index before, as spools on disk."""

import logging
import threading
from pathlib import Path

from bluetune_api.index_records import IndexCatalogue, IndexManifest
from bluetune_api.objectstore import ObjectNotFound, ObjectStore
from bluetune_api.records import MethodPlan
from bluetune_trainer.data.catalogue import item_lines
from bluetune_trainer.data.problems import catalogue_problems
from bluetune_trainer.data.reading import stream
from bluetune_trainer.data.tally import CatalogueTally
from bluetune_trainer.errors import DataInvalid, StoreDamaged, raise_if
from bluetune_trainer.indexing.parts import fetch_part, rows_of
from bluetune_trainer.indexing.places import bucket_of, overlap, place_of, shard_of
from bluetune_trainer.indexing.spool import ItemSpool, VectorSpool
from bluetune_trainer.plugin.method import FineTuningMethod

log = logging.getLogger(__name__)

STOPPED = "stopped on request; the parts that are whole are kept, the next run makes the others"


def spool_items(
    store: ObjectStore,
    catalogue: IndexCatalogue,
    method: MethodPlan,
    plugin: FineTuningMethod,
    spool: ItemSpool,
    *,
    shard: int,
    shards: int,
    workdir: Path,
    stop: threading.Event,
) -> None:
    """Put a shard's items into the spool, read as a training reads them.

    Raises:
        DataInvalid: the catalogue is broken, as the check of a batch says, or changed since it was pinned.
    """
    tally = CatalogueTally()
    places: dict[str, int] = {}

    def wanted(item_id: str) -> bool:
        places.clear()  # of one line at a time
        place = places[item_id] = place_of(item_id)
        return shard_of(place, shards) == shard

    records = stream(store, catalogue.items, tally, workdir=workdir, stop=stop)
    for item_id, text in item_lines(records, method.items, plugin.item_text, tally, wanted):
        try:
            spool.add(bucket_of(places[item_id], shards), item_id, text)
        except UnicodeEncodeError:
            raise DataInvalid(
                f"the id {item_id!r:.100} of an item is no text (half a surrogate pair); correct what writes it"
            ) from None
    if problems := catalogue_problems(tally):
        first = "; ".join(f"{o.key}:{o.line}: {o.problem}" for o in tally.offences[:3])
        raise DataInvalid("; ".join(problems) + (f". First broken lines: {first}" if first else ""))


def spool_vectors(
    store: ObjectStore,
    known: IndexManifest,
    spool: VectorSpool,
    *,
    shard: int,
    shards: int,
    workdir: Path,
    stop: threading.Event,
) -> None:
    """Put the vectors that an index of the same version has of a shard's items into the spool. What cannot be read is
    passed over: it is only encoded again."""
    dimension, parts = known.own_vectors()
    for part in parts:
        if not overlap(shard, shards, part.shard, len(parts)):
            continue
        raise_if(stop, STOPPED)
        path = workdir / "former.parquet"
        try:
            fetch_part(store, known.version, part, path)
            for ids, digests, vectors in rows_of(path, dimension):
                for item_id, digest, vector in zip(ids, digests, vectors, strict=True):
                    place = place_of(item_id)
                    if shard_of(place, shards) == shard:
                        spool.add(bucket_of(place, shards), bytes.fromhex(digest), vector)
        except (ObjectNotFound, StoreDamaged, ValueError, OSError) as error:
            log.warning("a part of the index before is not used", extra={"part": part.path, "error": str(error)[:200]})
        finally:
            path.unlink(missing_ok=True)
