"""The cluster of OpenSearch that an index is loaded into: asked, and told, with errors that say what to do.

Every request can be sent again: what it writes has a name of its own (a document's id, an index's name).
"""

import base64
import json
import logging
import random
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from bluetune_api.index_target import OpenSearch
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, raise_if

log = logging.getLogger(__name__)

CONNECT_SECONDS, READ_SECONDS = 10.0, 600.0
"""A refresh of a large index builds its graphs, which takes minutes."""
TRIES, FIRST_DELAY, LAST_DELAY = 6, 1.0, 15.0
BUSY = frozenset((429, 502, 503, 504))
"""Statuses after which the same request may succeed."""
MIN_VERSION = (2, 13)
"""The first whose engine lucene has the inner product."""
STOPPED = "stopped on request; the shards that are loaded are kept, the next run loads the others"


@dataclass(frozen=True)
class Access:
    """What Secrets say; the password is shown nowhere."""

    username: str | None = None
    password: str | None = None
    authority: str | None = None
    """Certificates, in PEM."""

    def __repr__(self) -> str:
        return f"Access(username={self.username!r})"


class Cluster:
    """Requests to one cluster, tried again while it is busy or away, until they are stopped."""

    def __init__(self, target: OpenSearch, access: Access, stop: threading.Event) -> None:
        """Raises PlanInvalid for a certificate authority that is none."""
        self._url, self._stop = target.url, stop
        self._headers = {"accept": "application/json", "user-agent": "bluetune"}
        if access.username is not None or access.password is not None:
            name = f"{access.username or ''}:{access.password or ''}"
            self._headers["authorization"] = "Basic " + base64.b64encode(name.encode()).decode()
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
            ssl_context=_trusting(access.authority),
        )

    def require_usable(self) -> None:
        """Raises DatabaseFailed unless this is OpenSearch of a version that has what is needed."""
        about = self.must("GET", "/").get("version", {})
        number = str(about.get("number", "unknown"))
        if about.get("distribution") != "opensearch":
            raise DatabaseFailed(f"{self._url} is no OpenSearch (it says version {number}); correct opensearch.url")
        if tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) < MIN_VERSION:
            least = ".".join(map(str, MIN_VERSION))
            raise DatabaseFailed(f"{self._url} is OpenSearch {number}; {least} or later is needed")

    def must(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer to a request. Raises DatabaseFailed for any but a good one."""
        status, answer = self.ask(method, path, body)
        if status >= 300:
            raise DatabaseFailed(self._refused(method, path, status, answer))
        return answer

    def found(self, path: str) -> dict[str, Any] | None:
        """What is there; None if there is nothing of that name."""
        status, answer = self.ask("GET", path)
        if status == 404:
            return None
        if status >= 300:
            raise DatabaseFailed(self._refused("GET", path, status, answer))
        return answer

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and answer of a request. `body` is a document, or lines of them as bytes.

        Raises:
            DatabaseFailed: the cluster is away, or too busy, for long.
            Stopped: `stop` was set.
        """
        lines = isinstance(body, bytes)
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = self._headers | {"content-type": "application/x-ndjson" if lines else "application/json"}
        for attempt in range(TRIES):
            raise_if(self._stop, STOPPED)
            try:
                response = self._http.request(method, self._url + path, body=data, headers=headers, redirect=False)
            except urllib3.exceptions.SSLError as error:
                raise DatabaseFailed(
                    f"{self._url} cannot be trusted ({_short(error)}); name its certificate authority in"
                    " opensearch.caSecretRef"
                ) from error
            except urllib3.exceptions.HTTPError as error:
                problem = _short(error)
            else:
                if response.status not in BUSY:
                    return response.status, _document(response.data)
                problem = self._refused(method, path, response.status, _document(response.data))
            if attempt < TRIES - 1:
                log.warning("OpenSearch does not answer as it should; it is tried again", extra={"error": problem})
                self.pause(attempt)
        raise DatabaseFailed(f"OpenSearch at {self._url} cannot be used: {problem}")

    def pause(self, attempt: int) -> None:
        """Wait before another try, longer each time. Raises Stopped."""
        self._stop.wait(min(FIRST_DELAY * 2**attempt, LAST_DELAY) * random.uniform(0.8, 1.2))
        raise_if(self._stop, STOPPED)

    def _refused(self, method: str, path: str, status: int, answer: Mapping[str, Any]) -> str:
        said = reason_in(answer.get("error"))
        if status in (401, 403):
            return (
                f"OpenSearch at {self._url} refuses the user ({status}: {said}); correct the Secret that"
                " opensearch.credentialsSecretRef names, or give the user rights to create, read, write and delete"
                " indices and aliases of this name"
            )
        return f"OpenSearch at {self._url} answers {method} {path.partition('?')[0]} with {status}: {said}"


def reason_in(error: object) -> str:
    """What an error of OpenSearch says, as its innermost cause has it."""
    if not isinstance(error, Mapping):
        return " ".join(str(error or "no reason").split())[:300]
    inner = error.get("caused_by")
    return reason_in(inner if isinstance(inner, Mapping) else error.get("reason") or error.get("type"))


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except ValueError:  # of a proxy
        return {"error": data[:300].decode(errors="replace")}
    return found if isinstance(found, dict) else {"error": found}


def _trusting(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise PlanInvalid(
            "key ca.crt of the Secret that opensearch.caSecretRef names holds no certificate in PEM",
            reason="DatabaseFailed",
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
