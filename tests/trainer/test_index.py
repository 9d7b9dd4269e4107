"""The index of a version: its vectors are the model's, whatever the shards; a kill or a new text costs little."""

import json
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.index_records import IndexProgress
from bluetune_api.records import MethodPlan
from bluetune_trainer.cli import indexing
from bluetune_trainer.cli.indexing import Indexer, run_index
from bluetune_trainer.cli.main import main
from bluetune_trainer.errors import DataInvalid, PlanInvalid, Stopped
from bluetune_trainer.indexing import encoding
from bluetune_trainer.indexing.announcing import pinned
from bluetune_trainer.training.model import Tower
from trainer.index_world import ITEMS, Killed, World, base, dying_at, encoded_texts, imported, opened_once, same, world

__all__ = ["base", "imported", "opened_once", "world"]  # fixtures

pytestmark = pytest.mark.usefixtures("opened_once")


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_the_vectors_are_the_models_for_any_number_of_shards(world: World, tmp_path: Path, shards: int) -> None:
    manifest = world.index(shards)
    assert (manifest.count, len(manifest.shards)) == (ITEMS, shards)
    assert (manifest.version, manifest.digest) == (world.version.version, world.version.digest)
    assert manifest.similarity == "cosine"
    assert same(world.rows(), world.expected(tmp_path))


def test_small_blocks_give_the_same(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 16)
    world.index(2)
    assert same(world.rows(), world.expected(tmp_path))


def test_the_manifest_comes_with_the_last_shard_whichever_that_is(world: World) -> None:
    for shard in (2, 0):
        said = run_index(world.store, world.plan(3), shard, stop=threading.Event())
        assert "other shards are not done yet" in said
        assert world.store.stat(store_layout.index_manifest(world.version.version)) is None
    assert "the index is whole" in run_index(world.store, world.plan(3), 1, stop=threading.Event())
    assert world.manifest().count == ITEMS


def test_killed_before_any_write_it_goes_on_and_encodes_no_whole_shard_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, seen = world.expected(tmp_path), encoded_texts(monkeypatch)
    kills = 0
    for write in range(20):
        for info in list(world.store.list("indexes/")):
            world.store.delete(info.key)
        seen.clear()
        dying = dying_at(world.store, write)
        try:
            for shard in range(3):
                run_index(dying, world.plan(3), shard, stop=threading.Event())
            break
        except Killed:
            kills += 1
        whole = [info for info in world.store.list("indexes/") if "_shard-" in info.key]
        assert world.store.stat(store_layout.index_manifest(world.version.version)) is None
        seen.clear()
        world.index(3)
        assert same(world.rows(), expected)
        rows = [shard.rows for shard in world.manifest().shards]
        assert len(seen) == sum(rows[len(whole) :])
    assert kills >= 8  # pin; part and record of each of three shards; manifest


def test_an_index_of_the_same_catalogue_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.index(2)
    before = {info.key: info.etag for info in world.store.list(f"indexes/{world.version.version}/{first.generation}")}
    seen = encoded_texts(monkeypatch)
    assert world.index(2, run="r2") == first
    assert seen == []
    assert before == {
        info.key: info.etag for info in world.store.list(f"indexes/{world.version.version}/{first.generation}")
    }


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 3), (7, 1)])
def test_only_changed_texts_are_encoded_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    old = world.index(before)
    changes = {"sku-3": "another text", "sku-5": None, "new": "a new one"}
    world.write("b.jsonl", changes)
    for key, text in changes.items():
        if text is None:
            del world.texts[key]
        else:
            world.texts[key] = text
    seen = encoded_texts(monkeypatch)
    manifest = world.index(after, run="r2")
    assert sorted(seen) == ["a new one", "another text"]
    assert sum(shard.encoded for shard in manifest.shards) == 2
    assert manifest.generation != old.generation
    assert same(world.rows(), world.expected(tmp_path))
    folders = {info.key.split("/")[2] for info in world.store.list(f"indexes/{world.version.version}/")}
    assert old.generation not in folders
    assert manifest.generation in folders


def test_the_index_before_stands_until_the_next_one_is_whole(world: World) -> None:
    world.index(1)
    world.write("b.jsonl", {"sku-3": "another text"})
    run_index(world.store, world.plan(2, "r2"), 0, stop=threading.Event())
    assert len(world.rows()) == ITEMS


def test_what_is_not_bluetunes_stays(world: World) -> None:
    key = store_layout.index(world.version.version) + "0123456789ab/theirs.bin"
    world.store.put(key, b"x")
    world.index(1)
    world.write("b.jsonl", {"sku-3": "another text"})
    world.index(1, run="r2")
    assert world.store.stat(key) is not None


