"""docs/logs.md: what a reader types is run as it stands there, against a stand-in for OpenSearch's `_search`."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from bluetune_api.clickstream import Clickstream

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "logs.md").read_text()
INDICES = ROOT / "examples" / "ubi" / "index"
PAGE_SIZE = 20


def part(heading: str) -> str:
    """What stands below a heading of the page."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Index(BaseHTTPRequestHandler):
    """Answers `_search` and its scroll with the files of the example, so many hits a page."""

    broken = False
    """Whether the second page lacks a shard."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/_search/scroll":
            name, _, start = asked["scroll_id"].partition("@")
        else:
            name, start = self.path.removeprefix("/").partition("/")[0], "0"
        if not (INDICES / f"{name}.jsonl").is_file():
            self.answer(404, {"error": {"type": "index_not_found_exception"}})
            return
        hits = [json.loads(line) for line in (INDICES / f"{name}.jsonl").read_text().splitlines()]
        first = int(start)
        self.answer(
            200,
            {
                "_scroll_id": f"{name}@{first + PAGE_SIZE}",
                "took": 1,
                "timed_out": False,
                "_shards": {"total": 1, "failed": int(self.broken and first > 0)},
                "hits": {"total": {"value": len(hits), "relation": "eq"}, "hits": hits[first : first + PAGE_SIZE]},
            },
        )

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {"succeeded": True})

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def opensearch(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the stand-in."""
    monkeypatch.setattr(Index, "broken", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the examples in it, to type in."""
    shutil.copytree(ROOT / "examples" / "ubi", tmp_path / "examples" / "ubi")
    return tmp_path


def typed(text: str, folder: Path, opensearch: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OPENSEARCH": opensearch, "no_proxy": "127.0.0.1"}
    environment["BLUETUNE_TERMINATION_LOG"] = str(folder / "termination")
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_an_index_is_exported_and_checked_as_the_page_says(clone: Path, opensearch: str) -> None:
    (export,), (check,) = blocks(part("UBI: export"), "sh"), blocks(part("UBI: check"), "sh")
    done = typed(export, clone, opensearch)
    assert done.returncode == 0, done.stderr
    done = typed(check, clone)
    assert done.returncode == 0, done.stderr
    assert [text.split() for text in blocks(part("UBI: check"), "text")] == [done.stdout.split()]

    batch = clone / "shop" / "clickstream" / "2026-03-02"
    for name in ("queries", "events"):
        (batch / f"{name}.json").unlink()
    shutil.copy(INDICES / "products.jsonl", clone / "shop" / "items" / "products.json")
    for name in ("ubi_queries", "ubi_events"):
        shutil.copy(INDICES / f"{name}.jsonl", batch)
    assert typed(check, clone).stdout == done.stdout  # hits a line say the same


def test_an_export_that_is_not_whole_leaves_no_marker(clone: Path, opensearch: str) -> None:
    Index.broken = True
    done = typed(blocks(part("UBI: export"), "sh")[0], clone, opensearch)
    assert done.returncode != 0
    assert '"failed": 1' in done.stderr
    assert not list(clone.rglob("_SUCCESS"))


def test_an_index_that_is_not_there_is_named(clone: Path, opensearch: str) -> None:
    done = typed('examples/ubi/export.sh "$OPENSEARCH/ubi_nothing"', clone, opensearch)
    assert (done.returncode, done.stdout) == (1, "")
    assert "index_not_found_exception" in done.stderr


def test_what_the_page_declares_of_tables_is_valid() -> None:
    preset, columns = blocks(part("Tables of events"), "yaml")
    declared = yaml.safe_load(preset)["spec"]["clickstream"]
    assert Clickstream.model_validate(declared).events
    assert Clickstream.model_validate(declared | yaml.safe_load(columns)).events
