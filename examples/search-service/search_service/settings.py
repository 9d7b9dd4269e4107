"""What the service is told, all of it by environment variables."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bluetune_api.store_location import StoreLocation


class SettingsError(Exception):
    """A variable is missing or wrong; the message names it."""


@dataclass(frozen=True)
class Settings:
    """Settings of a serving pod and of the reindex Job."""

    version: str | None
    """BLUETUNE_VERSION: the version to serve. bluetune sets it; there is none until the base is published."""
    digest: str | None
    """BLUETUNE_DIGEST: sha256 of that version's manifest."""
    store: StoreLocation
    """BLUETUNE_STORE: where versions, catalogue, indexes and clicks are, as JSON."""
    items: str = "items/"
    """SEARCH_ITEMS: the catalogue's folder in the store, `*.jsonl`."""
    workdir: Path = Path("/tmp/search")  # noqa: S108 - an emptyDir of the pod's own
    """SEARCH_WORKDIR: where model and index are unpacked."""
    port: int = 8080
    """SEARCH_PORT."""
    threads: int = 1
    """SEARCH_THREADS: of torch."""
    pod: str = "local"
    """HOSTNAME."""
    session_idle_seconds: float = 60.0
    """SEARCH_SESSION_IDLE_SECONDS: a session without a click for so long is over and written down."""
    batch_minutes: float = 0.0
    """SEARCH_BATCH_MINUTES: a batch of clicks closes itself after so long, 0 is never."""
    batch_min_sessions: int = 20
    """SEARCH_BATCH_MIN_SESSIONS: fewest sessions with a click that a batch is closed with."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read and check the variables. Raises SettingsError."""
        env = os.environ if environment is None else environment
        try:
            store = StoreLocation.model_validate_json(env["BLUETUNE_STORE"])
        except KeyError:
            raise SettingsError(
                'BLUETUNE_STORE is not set: JSON such as {"endpoint": "minio.storage:9000", "bucket": "bluetune"}'
            ) from None
        except ValidationError as error:
            raise SettingsError(f"BLUETUNE_STORE={env['BLUETUNE_STORE']!r}: {_first(error)}") from None
        try:
            return cls(
                version=env.get("BLUETUNE_VERSION") or None,
                digest=env.get("BLUETUNE_DIGEST") or None,
                store=store,
                items=env.get("SEARCH_ITEMS", cls.items),
                workdir=Path(env.get("SEARCH_WORKDIR", cls.workdir)),
                port=int(env.get("SEARCH_PORT", cls.port)),
                threads=int(env.get("SEARCH_THREADS", cls.threads)),
                pod=env.get("HOSTNAME") or socket.gethostname(),
                session_idle_seconds=float(env.get("SEARCH_SESSION_IDLE_SECONDS", cls.session_idle_seconds)),
                batch_minutes=float(env.get("SEARCH_BATCH_MINUTES", cls.batch_minutes)),
                batch_min_sessions=int(env.get("SEARCH_BATCH_MIN_SESSIONS", cls.batch_min_sessions)),
            )
        except ValueError as error:
            raise SettingsError(f"a SEARCH_ variable is not a number: {error}") from None


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc'])) or 'value'}: {found['msg']}"
