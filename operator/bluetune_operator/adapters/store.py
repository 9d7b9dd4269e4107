"""A model's object store, opened with the keys in its Secret or as its ServiceAccount; a dead store blocks nobody.

Store calls run in their own threads, few at a time for each namespace, with short timeouts. An endpoint that did not
answer a namespace is left alone by it for a few seconds: calls then fail at once with what was said last.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bluetune_api.batches import ListingTooLong
from bluetune_api.credentials import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, StaticKeys, static_keys
from bluetune_api.identity import WorkloadIdentity, workload_identity
from bluetune_api.objectstore import (
    NoConditionalWrites,
    ObjectInfo,
    ObjectNotFound,
    ObjectTooLarge,
    Page,
    StoreDenied,
    StoreError,
    StoreUnreachable,
    require_conditional_writes,
)
from bluetune_api.reading import read_spec
from bluetune_api.reasons import Reason
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreSpec
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.fence import Fence
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.tenant_identity import NoIdentity, TenantIdentities
from bluetune_operator.adapters.workers import Workers
from bluetune_operator.core.kinds import SECRETS, Object, namespace_of
from bluetune_operator.core.tenant_identity import IdentitySettings, operator_may_open, why_not

logger = logging.getLogger(__name__)
T = TypeVar("T")

THREADS, THREADS_PER_NAMESPACE, THREADS_PER_ENDPOINT = 48, 8, 6
"""A store that swallows requests keeps the threads of its own namespace busy, and no other's."""
ATTEMPTS, CONNECT_SECONDS, READ_SECONDS = 2, 2.0, 8.0
CALL_SECONDS = 25.0
MAX_OBJECTS = 50_000
"""Maximum number of objects in a listing: a thousand versions have fewer."""
RECORD_BYTES, RECORD_SECONDS = 16 << 20, 10.0
"""Maximum size of a record that is read, such as a manifest with its files and its probe."""
REST_SECONDS = 5.0
"""How long an endpoint that did not answer is left alone."""
SECRET_SECONDS = 5.0
"""How long a Secret that was read is believed."""
IDLE_SECONDS = 900.0
"""How long a store that nobody asks for stays open, and its Secrets in memory: namespaces come and go."""


