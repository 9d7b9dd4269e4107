"""An index, from its parts into a table of pgvector.

The table is filled under another name, shard by shard, each in one transaction that also writes down that it is in. It
gets its HNSW index there, is compared with the manifest and with an exact search, and takes its name at once. Killed
anywhere, the next run goes on; servers see the whole table, or the one of before.
"""

import logging
import math
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress, IndexShard
from bluetune_api.index_target import Pgvector, Vectors
from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, raise_if
from bluetune_trainer.indexing.content import Content
from bluetune_trainer.indexing.database import (
    STOPPED,
    Connection,
    alone,
    comment_of,
    connected,
    drop,
    tables_of,
    write_comment,
)
from bluetune_trainer.indexing.parts import fetch_part, rows_of
from bluetune_trainer.indexing.tables import (
    HEADER,
    LOADING,
    OPERATORS,
    TRAILER,
    binary_rows,
    column_of,
    qualified,
)
from bluetune_trainer.store.progress import now

log = logging.getLogger(__name__)

SAMPLE, NEAREST = 100, 10
"""Items that are searched for, and how many of the nearest are compared."""
SWAP_TRIES, SWAP_LOCK = 5, "10s"
"""Queries of servers hold the table that is replaced: it is waited for so long, so often."""

Report = Callable[[IndexProgress], None]


