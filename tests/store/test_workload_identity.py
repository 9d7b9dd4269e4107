"""A store opened by workload identity: MinIO's token service takes a signed token and gives short-lived keys."""

import base64
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from minio.credentials.providers import WebIdentityProvider

from bluetune_api import store_layout
from bluetune_api.identity import SIGNS, workload_identity
from bluetune_api.objectstore import StoreDenied, StoreUnreachable
from bluetune_api.s3 import S3Store, store_from_environment
from bluetune_api.store_location import StoreLocation
from cluster import openid, s3
from cluster.lifecycle import Cluster

AUDIENCE = "bluetune-test"


class Issuer:
    """Signs tokens, as a cluster's API server does."""

    url: str

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": _number(numbers.n), "e": _number(numbers.e)}
        self.keys = json.dumps({"keys": [key]}).encode()

    def token(self, **claims: str) -> str:
        now = int(time.time())
        body = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "system:serviceaccount:n:trainer",
            "iat": now,
            "exp": now + 3600,
        }
        head = _text({"alg": "RS256", "kid": "1"}) + "." + _text(body | claims)
        return head + "." + _encoded(self._key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _text(value: object) -> str:
    return _encoded(json.dumps(value).encode())


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    with openid.issuer(made.keys) as made.url:
        yield made


@pytest.fixture
def trusting(cluster: Cluster, issuer: Issuer) -> Iterator[s3.Server]:
    """A MinIO of this test's own that trusts the issuer, with the bucket `models`."""
    with openid.trusting_minio(cluster.state, issuer.url, AUDIENCE, "models") as server:
        yield server


@pytest.fixture
def pod(trusting: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment that a cloud's webhook gives to a pod; returns the token's file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *SIGNS):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "token"
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", trusting.endpoint)
    return file


def opened(server: s3.Server) -> S3Store:
    location = StoreLocation(endpoint=server.address, bucket="models", secure=False)
    return store_from_environment(location)


def test_a_pod_with_a_token_and_no_keys_reads_and_writes(trusting: s3.Server, issuer: Issuer, pod: Path) -> None:
    pod.write_text(issuer.token(policy="readwrite"))
    store = opened(trusting)
    store.put("a", b"1")
    assert store.create("b", b"2")
    assert not store.create("b", b"3")
    assert (store.get("a"), store.get("b")) == (b"1", b"2")


def test_a_role_that_may_only_read_is_refused_writing(trusting: s3.Server, issuer: Issuer, pod: Path) -> None:
    pod.write_text(issuer.token(policy="readonly"))
    with pytest.raises(StoreDenied, match="AccessDenied"):
        opened(trusting).put("a", b"1")


@contextmanager
def answering(*codes: str) -> Iterator[str]:
    """A token service that refuses with these codes, one after the other and the last again and again."""
    left = list(codes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            code = left.pop(0) if len(left) > 1 else left[0]
            body = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_token_service_that_says_later_is_asked_again_and_one_that_refuses_is_not(
    trusting: s3.Server, issuer: Issuer, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.write_text(issuer.token(policy="readwrite"))
    location = StoreLocation(endpoint=trusting.address, bucket="models", secure=False)
    with answering("STSIAMNotInitialized", "InvalidParameterValue", "InvalidIdentityToken") as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service)
        store = S3Store(location, identity=workload_identity(os.environ), attempts=3)
        with pytest.raises(StoreDenied, match=r"answered HTTP 400 \(InvalidIdentityToken\)"):
            store.get("a")
    with answering("STSIAMNotInitialized") as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service)
        store = S3Store(location, identity=workload_identity(os.environ), attempts=2)
        with pytest.raises(StoreUnreachable, match=r"answered HTTP 400 \(STSIAMNotInitialized\)"):
            store.get("a")


def test_a_token_that_is_not_trusted_is_named_and_never_shown(trusting: s3.Server, issuer: Issuer, pod: Path) -> None:
    token = issuer.token(policy="readwrite", aud="another")
    pod.write_text(token)
    with pytest.raises(StoreDenied, match="no keys by workload identity: the token service 127") as raised:
        opened(trusting).get("a")
    assert token not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_token_service_that_is_away_is_named_and_the_token_never_shown(
    trusting: s3.Server, issuer: Issuer, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(policy="readwrite")
    pod.write_text(token)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    location = StoreLocation(endpoint=trusting.address, bucket="models", secure=False)
    store = S3Store(location, identity=workload_identity(os.environ), attempts=1)
    with pytest.raises(StoreUnreachable, match=r"the token service 127\.0\.0\.1:1 did not answer") as raised:
        store.get("a")
    assert token not in str(raised.value)


def test_the_policy_in_the_documentation_is_enough_and_no_more(trusting: s3.Server, issuer: Issuer) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    (policy,) = re.findall(r"```\n(\{\"Version.*?)```", page, re.DOTALL)
    keys = WebIdentityProvider(
        jwt_provider_func=lambda: {"access_token": issuer.token(policy="readwrite"), "expires_in": "3600"},
        sts_endpoint=trusting.endpoint,
        policy=policy.replace("arn:aws:s3:::search", "arn:aws:s3:::models"),
    )

    def store(prefix: str, **opened_by: Any) -> S3Store:
        location = StoreLocation(endpoint=trusting.address, bucket="models", prefix=prefix, secure=False)
        return S3Store(location, **opened_by)

    for prefix in ("products", "others"):
        whole = store(prefix, access_key=trusting.access_key, secret_key=trusting.secret_key)
        whole.put("clickstream/b/_SUCCESS", b"")
        whole.put("versions/v/manifest.json", b"{}")
    trainer, other = store("products", identity=keys), store("others", identity=keys)
    deadline = time.monotonic() + 30
    while True:  # the token service is ready some time after the store is
        try:
            keys.retrieve()
            break
        except ValueError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    # what trainer and operator do
    assert trainer.folders("clickstream/") == ["b"]
    assert trainer.stat("clickstream/b/_SUCCESS") is not None
    assert trainer.stat("clickstream/c/_SUCCESS") is None
    assert trainer.get("versions/v/manifest.json") == b"{}"
    assert trainer.create("runs/u/result.json", b"{}")
    assert not trainer.create("runs/u/result.json", b"{}")
    for key in (
        "keys/0",
        store_layout.index("v") + "0",
        store_layout.retired("v"),
        store_layout.manifest("v"),
        store_layout.kept_evidence("v", "u"),
    ):
        trainer.put(key, b"{}")
        trainer.delete(key)
    # what they must not
    for action in (
        lambda: trainer.put("clickstream/b/part.jsonl", b"x"),
        lambda: trainer.put("items/1.jsonl", b"x"),
        lambda: other.get("versions/v/manifest.json"),
        lambda: other.put("versions/v/manifest.json", b"x"),
        lambda: list(other.list("")),
        lambda: other.folders("clickstream/"),
    ):
        with pytest.raises(StoreDenied):
            action()