class StoreProblem(Exception):
    """The store cannot be used; `reason` is a condition's, the message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class _Endpoint:
    """What the stores of one namespace in one bucket share. Other namespaces see nothing of it, nor its words."""

    gate: asyncio.Semaphore
    tenant: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(THREADS_PER_NAMESPACE))
    rests_until: float = 0.0
    said: str = ""


class AsyncStore:
    """An ObjectStore whose calls are awaited. Raises the errors of `bluetune_api.objectstore`."""

    def __init__(
        self, store: S3Store, workers: Workers, endpoint: _Endpoint, crash_point: CrashPoint, fence: Fence | None
    ) -> None:
        self._store = store
        self._workers = workers
        self._endpoint = endpoint
        self._crash_point = crash_point
        self._fence = fence

    @property
    def endpoint(self) -> object:
        """What its calls share with those of other stores at the same place; to be compared."""
        return self._endpoint

    async def get(self, key: str) -> bytes:
        """Content of a record. Raises ObjectNotFound, ObjectTooLarge."""
        return await self._call(lambda: self._store.get(key, most=RECORD_BYTES, seconds=RECORD_SECONDS))

    async def get_or_none(self, key: str) -> bytes | None:
        """Content of an object, or None if there is none."""
        try:
            return await self.get(key)
        except ObjectNotFound:
            return None

    async def stat(self, key: str) -> ObjectInfo | None:
        """What is known of an object, or None."""
        return await self._call(lambda: self._store.stat(key))

    async def put(self, key: str, data: bytes) -> None:
        """Create or replace an object."""
        await self._write(lambda: self._store.put(key, data))

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object if there is none; False if there is."""
        return await self._write(lambda: self._store.create(key, data))

    async def require_conditional_writes(self) -> None:
        """Raise NoConditionalWrites for a store that creates an object twice; it writes the first time alone."""
        if await self._call(lambda: self._fenced(lambda: require_conditional_writes(self._store))):
            self._crash_point.written()

    async def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
        await self._write(lambda: self._store.delete(key))

    async def objects(self, prefix: str) -> list[ObjectInfo]:
        """All objects below a prefix, page by page, if they are not too many to be a model's."""
        found: list[ObjectInfo] = []
        after: str | None = ""
        while after is not None:
            page = await self.page(prefix, after)
            found += page.objects
            if len(found) > MAX_OBJECTS:
                raise StoreError(
                    f"{self.uri(prefix)} holds more than {MAX_OBJECTS} objects; remove what does not belong there"
                )
            after = page.after
        return found

    async def page(self, prefix: str, after: str = "") -> Page:
        """The objects below a prefix whose keys come after a key: one request, with a time limit of its own."""
        return await self._call(lambda: self._store.page(prefix, after))

    async def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix that ends in a slash."""
        return await self._call(lambda: self._store.folders(prefix))

    def uri(self, key: str = "") -> str:
        """Address of an object, for people."""
        return self._store.uri(key)

    async def _write(self, call: Callable[[], T]) -> T:
        """A call that is not sent while the fence is closed (NotLeading)."""

        answer = await self._call(lambda: self._fenced(call))
        self._crash_point.written()
        return answer

    def _fenced(self, call: Callable[[], T]) -> T:
        if self._fence is not None:
            self._fence.check()
        return call()

    async def _call(self, call: Callable[[], T]) -> T:
        if time.monotonic() < self._endpoint.rests_until:
            raise StoreUnreachable(self._endpoint.said)
        async with self._endpoint.gate, self._endpoint.tenant:
            try:
                return await self._workers.run(call, CALL_SECONDS)
            except (StoreUnreachable, TimeoutError) as error:
                said = str(error) or f"{self.uri()}: no answer within {CALL_SECONDS:.0f} s"
                self._endpoint.said = said
                self._endpoint.rests_until = time.monotonic() + REST_SECONDS
                raise StoreUnreachable(said) from error


@dataclass(frozen=True)
class _Keys:
    ca_file: str | None
    static: StaticKeys | None = None
    identity: WorkloadIdentity | None = None


class Stores:
    """Opens stores. Opened ones are kept until the spec or a Secret's resourceVersion changes."""

    def __init__(
        self,
        kube: KubeApi,
        *,
        identity: IdentitySettings | None = None,
        environment: Mapping[str, str] | None = None,
        fence: Fence | None = None,
        crash_point: CrashPoint | None = None,
    ) -> None:
        self._kube = kube
        self._fence = fence
        self._identity = identity or IdentitySettings()
        self._accounts = TenantIdentities(kube, self._identity)
        self._environment = os.environ if environment is None else environment
        self._workers = Workers("store", THREADS)
        self._endpoints: dict[tuple[str, str, str], _Endpoint] = {}
        self._tenants: dict[str, asyncio.Semaphore] = {}
        self._open: dict[tuple[str, str], tuple[tuple[Any, ...], AsyncStore]] = {}
        self._secrets: dict[tuple[str, str], tuple[float, Object | None]] = {}
        self._reading: dict[tuple[str, str], asyncio.Lock] = {}
        self._used: dict[tuple[str, str], float] = {}
        """When each open store was last asked for."""
        self._tidied = time.monotonic()
        self._crash_point = crash_point or CrashPoint(None)
        self._ca_folder: Path | None = None

    def close(self) -> None:
        """Take no more calls."""
        self._workers.close()

    async def open(self, model: Object, store: StoreSpec | None = None, *, fresh: bool = False) -> AsyncStore:
        """The store of an EmbeddingModel, or the one that a run of it began with; `fresh` reads its Secrets again,
        however lately they were read.

        Raises StoreProblem (SecretNotFound, SecretInvalid, ServiceAccountNotFound, WorkloadIdentityUnavailable) if its
        keys cannot be had.
        """
        spec = store or read_spec(StoreSpec, model["spec"]["store"])
        namespace = namespace_of(model)
        since = time.monotonic() - (0.0 if fresh else SECRET_SECONDS)
        versions, keys = await self._keys(namespace, spec, since, fresh=fresh)
        where = (namespace, spec.uri() + "@" + spec.endpoint)
        signature = (spec.model_dump_json(), versions)
        self._used[where] = time.monotonic()
        self._tidy(self._used[where])
        kept = self._open.get(where)
        if kept is not None and kept[0] == signature:
            return kept[1]
        tenant = self._tenants.setdefault(namespace, asyncio.Semaphore(THREADS_PER_NAMESPACE))
        endpoint = self._endpoints.setdefault(
            (namespace, spec.endpoint, spec.bucket), _Endpoint(asyncio.Semaphore(THREADS_PER_ENDPOINT), tenant)
        )
        opened = AsyncStore(
            S3Store(
                spec.location(),
                access_key=keys.static.access_key if keys.static else None,
                secret_key=keys.static.secret_key if keys.static else None,
                session_token=keys.static.session_token if keys.static else None,
                identity=keys.identity,
                ca_file=keys.ca_file,
                attempts=ATTEMPTS,
                connect_seconds=CONNECT_SECONDS,
                read_seconds=READ_SECONDS,
            ),
            self._workers,
            endpoint,
            self._crash_point,
            self._fence,
        )
        self._open[where] = (signature, opened)
        return opened

    def _tidy(self, now: float) -> None:
        """Keep nothing of stores that nobody has asked for in a while; whoever still holds one may use it."""
        if now < self._tidied + IDLE_SECONDS:
            return
        self._tidied, since = now, now - IDLE_SECONDS
        for where in [where for where, used in self._used.items() if used < since]:
            del self._used[where]
            self._open.pop(where, None)
        for where in [where for where, (read, _) in self._secrets.items() if read < since]:
            del self._secrets[where]
        for where in [where for where in self._reading if where not in self._secrets]:
            if not self._reading[where].locked():
                del self._reading[where]
        self._accounts.tidy(since)
        used = {id(store.endpoint) for _, store in self._open.values()}
        for name in [name for name, endpoint in self._endpoints.items() if id(endpoint) not in used]:
            if now >= self._endpoints[name].rests_until and not self._endpoints[name].gate.locked():
                del self._endpoints[name]
        for namespace in self._tenants.keys() - {namespace for namespace, _, _ in self._endpoints}:
            del self._tenants[namespace]

    async def _keys(
        self, namespace: str, spec: StoreSpec, since: float, *, fresh: bool
    ) -> tuple[tuple[str, ...], _Keys]:
        versions: list[str] = []
        ca_file = None
        if spec.ca_secret_ref is not None:
            secret = await self._secret(namespace, spec.ca_secret_ref.name, since)
            versions.append(secret["metadata"]["resourceVersion"])
            ca_file = self._ca_file(_value(secret, "ca.crt"))
        if spec.credentials_secret_ref is not None:
            secret = await self._secret(namespace, spec.credentials_secret_ref.name, since)
            versions.append(secret["metadata"]["resourceVersion"])
            return tuple(versions), _Keys(ca_file, _static_keys(secret))
        if operator_may_open(namespace, spec, self._identity):
            return tuple(versions), self._own_keys(ca_file)
        account = spec.service_account_name
        if not self._identity.tenants or account is None:
            raise StoreProblem("WorkloadIdentityUnavailable", why_not(namespace, spec))
        try:
            version, identity = await self._accounts.of(namespace, account, spec.region, fresh=fresh)
        except NoIdentity as error:
            raise StoreProblem(error.reason, str(error)) from None
        return (*versions, version), _Keys(ca_file, identity=identity)

    def _own_keys(self, ca_file: str | None) -> _Keys:
        """The operator's, for a place that an administrator lists."""
        keys = static_keys(self._environment)
        if keys is not None:
            return _Keys(ca_file, keys)
        identity = workload_identity(self._environment)
        if identity is None:
            raise StoreProblem(
                "WorkloadIdentityUnavailable",
                "operatorIdentity.allow lets the operator open this store itself, so it needs a role of its own:"
                " annotate its service account (serviceAccount.annotations in the chart), or set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY on it (extraEnv)",
            )
        return _Keys(ca_file, identity=identity)

    async def _secret(self, namespace: str, name: str, since: float) -> Object:
        where = (namespace, name)
        async with self._reading.setdefault(where, asyncio.Lock()):  # a namespace's models share one, often at once
            read, secret = self._secrets.get(where, (-math.inf, None))
            if secret is None or read < since:
                now = time.monotonic()
                secret = await self._kube.get(SECRETS, namespace, name)
                self._secrets[where] = (now, secret)
        if secret is None:
            raise StoreProblem(
                "SecretNotFound",
                f"Secret {name!r} does not exist in namespace {namespace!r}; create it with the keys AWS_ACCESS_KEY_ID"
                " and AWS_SECRET_ACCESS_KEY",
            )
        return secret

    def _ca_file(self, certificate: str) -> str:
        if self._ca_folder is None:
            self._ca_folder = Path(tempfile.mkdtemp(prefix="bluetune-ca-"))
        path = self._ca_folder / (hashlib.sha256(certificate.encode()).hexdigest()[:32] + ".crt")
        if not path.exists():
            path.write_text(certificate)
        return str(path)


