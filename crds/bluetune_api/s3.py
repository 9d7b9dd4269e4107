"""S3 as an ObjectStore, over minio-py (which comes with the extras `operator` and `trainer`)."""

import builtins
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import check_bucket_name

from bluetune_api.identity import WorkloadIdentity, workload_identity
from bluetune_api.objectstore import (
    ObjectChanged,
    ObjectInfo,
    ObjectNotFound,
    ObjectTooLarge,
    StoreDenied,
    StoreError,
    StoreUnreachable,
    with_retries,
)
from bluetune_api.store_location import StoreLocation

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
DENIED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthorizationHeaderMalformed",
}
MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject", "ResourceNotFound"}
BUSY = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "XMinioServerNotInitialized",
}


FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}
CHUNK_BYTES = 1 << 18
MOST_FOLDERS = 10_000
"""That are listed: who may write to a store must not keep its readers busy for ever."""
PATIENT_ATTEMPTS, PATIENT_SECONDS = 60, 90.0
"""Of a trainer, which has hours of work to lose: it outlives a store that is away for a minute."""


class _Busy(Exception):
    """A presigned request got an answer that is worth another try."""


_UNANSWERED = (_Busy, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, ElementTree.ParseError)
"""What says that something other than the store answered, or nothing, or half of it."""


def _retryable(error: Exception) -> bool:
    if isinstance(error, S3Error):
        status = getattr(error.response, "status", 0)
        return error.code in BUSY | FULL or status == 429 or (status >= 500 and status != 501)
    return isinstance(error, _UNANSWERED)


