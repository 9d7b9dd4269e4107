"""What users read when an S3 request fails, and what they must never read."""

from io import BytesIO
from xml.sax.saxutils import escape

import pytest
import urllib3
from minio.error import S3Error

from bluetune_api.objectstore import NoConditionalWrites, ObjectNotFound, StoreDenied, StoreError, StoreUnreachable
from bluetune_api.s3 import S3Store
from bluetune_api.s3_answers import Busy, Refused, checked, in_words, lacks_encryption, without_signatures
from bluetune_api.store_location import StoreLocation

SIGNED = "https://s3/b/k?X-Amz-Credential=AKIDEXAMPLE%2F2026&X-Amz-Security-Token=tok%2Fen&X-Amz-Signature=5d672d79c1"
HEADER = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\\n/20261130/us-east-1/s3/aws4_request, Signature=5d672d79c1"
SECRETS = ("AKIDEXAMPLE", "5d672d79c1", "tok%2Fen")


def answer(status: int, body: bytes) -> urllib3.HTTPResponse:
    return urllib3.HTTPResponse(body=BytesIO(body), status=status, preload_content=True)


def refusal(code: str, message: str = "") -> S3Error:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()
    return S3Error.fromxml(answer(403, body))


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"Invalid header value b'{HEADER}'"),
        Busy(f"HTTP 502 {SIGNED}"),
        urllib3.exceptions.ProtocolError(f"Connection broken: {SIGNED}"),
        refusal("Odd", f"cannot do {SIGNED}"),
    ],
)
def test_no_message_holds_a_key_a_token_or_a_signature(error: Exception) -> None:
    said = str(in_words(error, "read s3://b/k at s3", 1))
    assert "read s3://b/k at s3" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_a_text_without_a_signature_is_left_as_it_is() -> None:
    text = "connection refused: [Errno 111], tried http://store:9000/bucket/key?list-type=2&prefix=a"
    assert without_signatures(text) == text


@pytest.mark.parametrize(
    ("status", "body", "error", "kind"),
    [
        (200, b"", None, None),
        (200, b"<?xml version='1.0'?><CompleteMultipartUploadResult/>", None, None),
        (200, b" \n<Error><Code>InternalError</Code></Error>", S3Error, StoreUnreachable),
        (400, b"<Error><Code>BadDigest</Code></Error>", S3Error, StoreUnreachable),
        (403, b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", S3Error, StoreDenied),
        (403, b"<html>go away</html>", Refused, StoreDenied),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", S3Error, ObjectNotFound),
        (404, b"", Refused, ObjectNotFound),
        (418, b"tea", Refused, StoreError),
        (502, b"<html><br></html>", Busy, StoreUnreachable),
        (429, b"", Busy, StoreUnreachable),
    ],
)
def test_an_answer_becomes_the_error_that_it_says(
    status: int, body: bytes, error: type[Exception] | None, kind: type[StoreError] | None
) -> None:
    if error is None or kind is None:
        assert checked(answer(status, body)).status == status
        return
    with pytest.raises(error) as caught:
        checked(answer(status, body))
    assert type(in_words(caught.value, "write", 1)) is kind


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "InvalidTokenId"])
def test_a_token_that_does_not_fit_is_named(code: str) -> None:
    error = in_words(refusal(code), "read s3://b/k at s3", 1)
    assert isinstance(error, StoreDenied)
    assert "AWS_SESSION_TOKEN" in str(error)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("NotImplemented", "Server side encryption specified but KMS is not configured"),
        ("kms:KeyNotFound", "key with given key ID does not exist"),
        ("KMS.DisabledException", "arn:aws:kms:eu-central-1:1:key/k is disabled"),
        ("AccessDenied", "User: u is not authorized to perform: kms:GenerateDataKey on the resource"),
    ],
)
def test_a_refusal_about_encryption_names_the_field_and_says_what_the_server_said(code: str, message: str) -> None:
    error = in_words(refusal(code, f"{message} {SIGNED}"), "write s3://b/k at s3", 1)
    assert isinstance(error, StoreDenied)
    assert f"{code}: {message}" in str(error)
    assert "check spec.store.encryption" in str(error)
    assert "kms:GenerateDataKey and kms:Decrypt" in str(error)
    assert not [secret for secret in SECRETS if secret in str(error)]


@pytest.mark.parametrize(
    ("body", "lacks"),
    [
        (
            b"<Error><Code>NotImplemented</Code><Message>Server side encryption specified</Message></Error>",
            True,
        ),
        (b"<Error><Code>NotImplemented</Code><Message>If-None-Match</Message><Key>encryption</Key></Error>", False),
        (b"<html>encryption</html>", False),
        (b"", False),
    ],
)
def test_a_store_that_cannot_encrypt_is_told_from_one_without_conditional_writes(
    body: bytes, lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lacks_encryption(answer(501, body)) == lacks
    store = S3Store(StoreLocation(endpoint="s:1", bucket="models"), access_key="a", secret_key="s", attempts=1)
    monkeypatch.setattr(store, "_send", lambda *_: answer(501, body))
    with pytest.raises(StoreDenied if lacks else NoConditionalWrites):
        store.create("a", b"1")