def test_all_shards_read_the_catalogue_that_the_first_one_saw(world: World) -> None:
    run_index(world.store, world.plan(2), 0, stop=threading.Event())
    world.write("b.jsonl", {"late": "a late one"})
    run_index(world.store, world.plan(2), 1, stop=threading.Event())
    assert "late" not in world.rows()
    assert world.manifest().count == ITEMS


def test_a_file_that_changes_meanwhile_is_refused(world: World) -> None:
    run_index(world.store, world.plan(2), 0, stop=threading.Event())
    world.write("a.jsonl", {"sku-1": "x"})
    with pytest.raises(DataInvalid, match="changed since it was checked"):
        run_index(world.store, world.plan(2), 1, stop=threading.Event())


def test_a_part_that_was_lost_is_made_again(world: World, tmp_path: Path) -> None:
    shard = world.index(2).shards[1]
    world.store.delete(store_layout.index(world.version.version) + shard.path)
    world.index(2, run="r2")
    assert same(world.rows(), world.expected(tmp_path))


def test_a_part_that_is_made_again_and_comes_out_otherwise_is_the_one_in_the_manifest(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, lost = world.expected(tmp_path), world.index(2).shards[1]
    world.store.delete(store_layout.index(world.version.version) + lost.path)
    own = Tower.encode

    def encode(self: Tower, inputs: list[str], *args: object, **kwargs: object) -> NDArray[np.float32]:
        return own(self, inputs, *args, **kwargs) + np.float32(1e-6)  # type: ignore[arg-type]

    monkeypatch.setattr(Tower, "encode", encode)
    monkeypatch.setattr(indexing, "read_index", lambda *_: None)  # nothing to take over
    manifest = world.index(2, run="r2")
    assert manifest.shards[1].path != lost.path
    assert same(world.rows(), expected)


def test_few_requests_are_made_by_a_pod_that_is_not_the_last(world: World) -> None:
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            return getattr(world.store, name)

    late = Indexer(world.store, world.plan(200), stop=threading.Event())
    late.make(0, lambda _: None)
    late._store = Counting()  # type: ignore[assignment]
    assert late.finish(lambda _: None) is None
    assert asked == ["list"]


def test_a_damaged_part_of_the_index_before_is_not_taken_over(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index(2)
    shard = world.manifest().shards[0]
    key = store_layout.index(world.version.version) + shard.path
    data = bytearray(world.store.get(key))
    at = data.index(np.float32(world.rows()[_an_id(world, shard.path)][1][0]).tobytes())
    data[at : at + 4] = np.float32(0.5).tobytes()
    world.store.put(key, bytes(data))
    world.write("b.jsonl", {"new": "a new one"})
    world.texts["new"] = "a new one"
    seen = encoded_texts(monkeypatch)
    world.index(2, run="r2")
    assert len(seen) == shard.rows + 1
    assert same(world.rows(), world.expected(tmp_path))


def _an_id(world: World, path: str) -> str:
    table = pq.read_table(world.folder / store_layout.index(world.version.version) / path)
    return str(table.column("id")[0].as_py())


def test_a_late_pod_of_an_earlier_rollout_does_not_replace_a_newer_index(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Indexer(world.store, world.plan(1, "r1"), stop=threading.Event())
    late.make(0, lambda _: None)
    world.write("b.jsonl", {"sku-3": "another text"})
    monkeypatch.setattr("bluetune_trainer.indexing.announcing.now", lambda: "2999-01-01T00:00:00Z")
    newer = world.index(1, run="r2")
    late.finish(lambda _: None)
    assert world.manifest() == newer
    assert len(world.rows()) == ITEMS


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "there is no catalogue|no item that can be read"),
        (['{"item_id": "a"}'] * 9 + ['{"item_id": "b", "title": "t"}'], "lines of the catalogue are broken"),
        (['{"item_id": "a", "_deleted": true}'], "no item that can be read"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused(world: World, lines: list[str], words: str) -> None:
    (world.folder / "items" / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataInvalid, match=words):
        world.index(2)


def test_a_vector_that_is_not_finite_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Tower.encode

    def encode(self: Tower, inputs: list[str], *args: object, **kwargs: object) -> NDArray[np.float32]:
        vectors = own(self, inputs, *args, **kwargs)  # type: ignore[arg-type]
        vectors[0] = np.nan
        return vectors

    monkeypatch.setattr(Tower, "encode", encode)
    with pytest.raises(DataInvalid, match="not finite"):
        world.index(1)
    assert world.store.stat(store_layout.index_manifest(world.version.version)) is None


def test_items_in_parts_are_refused(world: World) -> None:
    world.method = MethodPlan.model_validate({"settings": {"longItems": "Split"}})
    with pytest.raises(PlanInvalid, match="longItems: Truncate"):
        world.index(1)


@pytest.mark.parametrize("text", ["", "x", "-1"])
def test_a_pod_without_a_number_says_so(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", text)
    with pytest.raises(PlanInvalid, match="JOB_COMPLETION_INDEX"):
        indexing.shard_of_environment()


def test_a_number_beyond_the_shards_is_refused(world: World) -> None:
    with pytest.raises(PlanInvalid, match="has 2 shards"):
        run_index(world.store, world.plan(2), 2, stop=threading.Event())


def test_a_stop_ends_it_and_progress_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 16)
    stop, told = threading.Event(), list[IndexProgress]()

    def report(progress: IndexProgress) -> None:
        told.append(progress)
        if progress.done >= 32:
            stop.set()

    with pytest.raises(Stopped):
        Indexer(world.store, world.plan(1), stop=stop).make(0, report)
    assert [p.stage for p in told] == ["Reading", "Encoding", "Encoding"]
    assert (told[-1].done, told[-1].total) == (32, ITEMS)
    assert told[-1].rate > 0


def test_the_command_of_a_pod_makes_its_shard(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(world.plan(2).wire()))
    monkeypatch.setattr("bluetune_trainer.cli.main._open", lambda _: world.store)
    monkeypatch.setenv("BLUETUNE_TERMINATION_LOG", str(tmp_path / "termination"))
    for shard, words in ((1, "other shards are not done yet"), (0, f"the index is whole, {ITEMS} items")):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(shard))
        assert main(["index", "--plan", str(plan)]) == 0
        assert words in capsys.readouterr().out
    key = store_layout.index_shard_progress(world.version.version, "r1", 0)
    told = IndexProgress.model_validate_json(world.store.get(key))
    assert (told.stage, told.done) == ("Encoding", told.total)
    monkeypatch.delenv("JOB_COMPLETION_INDEX")
    assert main(["index", "--plan", str(plan)]) == 11
    assert "JOB_COMPLETION_INDEX" in (tmp_path / "termination").read_text()


def test_on_a_laptop_one_command_makes_all_shards(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifests = tmp_path / "model.yaml"
    manifests.write_text(
        """
apiVersion: bluetune.dev/v1alpha1
kind: EmbeddingModel
metadata: {name: shop}
spec:
  base: {uri: /models/base}
  store: {endpoint: "minio:9000", bucket: shop, credentialsSecretRef: {name: k}}
  serving:
    deployment: blue
    container: server
    index: {target: {type: Parquet}, shards: 3}
"""
    )
    command = ["index", "-f", str(manifests), "--store", str(world.folder), "--version", world.version.version]
    assert main(command) == 0
    assert f"indexed {ITEMS} items" in capsys.readouterr().out
    first = world.manifest()
    assert len(first.shards) == 3
    assert len(world.rows()) == ITEMS
    assert main(command) == 0
    assert world.manifest() == first
    manifests.write_text(manifests.read_text().replace("shards: 3", "shards: 2"))
    assert main(command) == 0
    assert [shard.path.split("-of-")[1][:5] for shard in world.manifest().shards] == ["00002"] * 2
    assert len(world.rows()) == ITEMS
    assert not [info for info in world.store.list("indexes/") if first.generation in info.key]


def test_what_an_index_is_called_follows_from_plan_and_method_and_not_from_who_came_first(world: World) -> None:
    def called(shards: int, fields: list[str], run: str = "r1") -> str:
        method = MethodPlan.model_validate({"items": {"textFields": fields}})
        index = world.plan(shards, run).index
        assert index is not None
        return pinned(world.store, index, method).generation

    first = called(1, ["title"])
    assert called(1, ["title"]) == called(1, ["title"], "r2") == first
    assert len({first, called(2, ["title"]), called(1, ["title", "text"])}) == 3
    world.write("b.jsonl", {"late": "a late one"})
    assert called(1, ["title"]) == first
    assert called(1, ["title"], "r3") != first


def test_the_vectors_of_a_real_encoder_are_those_that_its_users_get(tmp_path: Path, minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    world = World(tmp_path / "store", minilm)
    world.index(3)
    texts = [text.strip() for text in world.texts.values()]
    expected = SentenceTransformer(str(minilm), device="cpu").encode(texts, normalize_embeddings=True)
    found = world.rows()
    assert len(found) == ITEMS
    for key, vector in zip(world.texts, expected, strict=True):
        assert float(found[key][1] @ vector) > 0.9999
