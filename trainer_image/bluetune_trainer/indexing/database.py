"""The database that an index is loaded into: reached, asked, and told, with errors that say what to do."""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from bluetune_api.index_target import Pgvector
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, Stopped, raise_if
from bluetune_trainer.indexing.content import Content, content_of
from bluetune_trainer.indexing.tables import qualified

log = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS, TRIES, FIRST_DELAY, LAST_DELAY = 10, 6, 1.0, 15.0
LOCK_SECONDS = 60.0
"""How long another load of the same table is waited for."""
LOOK_SECONDS = 0.5
"""Between two looks whether a statement is to be cancelled."""
MIN_PGVECTOR = (0, 7)
"""The first that has an operator class for every similarity."""
STOPPED = "stopped on request; the shards that are loaded are kept, the next run loads the others"


@contextlib.contextmanager
def connected(address: str, target: Pgvector, stop: threading.Event) -> Iterator[Connection]:
    """A connection, which a stop ends whatever it waits for.

    Raises:
        DatabaseFailed: it cannot be reached, or refused something.
        Stopped: `stop` was set.
    """
    connection = _connect(address, stop)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if stop.is_set():  # again and again: the next statement may just be on its way
                with contextlib.suppress(psycopg.Error):
                    connection.cancel_safe()

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    try:
        with connection:
            _prepare(connection, target)
            yield connection
    except psycopg.errors.QueryCanceled as error:
        raise_if(stop, STOPPED)
        raise DatabaseFailed(_in_words(error)) from error
    except psycopg.Error as error:
        raise_if(stop, STOPPED)
        raise DatabaseFailed(_in_words(error)) from error
    finally:
        over.set()
        watcher.join()


def _connect(address: str, stop: threading.Event) -> Connection:
    for attempt in range(TRIES):
        raise_if(stop, STOPPED)
        try:
            return psycopg.connect(
                address, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="bluetune"
            )
        except psycopg.ProgrammingError:  # the address is no address; what it says may hold the password
            raise PlanInvalid(
                "the key that serving.index.target.pgvector.connectionSecretRef names is no address of PostgreSQL;"
                " it must look like postgresql://user:password@host/database",
                reason="DatabaseFailed",
            ) from None
        except psycopg.OperationalError as error:
            if attempt == TRIES - 1:
                raise DatabaseFailed(f"the database cannot be reached: {_in_words(error)}") from error
            log.warning("the database does not answer; it is tried again", extra={"error": _in_words(error)})
            stop.wait(min(FIRST_DELAY * 2**attempt, LAST_DELAY) * random.uniform(0.8, 1.2))
    raise AssertionError("the last try returns or raises")


def _prepare(connection: Connection, target: Pgvector) -> None:
    """pgvector is there, and names mean what they should."""
    with contextlib.suppress(psycopg.Error):  # before PostgreSQL 14 there is none
        connection.execute("SET client_connection_check_interval = '10s'")
    found = _extension(connection)
    if found is None:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise DatabaseFailed(
                f"the database has no extension pgvector, and the user cannot create it ({_in_words(error)}); let an"
                " administrator run CREATE EXTENSION vector in it"
            ) from error
        found = _extension(connection)
    assert found is not None  # noqa: S101 - it was created
    version, schema = found
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
        least = ".".join(map(str, MIN_PGVECTOR))
        raise DatabaseFailed(f"the database has pgvector {version}; {least} or later is needed")
    connection.execute(sql.SQL("SET search_path TO pg_catalog, {}").format(sql.Identifier(schema)))
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [target.db_schema]).fetchone() is None:
        raise DatabaseFailed(
            f"the database has no schema {target.db_schema} (serving.index.target.pgvector.schema); create it, and let"
            " the user create tables in it"
        )


def _extension(connection: Connection) -> tuple[str, str] | None:
    row = connection.execute(
        "SELECT e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    ).fetchone()
    return (str(row[0]), str(row[1])) if row else None


@contextlib.contextmanager
def alone(connection: Connection, target: Pgvector, name: str, stop: threading.Event) -> Iterator[None]:
    """Nobody else loads the table meanwhile. The lock goes with the connection."""
    key = f"bluetune {target.db_schema}.{name}"
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key]).fetchone()
        if row is not None and row[0]:
            break
        if time.monotonic() > deadline:
            raise DatabaseFailed(f"another process has been loading {target.db_schema}.{name} for {LOCK_SECONDS:.0f} s")
        if stop.wait(1.0):
            raise Stopped(STOPPED)
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


def comment_of(connection: Connection, target: Pgvector, name: str) -> tuple[bool, Content | None]:
    """Whether there is such a table (or anything of its name), and what bluetune wrote on it."""
    row = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        [target.db_schema, name],
    ).fetchone()
    return row is not None, content_of(row[0]) if row else None


def write_comment(connection: Connection, target: Pgvector, name: str, content: Content) -> None:
    """Say what a table holds."""
    connection.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(qualified(target, name), sql.Literal(content.encode()))
    )


def drop(connection: Connection, target: Pgvector, name: str) -> None:
    """Remove a table."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(qualified(target, name)))


def tables_of(connection: Connection, target: Pgvector) -> list[tuple[str, Content]]:
    """The target's tables that bluetune made, with what they hold."""
    rows = connection.execute(
        "SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = 'r' AND c.relname ~ %s ORDER BY c.relname",
        [target.db_schema, rf"^{target.table}_v[0-9a-f]{{12}}(_[0-9]*h?)?(_load)?$"],
    ).fetchall()
    found = ((str(name), content_of(comment)) for name, comment in rows)
    return [(name, content) for name, content in found if content is not None]


def _in_words(error: psycopg.Error) -> str:
    return " ".join(str(error).split())[:500]
