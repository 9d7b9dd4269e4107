"""Real servers on 127.0.0.1 that answer rightly, wrongly, endlessly, or not at all."""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bluetune_api.records import Probe
from bluetune_api.verify import Verify
from bluetune_operator.adapters import serving
from bluetune_operator.adapters.serving import PodServers
from bluetune_operator.core.rollout.moves import Answers

D = "sha256:" + "1" * 64
PROBE = Probe(texts=["a"], vectors=[[1.0, 0.0]])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/version":
            self.say(200, json.dumps({"digest": D}).encode())
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/version")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while True:
                    self.wfile.write(b"x" * 65536)
        elif self.path == "/silent":
            threading.Event().wait(3)
        else:
            self.say(404, b"")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/embeddings" and asked["model"] == "products":
            items = [{"index": number, "embedding": [1, 0]} for number, _ in enumerate(asked["input"])]
            self.say(200, json.dumps({"data": items}).encode())
            return
        if "texts" not in asked:
            self.say(404, b"")
            return
        vector = [1, 0] if self.path == "/encode" else [0, 1]
        self.say(200, json.dumps({"vectors": [vector for _ in asked["texts"]]}).encode())

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def ask(verify: Verify, count: int = 1, probe: Probe | None = None) -> Answers:
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": f"blue-{n}"}, "status": {"podIP": "127.0.0.1"}} for n in range(count)
    ]

    async def asked() -> Answers:
        servers = PodServers()
        try:
            return await servers.ask(pods, verify, D, probe)
        finally:
            await servers.close()

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/version", None),
        ("/other", ": GET /other: HTTP 404"),
        ("/moved", "HTTP 302"),
        ("/endless", "longer than"),
        ("/silent", "no answer within"),
    ],
)
def test_every_pod_is_asked_for_its_digest(
    port: int, path: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "VERSION_SECONDS", 1.0 if path == "/silent" else 10.0)
    answers = ask(Verify(port=port, version_path=path), 3)
    assert answers.right == (words is None)
    assert (words or "3 pods serve") in answers.message
    assert answers.message.startswith("3 pods" if words is None else "pod blue-")


@pytest.mark.parametrize(("path", "right"), [("/encode", True), ("/wrong", False)])
def test_vectors_are_compared_with_the_probe(port: int, path: str, right: bool) -> None:
    answers = ask(Verify(port=port, encode_path=path), probe=PROBE)
    assert answers.right == right
    assert right or "cosine" in answers.message


NO_SUCH_MODEL = "POST /v1/embeddings: HTTP 404; see verify.model='shop' and verify.encodePath='/v1/embeddings'"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("products", None),
        ("shop", NO_SUCH_MODEL),
    ],
)
def test_a_server_with_openais_api_is_asked_for_vectors_alone(port: int, model: str, words: str | None) -> None:
    answers = ask(Verify(port=port, api="OpenAI", model=model, version_path="/not-there"), 2, PROBE)
    assert answers.right == (words is None)
    assert (words or "") in answers.message


def test_no_pod_is_no_right_answer() -> None:
    assert not ask(Verify(port=1), 0).right


def test_a_closed_port_is_said() -> None:
    answers = ask(Verify(port=9))
    assert "no answer" in answers.message
    assert answers.reason == "VerifyUnreachable"


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/other", "VerifyFailed"), ("/endless", "VerifyFailed"), ("/silent", "VerifyUnreachable")],
)
def test_a_pod_that_cannot_be_asked_is_told_from_one_that_answers_wrongly(
    port: int, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "VERSION_SECONDS", 1.0 if path == "/silent" else 10.0)
    assert ask(Verify(port=port, version_path=path)).reason == reason


def test_one_pod_that_does_not_answer_rightly_ends_the_round(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "VERSION_SECONDS", 2.0)
    begun = time.monotonic()
    assert not ask(Verify(port=port, version_path="/silent"), 200).right
    assert time.monotonic() - begun < 8, "200 pods, 16 at once, 2 s each, would be 25 s"


def test_pods_of_one_model_that_hang_hold_up_no_other_models_round(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "VERSION_SECONDS", 3.0)
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": f"blue-{n}"}, "status": {"podIP": "127.0.0.1"}} for n in range(100)
    ]

    async def asked() -> tuple[Answers, float]:
        servers = PodServers()
        hanging = asyncio.create_task(servers.ask(pods, Verify(port=port, version_path="/silent"), D, None))
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        answers = await servers.ask(pods[:3], Verify(port=port), D, None)
        seconds = time.monotonic() - begun
        await hanging
        await servers.close()
        return answers, seconds

    answers, seconds = asyncio.run(asked())
    assert answers.right
    assert seconds < 2


def test_https_is_spoken_where_the_scheme_says_so(tmp_path: Path) -> None:
    """With a certificate that names nobody's address, as a pod's does."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "blue.example.com")])
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(named, named, private.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, form, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(private.private_bytes(pem, form, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert ask(Verify(port=port, scheme="HTTPS")).right
        assert ask(Verify(port=port)).reason == "VerifyUnreachable"
    finally:
        server.shutdown()