class Loader:
    """Loads one index into its table."""

    def __init__(
        self,
        store: ObjectStore,
        manifest: IndexManifest,
        target: Pgvector,
        vectors: Vectors | None,
        *,
        report: Report,
        stop: threading.Event,
    ) -> None:
        """`vectors` is how the manifest's were made shorter. Raises PlanInvalid for what pgvector cannot index."""
        self._column = column_of(manifest.dimension, manifest.vectors.type if manifest.vectors else "Float32")
        self._store, self._manifest, self._target = store, manifest, target
        self._report, self._stop = report, stop
        self._name = target.table_of(manifest.version, vectors)
        self._loading = self._name + LOADING
        self._content = Content(store.uri(""), manifest.version, manifest.generation)

    def load(self, address: str) -> str:
        """Fill, index, compare and name the table; then remove those of versions that are gone. In words what was done.

        Raises:
            PlanInvalid: a table of that name is somebody else's, or the HNSW index finds too little.
            DatabaseFailed, StoreDamaged, Stopped: as they say.
        """
        with connected(address, self._target, self._stop) as connection:
            with alone(connection, self._target, self._name, self._stop):
                said = self._ensure(connection)
            self._remove_old(connection)
        return said

    def _ensure(self, connection: Connection) -> str:
        where, count = f"{self._target.db_schema}.{self._name}", self._manifest.count
        if self._ours(connection, self._name):
            return f"{where} holds these {count} items already"
        for shard in self._missing(connection):
            raise_if(self._stop, STOPPED)
            self._load_shard(connection, shard)
        self._report(IndexProgress(stage="Building", updated_at=now()))
        self._build(connection)
        self._count(connection)
        recall = self._recall(connection)
        if recall < self._target.min_recall:
            raise PlanInvalid(
                f"the HNSW index of {where} finds {recall:.3f} of the {NEAREST} nearest items,"
                f" serving.index.target.pgvector.minRecall is {self._target.min_recall}; raise hnsw.ef_search of the"
                " database's user (ALTER ROLE … SET hnsw.ef_search = 200), or lower minRecall",
                reason="RecallTooLow",
            )
        self._swap(connection)
        log.info("table loaded", extra={"table": where, "items": count, "recall": round(recall, 4)})
        return f"{where} holds {count} items; its HNSW index finds {recall:.3f} of the {NEAREST} nearest"

    def _ours(self, connection: Connection, name: str) -> bool:
        """Whether a table of that name holds the index. Raises PlanInvalid if it is not for this model."""
        there, content = comment_of(connection, self._target, name)
        if there and (content is None or content.store != self._content.store):
            whose = f"the model with the store {content.store}" if content else "somebody else"
            raise PlanInvalid(
                f"table {self._target.db_schema}.{name} is there, and was made by {whose}; set another"
                " serving.index.target.pgvector.table or schema",
                reason="NameTaken",
            )
        return content is not None and content.same_index(self._content)

    def _missing(self, connection: Connection) -> list[IndexShard]:
        """Shards that are to be loaded; the table for them is there then."""
        if self._ours(connection, self._loading):
            _, content = comment_of(connection, self._target, self._loading)
            if content is not None:
                self._content = content
            return [shard for shard in self._manifest.shards if shard.shard not in self._content.loaded]
        with connection.transaction():
            drop(connection, self._target, self._loading)
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (id text NOT NULL, vector {}({}) NOT NULL, text_digest text NOT NULL,"
                    " version text NOT NULL)"
                ).format(
                    qualified(self._target, self._loading),
                    sql.SQL(self._column.name),
                    sql.Literal(self._manifest.dimension),
                )
            )
            write_comment(connection, self._target, self._loading, self._content)
        return list(self._manifest.shards)

    def _load_shard(self, connection: Connection, shard: IndexShard) -> None:
        with tempfile.TemporaryDirectory(prefix="bluetune-load-") as folder:
            path = Path(folder) / "part.parquet"
            fetch_part(self._store, self._manifest.version, shard, path)
            content = self._content.with_shard(shard.shard)
            begun, before = time.monotonic(), sum(s.rows for s in self._manifest.shards if s.shard in content.loaded)
            done, before = 0, before - shard.rows
            copy_in = sql.SQL("COPY {} (id, vector, text_digest, version) FROM STDIN (FORMAT binary)")
            with connection.transaction():
                with connection.cursor().copy(copy_in.format(qualified(self._target, self._loading))) as copy:
                    copy.write(HEADER)
                    for ids, digests, vectors in rows_of(path, self._manifest.dimension):
                        raise_if(self._stop, STOPPED)
                        copy.write(b"".join(binary_rows(ids, digests, vectors, self._manifest.version, self._column)))
                        done += len(ids)
                        self._say(before + done, done / max(time.monotonic() - begun, 1e-3))
                    copy.write(TRAILER)
                write_comment(connection, self._target, self._loading, content)
            self._content = content

    def _say(self, done: int, rate: float) -> None:
        left = round((self._manifest.count - done) / rate) if rate else None
        self._report(
            IndexProgress(
                stage="Loading",
                done=done,
                total=self._manifest.count,
                rate=round(rate, 1),
                seconds_left=left,
                updated_at=now(),
            )
        )

    def _build(self, connection: Connection) -> None:
        """The primary key and the HNSW index, each unless it is there."""
        table = qualified(self._target, self._loading)
        made = {
            str(method)
            for (method,) in connection.execute(
                "SELECT a.amname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
                " JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_class c ON c.oid = i.indexrelid"
                " JOIN pg_am a ON a.oid = c.relam WHERE n.nspname = %s AND t.relname = %s AND i.indisvalid",
                [self._target.db_schema, self._loading],
            ).fetchall()
        }
        if "btree" not in made:
            connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (id)").format(table))
        if "hnsw" not in made:
            operators = sql.SQL(f"{self._column.name}_{OPERATORS[self._manifest.similarity][0]}_ops")
            connection.execute(sql.SQL("CREATE INDEX ON {} USING hnsw (vector {})").format(table, operators))
        connection.execute(sql.SQL("ANALYZE {}").format(table))

    def _count(self, connection: Connection) -> None:
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(qualified(self._target, self._loading))
        ).fetchone()
        if row is None or row[0] != self._manifest.count:
            drop(connection, self._target, self._loading)
            raise DatabaseFailed(
                f"{self._target.db_schema}.{self._loading} has {row[0] if row else 0} rows instead of"
                f" {self._manifest.count}: somebody else wrote there; it is removed, and filled again by the next try"
            )

    def _recall(self, connection: Connection) -> float:
        """Share of the nearest items that the HNSW index finds. Items as near as the last of them count, too."""
        table = qualified(self._target, self._loading)
        operator = sql.SQL(OPERATORS[self._manifest.similarity][1])
        sample = connection.execute(
            sql.SQL("SELECT vector::text FROM {} LIMIT {}").format(table, sql.Literal(SAMPLE))
        ).fetchall()
        nearest = sql.SQL(
            "SELECT vector {operator} %s::{type} AS far FROM {table} ORDER BY vector {operator} %s::{type} LIMIT {most}"
        ).format(operator=operator, table=table, most=sql.Literal(NEAREST), type=sql.SQL(self._column.name))
        found = wanted = 0
        for (vector,) in sample:
            raise_if(self._stop, STOPPED)
            exact = self._distances(connection, nearest, vector, without=("enable_indexscan", "enable_bitmapscan"))
            close = self._distances(connection, nearest, vector, without=("enable_seqscan", "enable_sort"))
            if not exact:  # a vector of length 0 has no cosine
                continue
            limit = max(exact) + 1e-6 * max(abs(max(exact)), 1.0)
            found += sum(distance <= limit for distance in close)
            wanted += len(exact)
        return found / wanted if wanted else 1.0

    @staticmethod
    def _distances(
        connection: Connection, query: sql.Composed, vector: str, *, without: tuple[str, str]
    ) -> list[float]:
        with connection.transaction():
            for way in without:
                connection.execute(sql.SQL("SET LOCAL {} = off").format(sql.Identifier(way)))
            found = (float(far) for (far,) in connection.execute(query, [vector, vector]).fetchall())
            return [far for far in found if math.isfinite(far)]

    def _swap(self, connection: Connection) -> None:
        """The table takes its name, in place of one of an earlier catalogue."""
        for attempt in range(SWAP_TRIES):
            raise_if(self._stop, STOPPED)
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(SWAP_LOCK)))
                    drop(connection, self._target, self._name)
                    connection.execute(
                        sql.SQL("ALTER TABLE {} RENAME TO {}").format(
                            qualified(self._target, self._loading), sql.Identifier(self._name)
                        )
                    )
                    write_comment(connection, self._target, self._name, self._content)
                return
            except psycopg.errors.LockNotAvailable as error:
                if attempt == SWAP_TRIES - 1:
                    raise DatabaseFailed(
                        f"queries hold {self._target.db_schema}.{self._name}, so it cannot be replaced; end those that"
                        " run for long (pg_stat_activity)"
                    ) from error
                self._stop.wait(2.0**attempt)

    def _remove_old(self, connection: Connection) -> None:
        """Remove tables of this model's versions that the store no longer has: what retention removed there."""
        for name, content in tables_of(connection, self._target):
            if content.store != self._content.store or content.version == self._manifest.version:
                continue
            if self._store.stat(store_layout.manifest(content.version)) is not None:
                continue
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(SWAP_LOCK)))
                    drop(connection, self._target, name)
            except psycopg.errors.LockNotAvailable:
                log.warning("a table of a removed version is still read; it stays", extra={"table": name})
            else:
                log.info("a table of a removed version is removed", extra={"table": name})
