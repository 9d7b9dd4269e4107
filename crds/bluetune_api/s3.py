"""S3 as an ObjectStore, over minio-py (which comes with the extras `operator` and `trainer`)."""

import builtins
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypedDict, TypeVar

import urllib3
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from minio.helpers import check_bucket_name

from bluetune_api.credentials import ACCESS_KEY, SECRET_KEY, static_keys
from bluetune_api.identity import WorkloadIdentity, workload_identity
from bluetune_api.objectstore import (
    NoConditionalWrites,
    ObjectInfo,
    ObjectTooLarge,
    Page,
    StoreDenied,
    StoreError,
)
from bluetune_api.retries import no_progress, with_retries
from bluetune_api.s3_answers import FAILURES, Busy, checked, in_words, lacks_encryption, retryable
from bluetune_api.s3_signing import encryption_headers, signed_headers, without_query_signature
from bluetune_api.s3_transfers import Download, Upload, part_bytes
from bluetune_api.store_location import StoreLocation

T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
CHUNK_BYTES = 1 << 18
PAGE_OBJECTS = 1000
"""Maximum number of objects in an answer of ListObjectsV2."""
MAX_FOLDERS = 10_000
"""Maximum number of folders in a listing: a store's writer must not keep its readers busy without an end."""
PATIENT_ATTEMPTS, PATIENT_SECONDS = 60, 90.0
"""Retries of a trainer, which has hours of work to lose: it outlives a store that is away for a minute."""

WRITE, CREATE = "write", "create"


class _Retrying(TypedDict):
    """Arguments of `with_retries` that a store's operations share."""

    retryable: Callable[[Exception], bool]
    attempts: int
    patience_seconds: float
    sleep: Callable[[float], None]
    clock: Callable[[], float]


