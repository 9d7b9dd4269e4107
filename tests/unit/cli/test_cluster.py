"""What an API server may answer, over a real connection."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bluetune.adapters.cluster import Cluster
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import TASKS
from bluetune.core.refusals import TRANSIENT

NOT_FOUND = json.dumps({"reason": "NotFound", "details": {"name": "t", "kind": "finetuningtasks"}})
FORBIDDEN = json.dumps({"reason": "Forbidden", "message": "is forbidden: User u"})


class Answering(ThreadingHTTPServer):
    """Gives `answers[path]`, a status and a body, to any method."""

    answers: dict[str, tuple[int, str]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        status, body = self.server.answers[self.path.partition("?")[0].rpartition("/")[2]]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def cluster(server: Answering, tmp_path: Path) -> Cluster:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(path))
        return Cluster()


@pytest.mark.parametrize("body", ["<html>log in</html>", "[]", ""])
def test_an_answer_that_is_no_object_is_one_sentence(body: str, server: Answering, cluster: Cluster) -> None:
    server.answers = {"t": (200, body), "finetuningtasks": (201, body)}
    with pytest.raises(CliError, match=r"did not answer with JSON; is a proxy in between[?]; look whether") as raised:
        cluster.create(TASKS, {})
    assert raised.value.code == Exit.UNREACHABLE
    with pytest.raises(CliError, match=r"did not answer with JSON; is a proxy in between[?]; look whether"):
        cluster.patch(TASKS, "t", {})


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ((200, '{"metadata": {}, "items": [{"metadata": {"name": "u"}}]}'), "in namespace n: there are u"),
        ((403, FORBIDDEN), "there is no FineTuningTask t in namespace n$"),
    ],
)
def test_a_name_that_is_not_there_is_said_to_whoever_may_not_list_too(
    listed: tuple[int, str], said: str, server: Answering, cluster: Cluster
) -> None:
    server.answers = {"t": (404, NOT_FOUND), "finetuningtasks": listed}
    with pytest.raises(CliError, match=said):
        cluster.get(TASKS, "t")


def test_a_log_is_read_line_by_line_and_its_refusal_keeps_its_status(server: Answering, cluster: Cluster) -> None:
    server.answers = {"log": (200, "a\nb\nc")}
    assert list(cluster.log("p", "c", follow=True)) == ["a", "b", "c"]
    for status in TRANSIENT:
        server.answers = {"log": (status, "")}
        with pytest.raises(CliError) as raised:
            list(cluster.log("p", "c", follow=True))
        assert raised.value.code == Exit.UNREACHABLE
