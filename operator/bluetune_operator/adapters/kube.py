"""The API server: plain dicts, every call bounded in time and in tries, every write guarded.

The synchronous client's connection pool and authentication are used; its typed models are not, because they cost
memory and lose fields they do not know.
"""

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.fence import Fence
from bluetune_operator.adapters.workers import Workers
from bluetune_operator.core.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    ForeignObject,
    Leftover,
    WebhookFailed,
)
from bluetune_operator.core.kinds import Kind, Object, is_left_over, is_owned_by, name_of, namespace_of

logger = logging.getLogger(__name__)

THREADS = 16
CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
ATTEMPTS, BACKOFF_SECONDS, BACKOFF_CAP_SECONDS = 5, 0.2, 5.0
WEBHOOK_ATTEMPTS = 2
"""Where an admission webhook does not answer. Each may take it ten seconds, and whoever asked has words for it."""
CALL_SECONDS = 60.0
"""Longest wait for one attempt, including for a free thread."""
PAGE = 500
IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
RETRYABLE_STATUS = frozenset({429, 500, 502, 503, 504})
WEBHOOK_FAILED = b"failed calling webhook"
"""How the API server says (with status 500) that an admission webhook did not answer."""


def load_configuration() -> Configuration:
    """From the pod's service account, or else from KUBECONFIG or ~/.kube/config.

    Raises ApiUnavailable if there is neither.
    """
    configuration = Configuration()
    try:
        _fill(configuration)
    except (config.ConfigException, OSError) as error:
        raise ApiUnavailable(f"no access to a cluster: {error}; set KUBECONFIG, or run in a pod") from error
    configuration.connection_pool_maxsize = THREADS
    return configuration


def _fill(configuration: Configuration) -> None:
    if IN_CLUSTER_TOKEN.exists():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        file = os.environ.get("KUBECONFIG") or None
        config.load_kube_config(config_file=file, client_configuration=configuration)  # type: ignore[no-untyped-call]


