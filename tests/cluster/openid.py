"""An OpenID issuer's two documents over HTTP, and a MinIO of a test's own that trusts it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import s3
from .paths import State


@contextmanager
def issuer(keys: bytes, name: str | None = None) -> Iterator[str]:
    """The address that tells where `keys`, a JSON web key set, are; tokens name the issuer by `name` or the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            about = {
                "issuer": name or address,
                "jwks_uri": f"{address}/keys",
                "id_token_signing_alg_values_supported": [],
            }
            body = keys if self.path == "/keys" else json.dumps(about).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def trusting_minio(state: State, issuer: str, audience: str, bucket: str, **settings: str) -> Iterator[s3.Server]:
    """A MinIO with an empty bucket that takes the issuer's tokens; `settings`: more of its MINIO_IDENTITY_OPENID_*."""
    openid = {"config_url": f"{issuer}/.well-known/openid-configuration", "client_id": audience, **settings}
    environment = {f"MINIO_IDENTITY_OPENID_{setting.upper()}": value for setting, value in openid.items()}
    with s3.minio_of_a_test(state, bucket, **environment) as server:
        yield server
