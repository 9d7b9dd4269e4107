"""A small real server for the blue Deployment: says what it serves, from its environment, and encodes if it has files.

Without files it answers the probe's vector. Runs in a pod, by path. UNREADY, LYING, SKEWED, CRASHING name versions that
must misbehave; a skewed one encodes a little differently from what was published (cosine 0.998).
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION, DIGEST = os.environ.get("BLUETUNE_VERSION", ""), os.environ.get("BLUETUNE_DIGEST", "")
MODEL = os.environ.get("MODEL_FOLDER")


def encoder() -> Any:
    """The model in MODEL_FOLDER, opened as its users do."""
    if MODEL is None:
        return None
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(MODEL, device="cpu")


class Handler(BaseHTTPRequestHandler):
    model: Any = None

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(503 if not VERSION or os.environ.get("UNREADY") == VERSION else 200, {})
        elif self.path == "/version":
            lying = os.environ.get("LYING") == VERSION
            self.answer(200, {"version": VERSION, "digest": "sha256:" + "0" * 64 if lying else DIGEST})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.model is None:
            vector = [0.998, 0.0632139] if os.environ.get("SKEWED") == VERSION else [1.0, 0.0]
            self.answer(200, {"vectors": [vector for _ in body["texts"]]})
            return
        prompt = self.model.prompts.get(body.get("kind", "query"), "")
        vectors = self.model.encode([prompt + t for t in body["texts"]], normalize_embeddings=True)
        self.answer(200, {"vectors": vectors.tolist()})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    if VERSION and os.environ.get("CRASHING") == VERSION:
        sys.exit(f"version {VERSION} cannot be loaded")
    Handler.model = encoder()
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