class KubeApi:
    """What the reconcilers do with the API server.

    Every method may raise ApiError (refused for good) or ApiUnavailable (no answer after retries), and what writes
    WebhookFailed, which is both. All writes are safe
    to repeat: creates have deterministic names, replacements carry a resourceVersion, deletions a uid. None is sent
    while the fence is closed (NotLeading).
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        threads: int = THREADS,
        fence: Fence | None = None,
        crash_point: CrashPoint | None = None,
        on_request: Callable[[str, int, float], None] | None = None,
    ) -> None:
        self._configuration = configuration
        self._http = ApiClient(configuration).rest_client.pool_manager
        self._workers = Workers("kube", threads)
        self._fence = fence
        self._crash_point = crash_point or CrashPoint(None)
        self._on_request = on_request

    def close(self) -> None:
        """Take no more calls."""
        self._workers.close()

    # Reading

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def pages(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncIterator[list[Object]]:
        """All objects in a namespace (None: in all), by label and field selector.

        Items get their apiVersion and kind.
        """
        selectors = {
            "labelSelector": labels if isinstance(labels, str) else _selector(labels or {}),
            "fieldSelector": _selector(fields or {}),
        }
        query = {"limit": str(PAGE)} | {name: selector for name, selector in selectors.items() if selector}
        while True:
            page = await self._call("GET", kind.path(namespace), query)
            items: list[Object] = page.get("items") or []
            for item in items:
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
            yield items
            more = page["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """The same as one list."""
        return [thing async for page in self.pages(kind, namespace, labels=labels, fields=fields) for thing in page]

    # Writing

    async def create(self, kind: Kind, body: Object, *, strict: bool = False) -> Object:
        """Create an object; if strict, one with an unknown field is refused. Raises AlreadyExists."""
        query = {"fieldValidation": "Strict"} if strict else None
        return await self._write("POST", kind.path(namespace_of(body)), query, body=body)

    async def create_owned(self, kind: Kind, body: Object, owner_uid: str, *, strict: bool = False) -> Object:
        """Create a child with a deterministic name; one that is there already and has the same owner is success.

        Raises ForeignObject if the name is taken by an object that `owner_uid` does not own; Leftover if that will go.
        """
        try:
            return await self.create(kind, body, strict=strict)
        except AlreadyExists:
            found = await self.get(kind, namespace_of(body), name_of(body))
            if found is None:
                raise Conflict(409, "Conflict", f"{kind.name} {name_of(body)} came and went") from None
            if not is_owned_by(found, owner_uid):
                if is_left_over(found, body):
                    raise Leftover(
                        f"{kind.name} {name_of(body)!r} of an earlier one of this name is being removed"
                    ) from None
                raise ForeignObject(
                    f"{kind.name} {name_of(body)!r} exists in namespace {namespace_of(body)!r} and does not belong to"
                    " this resource; delete or rename it"
                ) from None
            return found

    async def request_token(self, kind: Kind, namespace: str, name: str, *, audience: str, seconds: int) -> Object:
        """A TokenRequest for a ServiceAccount, answered; `status` has the token and when it expires."""
        spec = {"audiences": [audience], "expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return await self._call("POST", kind.path(namespace, name, "token"), body=body)

    async def replace(self, kind: Kind, body: Object) -> Object:
        """PUT an object; its metadata.resourceVersion must be that of the object as read. Raises Conflict."""
        return await self._write("PUT", kind.path(namespace_of(body), name_of(body)), body=body)

    async def replace_status(self, kind: Kind, thing: Object, status: Mapping[str, Any]) -> Object:
        """PUT the status of an object as read (its resourceVersion is the precondition). Raises Conflict."""
        body = {**thing, "status": dict(status)}
        return await self._write("PUT", kind.path(namespace_of(thing), name_of(thing), "status"), body=body)

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Object:
        """JSON merge patch; put a resourceVersion into patch["metadata"] for a precondition. Raises Conflict."""
        return await self._write(
            "PATCH",
            kind.path(namespace, name, subresource),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def json_patch(self, kind: Kind, namespace: str, name: str, patch: Sequence[Object]) -> Object:
        """JSON patch; one that replaces metadata.resourceVersion has it as its precondition. Raises Conflict."""
        return await self._write(
            "PATCH", kind.path(namespace, name), body=patch, content_type="application/json-patch+json"
        )

    async def apply(self, kind: Kind, body: Object, *, field_manager: str) -> Object:
        """Server-side apply, never forced: another manager's field is a Conflict whose message names it.

        With a metadata.resourceVersion in `body`, also a change since that version is a Conflict.
        """
        return await self._write(
            "PATCH",
            kind.path(namespace_of(body), name_of(body)),
            {"fieldManager": field_manager, "force": "false"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, propagation: str = "Background"
    ) -> bool:
        """Delete an object; False if it is gone already, or has another uid than the one given."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._write("DELETE", kind.path(namespace, name), body=options)
        except ApiError as error:
            if error.status == 404 or (error.status == 409 and uid is not None):
                return False
            raise
        return True

    # Requests

    async def _write(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | Sequence[Object],
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._call(method, path, query, body=body, content_type=content_type)
        self._crash_point.written()
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | Sequence[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        url = path + ("?" + urlencode(query) if query else "")
        data = json.dumps(body).encode() if body is not None else None
        problem = ""
        for attempt in range(ATTEMPTS):
            delay = random.uniform(0, min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2**attempt))  # jitter
            try:
                status, headers, text = await self._workers.run(
                    lambda: self._request(method, url, data, content_type), CALL_SECONDS
                )
            except (urllib3.exceptions.HTTPError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            else:
                if status < 300:
                    answer: Object = json.loads(text)
                    return answer
                if status not in RETRYABLE_STATUS:
                    raise _refusal(status, text)
                if status == 500 and WEBHOOK_FAILED in text and attempt + 1 >= WEBHOOK_ATTEMPTS:
                    raise _webhook_failed(text)
                problem = f"HTTP {status} {text[:200].decode(errors='replace')}"
                delay = max(delay, min(_seconds(headers.get("Retry-After")), BACKOFF_CAP_SECONDS))
            if attempt + 1 < ATTEMPTS:
                logger.debug("%s %s: %s; again in %.1f s", method, path, problem, delay)
                await asyncio.sleep(delay)
        raise ApiUnavailable(f"{method} {path} failed {ATTEMPTS} times: {problem}")

    def _request(
        self, method: str, url: str, data: bytes | None, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": "application/json", "User-Agent": "bluetune-operator"}
        # asking for the settings also renews a service account token that is about to expire
        token: Any = self._configuration.auth_settings().get("BearerToken")
        if token and token["value"]:
            headers[token["key"]] = token["value"]
        if data is not None:
            headers["Content-Type"] = content_type
        if self._fence is not None and method != "GET":
            self._fence.check()
        begun = time.monotonic()
        response = self._http.request(
            method,
            self._configuration.host + url,
            body=data,
            headers=headers,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )
        if self._on_request is not None:
            self._on_request(method, response.status, time.monotonic() - begun)
        return response.status, response.headers, response.data


def _selector(terms: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in terms.items())


def _refusal(status: int, text: bytes) -> ApiError:
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason") or "Unknown"), str(answer.get("message") or "")
    except (ValueError, AttributeError):
        reason, message = "Unknown", text[:500].decode(errors="replace")
    if status == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(status, reason, message)
    return ApiError(status, reason, message)


def _webhook_failed(text: bytes) -> WebhookFailed:
    said = _refusal(500, text)
    return WebhookFailed(500, said.reason, said.message)


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
