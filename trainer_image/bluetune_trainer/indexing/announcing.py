"""What the store says of an index: the catalogue it is made of, its parts, and its manifest, which is written last.

Every write is one of: a record that is created once, an object whose name has its digest, or the manifest as a whole.
So pods may be killed anywhere and run twice, and whoever reads the manifest sees a whole index.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bluetune_api import store_layout
from bluetune_api.index_records import IndexCatalogue, IndexManifest, IndexShard, ShorterVectors
from bluetune_api.objectstore import ObjectStore
from bluetune_api.reading import Record
from bluetune_api.records import IndexPlan, Manifest, MethodPlan, PinnedObject
from bluetune_trainer.data.problems import delta_problem
from bluetune_trainer.data.reading import listing
from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.store.progress import now
from bluetune_trainer.store.runs import create, encode, read

log = logging.getLogger(__name__)

FORMAT = 1
"""Format of the parts: another number makes another index of the same catalogue."""
_OURS = re.compile(r"[0-9a-f]{12}/(part-\d{5}-of-\d{5}-[0-9a-f]{12}\.parquet|_shard-\d{5}\.json|_short\.json)")
_RECORD = re.compile(r"_shard-\d{5}\.json")
_RECORDS = re.compile(r"_(runs|progress)/")


class Short(Record):
    """<generation>/_short.json: the parts that servers read, where vectors are made shorter, and what that loses.

    Written once, after the parts and before the loss is judged: what is refused is not made and measured again.
    """

    dimension: Annotated[int, Field(ge=1)]
    """Dimension of the vectors."""
    shards: list[IndexShard]
    """The parts, by number."""
    vectors: ShorterVectors
    """How they were made, of which parts."""


Shorten = Callable[[str, str, list[IndexShard]], Short]
"""Called with the generation of the short parts, the generation of the full parts, and the full parts."""


def pinned(store: ObjectStore, plan: IndexPlan, method: MethodPlan) -> IndexCatalogue:
    """The catalogue that all pods of a rollout read: as the first of them saw it. What its index is called follows from
    it, the plan and the method, so pods of one rollout agree, and another number of shards makes another index.

    Raises:
        DataInvalid: there is none, or it is a table that cannot be read file by file.
    """
    key = store_layout.index_run(plan.version, plan.run)
    known = read(store, key, IndexCatalogue)
    if known is not None:
        return known.model_copy(update={"generation": generation_of(plan, method, known.items)})
    items, log_of_table = listing(store, method.items.path)
    if log_of_table is not None:
        raise DataInvalid(delta_problem(log_of_table))
    if not items:
        raise DataInvalid(
            f"there is no catalogue at {store.uri(method.items.path)}: put the items there, or set the method's"
            " items.path"
        )
    ours = IndexCatalogue(pinned_at=now(), generation=generation_of(plan, method, items), items=items)
    stored = create(store, key, ours)
    return stored.model_copy(update={"generation": generation_of(plan, method, stored.items)})


def generation_of(plan: IndexPlan, method: MethodPlan, items: Sequence[PinnedObject]) -> str:
    """What an index of this catalogue with the version's own vectors is called: the same for the same inputs."""
    read_by = {"plugin": method.plugin, "items": method.items.wire(), "settings": method.settings.wire()}
    inputs = [FORMAT, plan.digest, plan.shards, read_by, [one.wire() for one in items]]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def served_generation(plan: IndexPlan, full: str) -> str:
    """What the index that servers read is called: also of how its vectors are made shorter."""
    if plan.vectors is None:
        return full
    inputs = [FORMAT, full, plan.vectors.dimensions, plan.vectors.type]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]


def read_index(store: ObjectStore, version: str) -> IndexManifest | None:
    """The manifest of a version's index, or None if it has none."""
    return read(store, store_layout.index_manifest(version), IndexManifest)