class S3Store:
    """A prefix of a bucket.

    Args:
        location: where it is.
        access_key, secret_key: what opens it.
        identity: what opens it instead, by workload identity.
        ca_file: certificate authority of the endpoint; default: the system's.
        attempts: tries of each operation, with backoff of at most 5 s between them.
        patience_seconds: a try that fails later than this after the first one began is the last.
        sleep, clock: how the time passes.

    Another process that is given one opens its own, from its environment: no key leaves this one.
    """

    def __init__(
        self,
        location: StoreLocation,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        identity: WorkloadIdentity | None = None,
        ca_file: str | None = None,
        attempts: int = 6,
        patience_seconds: float = math.inf,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._location = location
        self._bucket = location.bucket
        self._retry: Callable[[Callable[[], Any]], Any] = partial(
            with_retries,
            retryable=_retryable,
            attempts=attempts,
            patience_seconds=patience_seconds,
            sleep=sleep,
            clock=clock,
        )
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connect_seconds, read=read_seconds),
            retries=False,
            maxsize=16,
            cert_reqs="CERT_REQUIRED",
            ca_certs=ca_file,
        )
        try:
            check_bucket_name(location.bucket)
            self._client = Minio(
                location.endpoint,
                access_key=access_key,
                secret_key=secret_key,
                credentials=identity,
                region=location.region,
                secure=location.secure,
                http_client=self._http,
            )
        except ValueError as error:  # what the schema's patterns cannot say: a port of 99999, a bucket named 10.0.0.1
            raise StoreError(f"the store cannot be addressed: {error}; correct spec.store") from None

    def __reduce__(self) -> tuple[Callable[[StoreLocation], "S3Store"], tuple[StoreLocation]]:
        return store_from_environment, (self._location,)

    def _key(self, key: str) -> str:
        return f"{self._location.prefix}/{key}" if self._location.prefix else key

    def _relative(self, key: str) -> str:
        return key.removeprefix(f"{self._location.prefix}/") if self._location.prefix else key

    def _call(self, what: str, key: str, call: Callable[[], T]) -> T:
        """Retry, and turn what is left into an error that names the object and what to do."""
        where = f"{what} {self.uri(key)} at {self._location.endpoint}"
        attempts = 0

        def counted() -> T:
            nonlocal attempts
            attempts += 1
            return call()

        try:
            result: T = self._retry(counted)
            return result
        except S3Error as error:
            if error.code in DENIED:
                raise StoreDenied(
                    f"cannot {where}: {error.code}; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    " in the credentials Secret, and what these keys may do"
                ) from error
            if error.code in MISSING:
                raise ObjectNotFound(f"cannot {where}: {error.code}") from error
            if error.code == "PreconditionFailed":
                raise ObjectChanged(f"cannot {where}: it changed since it was checked") from error
            if error.code in FULL:
                raise StoreError(
                    f"cannot {where}: {error.code} after {attempts} attempts; the store has no space left: make room"
                ) from error
            if error.code == "RequestTimeTooSkewed":
                raise StoreError(
                    f"cannot {where}: {error.code}; the clocks of this machine and of the store differ: correct them"
                ) from error
            if _retryable(error):
                raise StoreUnreachable(f"cannot {where}: {error.code} after {attempts} attempts") from error
            raise StoreError(f"cannot {where}: {error.code}: {error.message}") from error
        except _UNANSWERED as error:
            raise StoreUnreachable(f"cannot {where} after {attempts} attempts: {error}") from error
        except (MinioException, ValueError) as error:
            raise StoreError(f"cannot {where}: {error}") from error

    def get(self, key: str, *, most: int | None = None, seconds: float = math.inf) -> bytes:
        """Content of an object. Raises ObjectNotFound.

        Args:
            key: which object.
            most: bytes that are read at most; a longer object raises ObjectTooLarge.
            seconds: a body that takes longer, however steadily it drips, counts as no answer.
        """

        def call() -> bytes:
            with contextlib.closing(self._client.get_object(self._bucket, self._key(key))) as response:
                if most is None:
                    data: bytes = response.read()
                else:
                    data = self._read(key, response, most, time.monotonic() + seconds)
                response.release_conn()
                return data

        return self._call("read", key, call)

    def _read(self, key: str, response: urllib3.BaseHTTPResponse, most: int, deadline: float) -> bytes:
        data = bytearray()
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            data += chunk
            if len(data) > most:
                raise ObjectTooLarge(f"{self.uri(key)} is longer than the {most} bytes that such an object may have")
            if time.monotonic() > deadline:
                raise urllib3.exceptions.TimeoutError("the body came too slowly")
        return bytes(data)

    def download(self, key: str, path: Path, *, etag: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
        headers = {"If-Match": f'"{etag}"'} if etag is not None else {}

        def call() -> None:
            response = self._client.get_object(self._bucket, self._key(key), request_headers=dict(headers))
            with contextlib.closing(response), temporary.open("wb") as file:
                # enforce_content_length makes a truncated body an error, which is retried
                for chunk in response.stream(1 << 20):
                    file.write(chunk)
                response.release_conn()

        try:
            self._call("read", key, call)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, key: str, data: bytes, *, content_type: str = "application/json") -> None:
        self._call(
            "write",
            key,
            lambda: self._client.put_object(
                self._bucket, self._key(key), BytesIO(data), len(data), content_type=content_type
            ),
        )

    def upload(self, key: str, path: Path) -> None:
        self._call("write", key, lambda: self._client.fput_object(self._bucket, self._key(key), str(path)))

    def create(self, key: str, data: bytes, *, content_type: str = "application/json") -> bool:
        # minio-py would send If-None-Match as metadata of the object, so the request is presigned and sent as it is
        unanswered = False

        def call() -> bool:
            nonlocal unanswered
            asked_again, unanswered = unanswered, True
            url = self._client.presigned_put_object(self._bucket, self._key(key), expires=timedelta(minutes=10))
            response = self._http.request(
                "PUT", url, body=data, headers={"If-None-Match": "*", "Content-Type": content_type}
            )
            if response.status in (200, 201, 204):
                return True
            if response.status in (409, 412):  # 409: S3's answer to two conditional writes at once
                if response.status == 409 and self._stat(key) is None:
                    raise _Busy(f"HTTP 409 {response.data[:200]!r}")
                # an earlier try may have written it, and only its answer was lost
                return asked_again and self.get(key) == data
            if response.status != 404 and response.data.lstrip().startswith(b"<"):
                raise S3Error.fromxml(response)
            if response.status >= 500 or response.status == 429:
                raise _Busy(f"HTTP {response.status} {response.data[:200]!r}")
            if response.status in (401, 403):
                raise StoreDenied(
                    f"cannot create {self.uri(key)} at {self._location.endpoint}: HTTP {response.status};"
                    " check the keys in the credentials Secret, and what they may do"
                )
            if response.status == 404:
                raise ObjectNotFound(f"cannot create {self.uri(key)}: no bucket {self._bucket!r}")
            raise StoreError(f"cannot create {self.uri(key)}: HTTP {response.status} {response.data[:200]!r}")

        return self._call("create", key, call)

    def _stat(self, key: str) -> ObjectInfo | None:
        try:
            found = self._client.stat_object(self._bucket, self._key(key))
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchObject"):
                return None
            raise
        modified = found.last_modified.timestamp() if found.last_modified else 0.0
        return ObjectInfo(key, found.size or 0, found.etag or "", modified)

    def stat(self, key: str) -> ObjectInfo | None:
        return self._call("look at", key, lambda: self._stat(key))

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[ObjectInfo]:
        """All objects below a prefix; more than `most` are refused with StoreError."""

        def call() -> list[ObjectInfo]:
            listed = self._client.list_objects(self._bucket, prefix=self._key(prefix), recursive=True)
            found = [
                ObjectInfo(
                    self._relative(o.object_name or ""),
                    o.size or 0,
                    (o.etag or "").strip('"'),
                    o.last_modified.timestamp() if o.last_modified else 0.0,
                )
                for o in islice(listed, most + 1 if most is not None else None)
                if not o.is_dir
            ]
            if most is not None and len(found) > most:
                raise StoreError(
                    f"{self.uri(prefix)} holds more than {most} objects; remove what does not belong there"
                )
            return found

        yield from self._call("list", prefix, call)

    def folders(self, prefix: str) -> builtins.list[str]:
        def call() -> list[str]:
            found = list(
                islice(self._client.list_objects(self._bucket, prefix=self._key(prefix)), MOST_FOLDERS + 1),
            )
            if len(found) > MOST_FOLDERS:
                raise StoreError(f"{self.uri(prefix)} holds more than {MOST_FOLDERS} folders; remove old ones")
            return sorted(
                self._relative(o.object_name or "").removeprefix(prefix).rstrip("/") for o in found if o.is_dir
            )

        return self._call("list", prefix, call)

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self._client.remove_object(self._bucket, self._key(key)))

    def uri(self, key: str) -> str:
        return self._location.uri(key)


def store_from_environment(location: StoreLocation, environment: dict[str, str] | None = None) -> S3Store:
    """A store opened by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or else by workload identity, and BLUETUNE_CA_FILE
    for its certificate."""
    env = os.environ if environment is None else environment
    missing = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not env.get(name)]
    identity = workload_identity(env) if missing else None
    if missing and identity is None:
        raise StoreDenied(f"{' and '.join(missing)} not set: the store's credentials Secret must hold both keys")
    return S3Store(
        location,
        access_key=None if identity else env["AWS_ACCESS_KEY_ID"],
        secret_key=None if identity else env["AWS_SECRET_ACCESS_KEY"],
        identity=identity,
        ca_file=env.get("BLUETUNE_CA_FILE") or None,
        attempts=PATIENT_ATTEMPTS,
        patience_seconds=PATIENT_SECONDS,
    )
