"""What comes of an S3 request that failed: whether another try may help, and what a user is told.

No text that a server or a library made is quoted before `without_signatures` has seen it: some of them repeat the
request, and a request holds the key's id and a signature.
"""

import re
from xml.etree import ElementTree

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from bluetune_api.objectstore import ObjectChanged, ObjectNotFound, StoreDenied, StoreError, StoreUnreachable

STALE_TOKEN = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired"}
DENIED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}
ELSEWHERE = {"AuthorizationHeaderMalformed", "PermanentRedirect", "IncorrectEndpoint", "TemporaryRedirect"}
"""The request was signed for another region than the bucket's, or went to another region's address."""
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
DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"}
"""The server received other bytes than were sent."""
FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}


class Busy(Exception):
    """A request got an answer that is worth another try."""


class Refused(Exception):
    """A request was refused, in no words of S3."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


UNANSWERED = (Busy, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, ElementTree.ParseError)
"""What says that something other than the store answered, or nothing, or half of it."""

_ERROR = re.compile(rb"\s*(<\?xml[^>]*\?>\s*)?<Error[\s>]")
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256[^'\"<>]*"
    r"|(?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|Credential|AWSAccessKeyId)(?:=|%3D)[^\s&,'\"<>]+",
    re.IGNORECASE,
)


def without_signatures(text: object) -> str:
    """A text in which each signature, token and key id of a request is replaced by three dots."""
    return _SIGNED.sub("…", str(text))


def retryable(error: Exception) -> bool:
    """Whether another try may help."""
    if isinstance(error, S3Error):
        status = getattr(error.response, "status", 0)
        return error.code in BUSY | FULL | DAMAGED or status == 429 or (status >= 500 and status != 501)
    return isinstance(error, UNANSWERED)


def checked(response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    """The answer to a presigned request, if it is a success.

    Raises:
        S3Error: the server refuses, and says why. CompleteMultipartUpload may do so after it said 200.
        Busy: it is worth another try.
        Refused: something refuses that does not speak S3.
    """
    if _ERROR.match(response.data):
        raise S3Error.fromxml(response)
    if response.status < 300:
        return response
    said = f"HTTP {response.status} {without_signatures(response.data[:200])}"
    if response.status >= 500 or response.status == 429:
        raise Busy(said)
    raise Refused(response.status, said)


def in_words(error: Exception, where: str, attempts: int) -> StoreError:
    """An error of the S3 client as one for users.

    Args:
        error: one of FAILURES.
        where: what was to be done, such as "read s3://bucket/key at host".
        attempts: how often it was tried.
    """
    if isinstance(error, S3Error):
        return _refused(error, where, attempts)
    if isinstance(error, Refused) and error.status in (401, 403):
        return StoreDenied(f"cannot {where}: {error}; check the keys in the credentials Secret, and what they may do")
    if isinstance(error, Refused) and error.status == 404:
        return ObjectNotFound(f"cannot {where}: {error}")
    if isinstance(error, UNANSWERED):
        return StoreUnreachable(f"cannot {where} after {attempts} attempts: {without_signatures(error)}")
    return StoreError(f"cannot {where}: {without_signatures(error)}")


def lacks_encryption(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether a server says that it cannot encrypt as it was asked to."""
    return _ERROR.match(response.data) is not None and _is_of_encryption(S3Error.fromxml(response))


def _is_of_encryption(error: S3Error) -> bool:
    """AWS names a right that is missing in the message alone, as of an AccessDenied; MinIO without keys says
    NotImplemented."""
    code, message = (error.code or "").lower(), (error.message or "").lower()
    return code.startswith("kms") or "kms:" in message or (code == "notimplemented" and "encryption" in message)


def _refused(error: S3Error, where: str, attempts: int) -> StoreError:
    code = error.code or "no code"
    if code in STALE_TOKEN:
        return StoreDenied(
            f"cannot {where}: {code}; the session token has expired or belongs to other keys: put a new set of"
            " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN into the credentials Secret, or keys that"
            " need no token"
        )
    if code in ELSEWHERE:
        return StoreDenied(
            f"cannot {where}: {code}: {without_signatures(error.message)}; check spec.store.region and"
            " spec.store.endpoint: the bucket may be in another region"
        )
    if _is_of_encryption(error):
        return StoreDenied(
            f"cannot {where}: {code}: {without_signatures(error.message)}; check spec.store.encryption, and that the"
            " store's keys may use that KMS key (kms:GenerateDataKey and kms:Decrypt)"
        )
    if code in DENIED:
        return StoreDenied(
            f"cannot {where}: {code}; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the credentials Secret"
            " (and AWS_SESSION_TOKEN, if the keys are temporary), and what these keys may do"
        )
    if code in MISSING:
        return ObjectNotFound(f"cannot {where}: {code}")
    if code == "PreconditionFailed":
        return ObjectChanged(f"cannot {where}: it changed since it was checked")
    if code in FULL:
        return StoreError(f"cannot {where}: {code} after {attempts} attempts; the store has no space left: make room")
    if code == "RequestTimeTooSkewed":
        return StoreError(f"cannot {where}: {code}; the clocks of this machine and of the store differ: correct them")
    if retryable(error):
        return StoreUnreachable(f"cannot {where}: {code} after {attempts} attempts")
    return StoreError(f"cannot {where}: {code}: {without_signatures(error.message)}")


FAILURES = (MinioException, Refused, ValueError, *UNANSWERED)
"""All that `in_words` takes."""