class S3Store:
    """A prefix of a bucket.

    Args:
        location: where it is.
        access_key, secret_key: what opens it.
        session_token: goes with them, if they are temporary keys.
        identity: what opens it instead, by workload identity.
        ca_file: certificate authority of the endpoint; default: the system's.
        attempts: failures in a row that end an operation, with pauses of at most 5 s between them. A transfer that
            comes further begins a new row.
        patience_seconds: a failure this long after the first one of its row ends the operation.
        sleep, clock: how the time passes.

    Another process that is given one opens its own, from its environment: no key leaves this one.
    """

    def __init__(
        self,
        location: StoreLocation,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
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
        self._read_seconds = read_seconds
        self._retrying: _Retrying = {
            "retryable": retryable,
            "attempts": attempts,
            "patience_seconds": patience_seconds,
            "sleep": sleep,
            "clock": clock,
        }
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connect_seconds, read=read_seconds),
            retries=False,
            maxsize=16,
            cert_reqs="CERT_REQUIRED",
            ca_certs=ca_file,
        )
        self._keys = identity or StaticProvider(access_key or "", secret_key or "", session_token)
        self._encrypted = encryption_headers(location.encryption)
        try:
            check_bucket_name(location.bucket)
            self._client = Minio(
                location.endpoint,
                credentials=self._keys,
                region=location.region,
                secure=location.secure,
                http_client=self._http,
            )
        except ValueError as error:  # what the schema's patterns cannot say: a port of 99999, a bucket named 10.0.0.1
            raise StoreError(f"the store cannot be addressed: {error}; correct spec.store") from None
        if location.addressing == "VirtualHost":
            self._client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        elif location.addressing == "Path":
            self._client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Callable[[StoreLocation], "S3Store"], tuple[StoreLocation]]:
        return store_from_environment, (self._location,)

    def _key(self, key: str) -> str:
        return f"{self._location.prefix}/{key}" if self._location.prefix else key

    def _relative(self, key: str) -> str:
        return key.removeprefix(f"{self._location.prefix}/") if self._location.prefix else key

    def _call(self, what: str, key: str, call: Callable[[], T], progress: Callable[[], int] = no_progress) -> T:
        """Retry, and turn what is left into an error that names the object and what to do."""
        attempts = 0

        def counted() -> T:
            nonlocal attempts
            attempts += 1
            return call()

        try:
            return with_retries(counted, progress=progress, **self._retrying)
        except FAILURES as error:
            # `from None`: a log that shows the whole chain would show what `in_words` leaves out
            where = f"{what} {self.uri(key)} at {self._location.endpoint}"
            if what in (WRITE, CREATE) and self._location.encryption is not None:
                where += f", {self._location.encryption.in_words()}"
            raise in_words(error, where, attempts) from None

    def _send(
        self, method: str, key: str, body: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        if (method == "POST" and "uploads" in query) or (method == "PUT" and not query):  # what makes an object
            headers = headers | self._encrypted
        presigned = self._client.get_presigned_url(method, self._bucket, self._key(key), extra_query_params=dict(query))
        url = without_query_signature(presigned)
        sent = signed_headers(method, url, headers, body, region=self._location.region, keys=self._keys.retrieve())
        return self._http.request(method, url, body=body, headers=sent)

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
                    data: bytes = response.read(decode_content=False)  # as it is stored, whatever its Content-Encoding
                else:
                    data = self._read(key, response, most, time.monotonic() + seconds)
                response.release_conn()
                return data

        return self._call("read", key, call)

    def beginning(self, key: str, size: int) -> bytes:
        """The first bytes of an object that is not empty, at most `size`. Raises ObjectNotFound."""

        def call() -> bytes:
            with contextlib.closing(self._client.get_object(self._bucket, self._key(key), length=size)) as response:
                data: bytes = response.read(decode_content=False)
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
        try:
            with temporary.open("wb") as file:
                download = Download(
                    self._client, self._bucket, self._key(key), file, etag=etag, stall_seconds=self._read_seconds
                )
                self._call("read", key, download.attempt, download.progress)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, key: str, data: bytes, *, content_type: str = "application/json") -> None:
        def call() -> None:
            checked(self._send("PUT", key, data, {"Content-Type": content_type}, {}))

        self._call(WRITE, key, call)

    def upload(self, key: str, path: Path) -> None:
        """Create or replace an object with a file's content; a part that fails is sent again by itself."""
        size = path.stat().st_size
        part = part_bytes(size)
        with path.open("rb") as file:
            if size <= part:
                self.put(key, file.read(), content_type="application/octet-stream")
                return
            upload = Upload(self._send, key, size)
            self._call(WRITE, key, upload.begin)
            try:
                for _ in range(0, size, part):
                    self._call(WRITE, key, partial(upload.add, file.read(part)))
                self._call(WRITE, key, partial(upload.complete, partial(self._stat, key)))
            except BaseException:
                with contextlib.suppress(*FAILURES):  # what went wrong first says more
                    upload.abort()
                raise

    def create(self, key: str, data: bytes, *, content_type: str = "application/json") -> bool:
        unanswered = False

        def call() -> bool:
            nonlocal unanswered
            asked_again, unanswered = unanswered, True
            headers = {"If-None-Match": "*", "Content-Type": content_type}
            response = self._send("PUT", key, data, headers, {})
            if response.status in (409, 412):  # 409: S3's answer to two conditional writes at once
                if response.status == 409 and self._stat(key) is None:
                    raise Busy("HTTP 409: another conditional write is under way")
                # an earlier try may have written it, and only its answer was lost
                return asked_again and self.get(key) == data
            if response.status == 501 and not lacks_encryption(response):
                raise NoConditionalWrites(self.uri(""))
            checked(response)
            return True

        return self._call(CREATE, key, call)

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

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a prefix; a page that fails is asked for again by itself."""
        after: str | None = ""
        while after is not None:
            page = self.page(prefix, after)
            yield from page.objects
            after = page.after

    def page(self, prefix: str, after: str = "") -> Page:
        def call() -> Page:
            listed = builtins.list(
                islice(  # what minio-py asks for in one request
                    self._client.list_objects(
                        self._bucket,
                        prefix=self._key(prefix),
                        recursive=True,
                        start_after=self._key(after) if after else None,
                    ),
                    PAGE_OBJECTS,
                )
            )
            found = [
                ObjectInfo(
                    self._relative(o.object_name or ""),
                    o.size or 0,
                    (o.etag or "").strip('"'),
                    o.last_modified.timestamp() if o.last_modified else 0.0,
                )
                for o in listed
                if not o.is_dir
            ]
            last = self._relative(listed[-1].object_name or "") if len(listed) == PAGE_OBJECTS else None
            if last is not None and last == after:
                raise StoreError(
                    f"the store of {self.uri('')} gives the same page again and again: it ignores start-after"
                )
            return Page(found, last)

        return self._call("list", prefix, call)

    def folders(self, prefix: str) -> builtins.list[str]:
        def call() -> list[str]:
            found = list(
                islice(self._client.list_objects(self._bucket, prefix=self._key(prefix)), MAX_FOLDERS + 1),
            )
            if len(found) > MAX_FOLDERS:
                raise StoreError(f"{self.uri(prefix)} holds more than {MAX_FOLDERS} folders; remove old ones")
            return sorted(
                self._relative(o.object_name or "").removeprefix(prefix).rstrip("/") for o in found if o.is_dir
            )

        return self._call("list", prefix, call)

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self._client.remove_object(self._bucket, self._key(key)))

    def uri(self, key: str) -> str:
        return self._location.uri(key)


def store_from_environment(location: StoreLocation, environment: dict[str, str] | None = None) -> S3Store:
    """A store opened by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (temporary ones have an AWS_SESSION_TOKEN), or else
    by workload identity, and BLUETUNE_CA_FILE for its certificate.

    Raises:
        StoreDenied: there are no keys, or what is there cannot be one.
    """
    env = os.environ if environment is None else environment
    keys = static_keys(env)
    identity = workload_identity(env) if keys is None else None
    if keys is None and identity is None:
        missing = [name for name in (ACCESS_KEY, SECRET_KEY) if not env.get(name, "").strip()]
        raise StoreDenied(f"{' and '.join(missing)} not set: the store's credentials Secret must hold both keys")
    return S3Store(
        location,
        access_key=keys.access_key if keys else None,
        secret_key=keys.secret_key if keys else None,
        session_token=keys.session_token if keys else None,
        identity=identity,
        ca_file=env.get("BLUETUNE_CA_FILE") or None,
        attempts=PATIENT_ATTEMPTS,
        patience_seconds=PATIENT_SECONDS,
    )