def _static_keys(secret: Object) -> StaticKeys:
    values = {name: _value(secret, name) for name in (ACCESS_KEY, SECRET_KEY)}
    if SESSION_TOKEN in (secret.get("data") or {}):
        values[SESSION_TOKEN] = _text(secret, SESSION_TOKEN)
    try:
        keys = static_keys(values)
    except StoreDenied as error:
        raise StoreProblem("SecretInvalid", f"Secret {secret['metadata']['name']!r}: {error}") from None
    assert keys is not None  # noqa: S101 both have a value
    return keys


def _value(secret: Object, key: str) -> str:
    """A value that must be there."""
    text = _text(secret, key).strip()
    if not text:
        raise StoreProblem("SecretInvalid", f"Secret {secret['metadata']['name']!r}: the value of {key} is empty")
    return text


def _text(secret: Object, key: str) -> str:
    name = secret["metadata"]["name"]
    try:
        return base64.b64decode((secret.get("data") or {})[key], validate=True).decode()
    except KeyError:
        raise StoreProblem("SecretInvalid", f"Secret {name!r} has no key {key}; add it") from None
    except (binascii.Error, UnicodeDecodeError):
        raise StoreProblem("SecretInvalid", f"Secret {name!r}: the value of {key} is not text") from None


def problem_of(error: Exception) -> StoreProblem:
    """A store error as a condition's reason and message."""
    if isinstance(error, StoreProblem):
        return error
    if isinstance(error, StoreDenied):
        return StoreProblem("StoreDenied", str(error))
    if isinstance(error, StoreUnreachable):
        return StoreProblem("StoreUnreachable", f"{error}; it is tried again")
    if isinstance(error, NoConditionalWrites):
        return StoreProblem("NoConditionalWrites", str(error))
    if isinstance(error, ObjectTooLarge):
        return StoreProblem("ObjectTooLarge", f"{error}; it is not what the trainer writes: remove it")
    if isinstance(error, ListingTooLong):
        return StoreProblem("ListingTooLong", str(error))
    if isinstance(error, ObjectNotFound):
        return StoreProblem("BucketOrObjectNotFound", f"{error}; create it, or correct spec.store")
    return StoreProblem("StoreError", str(error))
