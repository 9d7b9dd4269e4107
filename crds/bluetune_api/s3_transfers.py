"""Objects that take many seconds: downloads that go on where they broke off, and uploads in parts.

Each class is the state of one transfer. Its methods are single tries, to be called by something that tries again.
"""

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Protocol
from xml.etree import ElementTree

import urllib3
from minio import Minio
from minio.error import S3Error

from bluetune_api.objectstore import ObjectInfo
from bluetune_api.s3_answers import Busy, Refused, checked

PART_BYTES = 64 << 20
"""Size of an upload's parts, which are in memory one at a time."""
MAX_PARTS = 10_000
"""Maximum number of parts that S3 takes for one object."""
CHUNK_BYTES = 1 << 20
MIN_BYTES = 1 << 16
"""A body that brings less in the time of a read's limit counts as no answer, however steadily it drips."""


class Send(Protocol):
    """Sends a request whose headers are the sender's own, and signed."""

    def __call__(
        self, method: str, key: str, body: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """The answer, of whatever status."""


def part_bytes(size: int) -> int:
    """Bytes of each part but the last of an object of `size` bytes."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


class Download:
    """An object on its way into a file.

    Args:
        client, bucket, name: where it comes from.
        file: what it is written to, from its begin.
        etag: what it must have; default: whatever the first answer says, and all further ones must say the same.
        stall_seconds: in which MIN_BYTES must come.
        clock: the time in seconds.
    """

    def __init__(
        self,
        client: Minio,
        bucket: str,
        name: str,
        file: IO[bytes],
        *,
        etag: str | None,
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._bucket, self._name, self._file = client, bucket, name, file
        self._pinned = etag is not None
        self._etag = f'"{etag}"' if etag is not None else None
        self._stall_seconds, self._clock = stall_seconds, clock
        self._have = self._most = 0

    def progress(self) -> int:
        """Grows with what was received; not by a few bytes, and not by receiving them a second time."""
        return self._most // MIN_BYTES

    def attempt(self) -> None:
        """Receive what is missing. Raises S3Error, and what else the client does."""
        try:
            response = self._client.get_object(
                self._bucket,
                self._name,
                offset=self._have,
                request_headers={"If-Match": self._etag} if self._etag is not None else {},
            )
        except S3Error as error:
            if self._pinned or not self._have or error.response.status not in (412, 416):
                raise
            self._begin_again()
            raise Busy("the object was replaced while it was read") from None
        with contextlib.closing(response):
            if self._have and response.status != 206:  # the whole object: this server does not know ranges
                self._have = 0
            self._file.seek(self._have)
            self._file.truncate()
            tag = response.headers.get("ETag", "")
            if self._etag is None and tag.startswith('"'):  # a weak one matches nothing
                self._etag = tag
            try:
                self._receive(response)
            except urllib3.exceptions.HTTPError:
                if self._etag is None:  # the rest may be another object's
                    self._have = 0
                raise
            response.release_conn()

    def _receive(self, response: urllib3.BaseHTTPResponse) -> None:
        mark, since = self._have, self._clock()
        # a body that ends too early is an error (urllib3's enforce_content_length)
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            self._file.write(chunk)
            self._have += len(chunk)
            self._most = max(self._most, self._have)
            if self._have - mark >= MIN_BYTES:
                mark, since = self._have, self._clock()
            elif self._clock() - since > self._stall_seconds:
                raise urllib3.exceptions.TimeoutError("the body came too slowly")

    def _begin_again(self) -> None:
        self._have, self._etag = 0, None


@dataclass
class Upload:
    """A file on its way into an object, in parts.

    Each part carries its MD5, so that bytes that were damaged on the way are refused.
    """

    send: Send
    key: str
    size: int
    _id: str = ""
    _parts: list[str] = field(default_factory=list)
    """ETags, in order."""

    def begin(self) -> None:
        """Open the upload; nothing is seen of it before `complete`."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = checked(self.send("POST", self.key, b"", headers, {"uploads": ""}))
        self._id = _text(answer.data, "UploadId")

    def add(self, data: bytes) -> None:
        """Send the next part."""
        number = len(self._parts) + 1
        answer = checked(self._send("PUT", data, {"partNumber": str(number), "uploadId": self._id}))
        self._parts.append(answer.headers["ETag"].strip('"'))

    def complete(self, stat: Callable[[], ObjectInfo | None]) -> None:
        """Make the parts an object. `stat` looks at it, for an earlier try may have done that and not been told."""
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, tag in enumerate(self._parts, 1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{tag}"'
        try:
            checked(self._send("POST", ElementTree.tostring(root), {"uploadId": self._id}))
        except S3Error as error:
            if error.code != "NoSuchUpload" or not self._is_there(stat()):
                raise
        except Refused as error:
            if error.status != 404 or not self._is_there(stat()):
                raise

    def abort(self) -> None:
        """Give up the upload, so that its parts take no space."""
        checked(self.send("DELETE", self.key, b"", {}, {"uploadId": self._id}))

    def _send(self, method: str, body: bytes, query: dict[str, str]) -> urllib3.BaseHTTPResponse:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        return self.send(method, self.key, body, {"Content-MD5": base64.b64encode(digest).decode()}, query)

    def _is_there(self, info: ObjectInfo | None) -> bool:
        return info is not None and info.size == self.size and info.etag == multipart_etag(self._parts)


def multipart_etag(parts: list[str]) -> str | None:
    """ETag of an object that was made of parts with these ETags; None if they are no MD5 (encryption by a key service).

    MD5 of the parts' MD5s, a hyphen and their number: not in S3's documentation, but what S3, MinIO and others do.
    """
    try:
        joined = b"".join(bytes.fromhex(tag) for tag in parts)
    except ValueError:
        return None
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _text(document: bytes, name: str) -> str:
    """Text of the first element of that name, in whatever namespace. Raises ParseError."""
    for element in ElementTree.fromstring(document).iter():  # noqa: S314 - of the store that is trusted
        if element.tag.rpartition("}")[2] == name and element.text:
            return element.text
    raise ElementTree.ParseError(f"the answer has no {name}")
