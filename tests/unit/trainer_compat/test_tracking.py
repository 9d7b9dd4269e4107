"""A tracker that does not answer costs a run seconds and one warning. A small module stands in for the package mlflow,
which is not installed here; its client asks the server of the tracking URI over HTTP."""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bluetune_api.records import Trial
from bluetune_trainer.compat import tracking
from bluetune_trainer.compat.tracking import Tracker

TRIAL = Trial(trial=1, params={"margin": 0.2}, metrics={"ndcg@10": 0.5}, status="ok", quality=0.5)
PACKAGE = """
import os, types, urllib.request
class MlflowClient:
    def __init__(self, tracking_uri): self.uri = tracking_uri
    def _ask(self, path):
        timeout = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        return urllib.request.urlopen(f"{self.uri}/{path}", timeout=timeout).read().decode()
    def get_experiment_by_name(self, name): return self._ask(f"get/{name}") and None
    def create_experiment(self, name): return self._ask(f"create/{name}")
    def create_run(self, experiment, run_name):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=self._ask("run")))
    def log_param(self, run, name, value): self._ask(f"param/{name}/{value}")
    def log_metric(self, run, name, value): self._ask(f"metric/{name}/{value}")
    def set_terminated(self, run, status): self._ask(f"end/{status}")
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mlflow.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tracking, "PATIENCE", 0.3)
    for name in tracking.REQUESTS:
        monkeypatch.delenv(name, raising=False)
    yield
    sys.modules.pop("mlflow", None)
    for name in tracking.REQUESTS:
        os.environ.pop(name, None)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.error for record in caplog.records if record.levelno == logging.WARNING]  # type: ignore[attr-defined]


def test_a_server_that_never_answers_is_given_up_after_the_first_trial(
    silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, begin = Tracker(silent, "shop"), time.monotonic()
    for _ in range(3):
        tracker.tell(TRIAL)
    assert time.monotonic() - begin < 0.9
    assert warnings(caplog) == ["no answer within 0.3 s"]


def test_a_server_that_is_not_there_is_given_up_at_once(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Tracker("http://127.0.0.1:9", "shop")
    for _ in range(3):
        tracker.tell(TRIAL)
    (warning,) = warnings(caplog)
    assert "refused" in warning


def test_a_server_that_answers_is_told_of_every_trial(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"id")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tracker = Tracker(f"http://127.0.0.1:{server.server_port}", "shop")
    tracker.tell(TRIAL)
    tracker.tell(TRIAL)
    server.shutdown()
    one = ["/get/shop", "/create/shop", "/run", "/param/margin/0.2", "/metric/ndcg_at_10/0.5", "/end/FINISHED"]
    assert asked == one * 2
    assert warnings(caplog) == []


def test_mlflows_own_patience_is_shortened_where_the_environment_does_not_say(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    Tracker(silent, "shop").tell(TRIAL)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