def whole_shard(store: ObjectStore, plan: IndexPlan, generation: str, shard: int) -> IndexShard | None:
    """The record of a shard whose part is there; None if it is to be encoded."""
    found = read(store, store_layout.index_shard(plan.version, generation, shard), IndexShard)
    if found is None or _is_there(store, plan.version, found):
        return found
    log.warning("a part was written whole and is not any more; it is made again", extra={"part": found.path})
    store.delete(store_layout.index_shard(plan.version, generation, shard))
    return None


def _is_there(store: ObjectStore, version: str, shard: IndexShard) -> bool:
    info = store.stat(store_layout.index(version) + shard.path)
    return info is not None and info.size == shard.size


def announce_shard(
    store: ObjectStore, plan: IndexPlan, generation: str, shard: int, path: Path, *, rows: int, encoded: int, bf16: bool
) -> IndexShard:
    """Upload a part and say that it is whole. Of two pods that made it, one counts."""
    ours = upload_part(store, plan, generation, shard, path, rows=rows, encoded=encoded, bf16=bf16)
    stored = create(store, store_layout.index_shard(plan.version, generation, shard), ours)
    if stored.path != ours.path:
        store.delete(store_layout.index(plan.version) + ours.path)
    return stored


def upload_part(
    store: ObjectStore, plan: IndexPlan, generation: str, shard: int, path: Path, *, rows: int, encoded: int, bf16: bool
) -> IndexShard:
    """Upload a part under a name that has its digest, and say what it is."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    part = store_layout.index_part(generation, shard, plan.shards, sha256)
    store.upload(store_layout.index(plan.version) + part, path)
    return IndexShard(
        shard=shard,
        path=part,
        rows=rows,
        size=path.stat().st_size,
        sha256=sha256,
        precision="BF16" if bf16 else "FP32",
        encoded=encoded,
    )


def announce_index(
    store: ObjectStore, plan: IndexPlan, catalogue: IndexCatalogue, of_version: Manifest, shorten: Shorten
) -> IndexManifest | None:
    """Write the manifest, if all shards are whole; None if some are not. Every pod calls this in the end: whichever is
    last finds all the others, and makes the vectors shorter if the plan says so.

    Raises:
        DataInvalid: the catalogue has no items.
        PlanInvalid: shorter vectors lose too much; the manifest stays as it was.
    """
    shards = _whole_shards(store, plan, catalogue.generation)
    if shards is None:
        return None
    count = sum(shard.rows for shard in shards)
    if count == 0:
        raise DataInvalid(
            "the catalogue has no item that can be read; check the method's items.idField and items.textFields"
        )
    generation = served_generation(plan, catalogue.generation)
    if (known := _stands(store, plan, catalogue, generation, shards)) is not None:
        return known
    short = None
    if plan.vectors is not None:
        short = _measured(store, plan, generation, shards) or _keep(
            store, plan, generation, shorten(generation, catalogue.generation, shards)
        )
        require_recall(plan, short.vectors)
        if (known := _stands(store, plan, catalogue, generation, shards)) is not None:  # that took a while
            return known
    manifest = IndexManifest(
        version=plan.version,
        digest=plan.digest,
        generation=generation,
        pinned_at=catalogue.pinned_at,
        count=count,
        dimension=short.dimension if short else of_version.dimension,
        similarity=of_version.similarity,
        vectors=short.vectors if short else None,
        shards=short.shards if short else shards,
    )
    store.put(store_layout.index_manifest(plan.version), encode(manifest))
    _remove_others(store, plan, catalogue)
    return manifest


def _measured(store: ObjectStore, plan: IndexPlan, generation: str, full: list[IndexShard]) -> Short | None:
    """The short parts that an earlier try made of these, if they are there.

    Raises:
        PlanInvalid: they lose too much.
    """
    key = _short_record(plan, generation)
    found = read(store, key, Short)
    if found is None:
        return None
    if found.vectors.full_shards == full:
        require_recall(plan, found.vectors)
        if all(_is_there(store, plan.version, shard) for shard in found.shards):
            return found
    log.warning("parts of shorter vectors are gone, or of other vectors; they are made again")
    store.delete(key)
    return None


def _keep(store: ObjectStore, plan: IndexPlan, generation: str, ours: Short) -> Short:
    """Write down what was made. Of two pods that made it, one counts."""
    stored = create(store, _short_record(plan, generation), ours)
    for path in {shard.path for shard in ours.shards} - {shard.path for shard in stored.shards}:
        store.delete(store_layout.index(plan.version) + path)
    return stored


def _short_record(plan: IndexPlan, generation: str) -> str:
    return f"{store_layout.index(plan.version)}{generation}/_short.json"


def require_recall(plan: IndexPlan, made: ShorterVectors) -> None:
    """Raises PlanInvalid if shorter vectors lose more than the plan lets them."""
    wanted, found = plan.vectors, made.loss
    if wanted is None or found.recall >= wanted.min_recall:
        return
    searched = (
        "clicked queries"
        if found.searched == "ClickedQueries"
        else "items, as the version's batch has too few clicked queries"
    )
    longer = (
        f"keep more than {wanted.dimensions} of the {made.full_dimension} dimensions (a model trained with"
        " settings.matryoshkaDims loses less), "
        if wanted.dimensions is not None
        else ""
    )
    more = "" if wanted.type == "Float32" else "set a type with more bits, "
    raise PlanInvalid(
        f"the shorter vectors find {found.recall:.3f} of the 10 items that the version's own vectors put nearest (mean"
        f" of {found.queries} {searched}), serving.index.vectors.minRecall is {wanted.min_recall}; {longer}{more}or"
        " lower minRecall",
        reason="RecallTooLow",
    )


def _stands(
    store: ObjectStore, plan: IndexPlan, catalogue: IndexCatalogue, generation: str, shards: list[IndexShard]
) -> IndexManifest | None:
    """The manifest that is there, if it is of these parts or of a later rollout."""
    known = read_index(store, plan.version)
    if known is None:
        return None
    if known.generation != generation:
        if known.pinned_at <= catalogue.pinned_at:
            return None
        log.warning("a later rollout has made an index; this one is left", extra={"generation": known.generation})
        return known
    if known.own_vectors()[1] != shards:
        return None
    if known.vectors is not None:
        if not all(_is_there(store, plan.version, shard) for shard in known.shards):
            return None
        require_recall(plan, known.vectors)
    return known


def _whole_shards(store: ObjectStore, plan: IndexPlan, generation: str) -> list[IndexShard] | None:
    """All shards, if they are whole. One listing tells that some are not done: most pods ask no more."""
    folder = store_layout.index_shard(plan.version, generation, 0).rpartition("/")[0] + "/"
    records = [info for info in store.list(folder) if _RECORD.fullmatch(info.key.removeprefix(folder))]
    if len(records) < plan.shards:
        return None
    shards = [whole_shard(store, plan, generation, number) for number in range(plan.shards)]
    whole = [shard for shard in shards if shard is not None]
    return whole if len(whole) == plan.shards else None


def _remove_others(store: ObjectStore, plan: IndexPlan, catalogue: IndexCatalogue) -> None:
    """Remove what earlier rollouts left, and nothing that a later one writes or that is not bluetune's."""
    folder = store_layout.index(plan.version)
    ours = (
        f"{catalogue.generation}/",
        f"{served_generation(plan, catalogue.generation)}/",
        store_layout.index_run(plan.version, plan.run).removeprefix(folder),
        store_layout.index_progress(plan.version, plan.run).removeprefix(folder),
    )
    pinned_at = store.stat(store_layout.index_run(plan.version, plan.run))
    for info in store.list(folder):
        name = info.key.removeprefix(folder)
        if name.startswith(ours) or not (_OURS.fullmatch(name) or _RECORDS.match(name)):
            continue
        if pinned_at is not None and info.modified < pinned_at.modified:
            store.delete(info.key)
