"""Requests to S3 that carry headers of ours, signed where S3 asks for that.

minio-py would send a header of ours as metadata of the object, so such a request is signed here, with minio-py's own
Signature Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

import hashlib
from datetime import UTC, datetime
from urllib.parse import urlsplit

from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3
from minio.time import to_amz_date

from bluetune_api.store_location import Encryption

UNSIGNED = {"If-None-Match"}
"""What a proxy may drop that does not know it: that a store ignores it is found out and said, by its own check."""


def signed_headers(
    method: str, url: str, headers: dict[str, str], body: bytes, *, region: str, keys: Credentials
) -> dict[str, str]:
    """The headers to send: those given, and what signs them, the address and the body."""
    now, address = datetime.now(UTC), urlsplit(url)
    digest = hashlib.sha256(body).hexdigest()
    sent: dict[str, str | list[str] | tuple[str]] = {
        **{name: value for name, value in headers.items() if name not in UNSIGNED},
        "Host": address.netloc,
        "X-Amz-Content-Sha256": digest,
        "X-Amz-Date": to_amz_date(now),
    }
    if keys.session_token:
        sent["X-Amz-Security-Token"] = keys.session_token
    signed = sign_v4_s3(
        method=method, url=address, region=region, headers=sent, credentials=keys, content_sha256=digest, date=now
    )
    return headers | {name: str(value) for name, value in signed.items()}


def without_query_signature(url: str) -> str:
    """The address of a presigned request, without what signs it."""
    address = urlsplit(url)
    query = "&".join(part for part in address.query.split("&") if not part.startswith("X-Amz-"))
    return address._replace(query=query).geturl()


def encryption_headers(encryption: Encryption | None) -> dict[str, str]:
    """What asks the store to encrypt an object that is made; none where the bucket decides."""
    if encryption is None:
        return {}
    named: dict[str, str] = {"X-Amz-Server-Side-Encryption": encryption.algorithm}
    if encryption.kms_key_id is not None:
        named["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = encryption.kms_key_id
    return named
