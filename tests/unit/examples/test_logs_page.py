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
from typing import Any, ClassVar

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
    busy: ClassVar[dict[str, list[int]]] = {}
    """By the path's first part: statuses that come before the answer. A page of a scroll that ends so is lost."""
    short = 0
    """Hits of the last page that do not come."""
    places: ClassVar[dict[str, int]] = {}
    """By scroll: where its next page begins."""

    searches: ClassVar[list[Any]] = []
    """Bodies of `_search`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.removeprefix("/").partition("/")[0]
        if scrolls := name == "_search":
            statuses, name = self.busy.get(name, []), asked["scroll_id"]
        else:
            statuses = self.busy.get(name, [])
            self.searches.append(asked)
        start = self.places.get(name, 0) if scrolls else 0
        self.places[name] = start + PAGE_SIZE
        if statuses:
            self.answer(statuses.pop(0), {"error": {"type": "circuit_breaking_exception", "reason": "too much"}})
            return
        if not (INDICES / f"{name}.jsonl").is_file():
            self.answer(404, {"error": {"type": "index_not_found_exception"}})
            return
        hits = [json.loads(line) for line in (INDICES / f"{name}.jsonl").read_text().splitlines()]
        page = hits[start : start + PAGE_SIZE]
        self.answer(
            200,
            {
                "_scroll_id": name,
                "took": 1,
                "timed_out": False,
                "_shards": {"total": 1, "failed": int(self.broken and start > 0)},
                "hits": {"total": {"value": len(hits), "relation": "eq"}, "hits": page[: PAGE_SIZE - self.short]},
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
    for name, value in (("broken", False), ("busy", {}), ("short", 0), ("places", {}), ("searches", [])):
        monkeypatch.setattr(Index, name, value)
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
    (export, day), (check,) = blocks(part("UBI: export"), "sh"), blocks(part("UBI: check"), "sh")
    done = typed(export + day, clone, opensearch)
    assert done.returncode == 0, done.stderr
    assert Index.searches == [
        {},
        {},
        {},
        {"query": {"range": {"timestamp": {"gte": "2026-03-02", "lt": "2026-03-03"}}}},
    ]
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
    assert "the answer after 16 documents is not whole: 1 of 1 shards failed" in done.stderr
    assert "_source" not in done.stderr, "documents hold what people asked for"
    assert not list(clone.rglob("_SUCCESS"))


def exported(folder: Path, opensearch: str) -> subprocess.CompletedProcess[str]:
    return typed('examples/ubi/export.sh "$OPENSEARCH/ubi_queries"', folder, opensearch)


@pytest.mark.slow
def test_a_search_that_is_refused_at_first_is_repeated_and_what_was_answered_then_is_no_data(
    clone: Path, opensearch: str
) -> None:
    Index.busy["ubi_queries"] = [503]
    done = exported(clone, opensearch)
    assert (done.returncode, done.stderr) == (0, "")
    hits = [hit for line in done.stdout.splitlines() for hit in json.loads(line)["hits"]["hits"]]
    assert hits == [json.loads(line) for line in (INDICES / "ubi_queries.jsonl").read_text().splitlines()]


def test_a_page_that_failed_is_not_asked_for_again_as_the_next_one_would_come(clone: Path, opensearch: str) -> None:
    Index.busy["_search"] = [504]
    done = exported(clone, opensearch)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    (said,) = done.stderr.splitlines()
    assert "the page after 20 documents of" in said
    assert "HTTP status 504, HTTP response code said error (circuit_breaking_exception: too much)" in said


def test_documents_that_do_not_come_are_missed(clone: Path, opensearch: str) -> None:
    Index.short = 1
    done = exported(clone, opensearch)
    assert done.returncode == 1
    assert re.search(r"\d+ documents of .* came, and the search found \d+; export again", done.stderr)


@pytest.mark.parametrize(("there", "missing"), [((), "curl"), (("curl",), "jq")])
def test_a_program_that_is_not_installed_is_named(clone: Path, there: tuple[str, ...], missing: str) -> None:
    (clone / "bin").mkdir()
    for name in there:
        (clone / "bin" / name).symlink_to(str(shutil.which(name)))
    done = typed(f"PATH={clone / 'bin'} {shutil.which('bash')} examples/ubi/export.sh http://localhost/x", clone)
    assert (done.returncode, done.stderr) == (1, f"export.sh: {missing} is not installed; install it\n")


def test_an_index_that_is_not_there_is_named(clone: Path, opensearch: str) -> None:
    done = typed('examples/ubi/export.sh "$OPENSEARCH/ubi_nothing"', clone, opensearch)
    assert (done.returncode, done.stdout) == (1, "")
    assert "index_not_found_exception" in done.stderr


def test_the_marker_is_not_uploaded_where_data_failed(clone: Path) -> None:
    (upload,) = blocks(part("UBI: train and promote"), "sh")
    programs = 'kubectl() { :; }; aws() { echo "$*" >>uploads; [[ $* != *--exclude* ]]; }'
    typed(f"{programs}\n{upload}", clone)
    *_, last = (clone / "uploads").read_text().splitlines()
    assert last.endswith("--exclude */_SUCCESS")


def test_what_the_page_declares_of_tables_is_valid() -> None:
    preset, columns = blocks(part("Tables of events"), "yaml")
    declared = yaml.safe_load(preset)["spec"]["clickstream"]
    assert Clickstream.model_validate(declared).events
    assert Clickstream.model_validate(declared | yaml.safe_load(columns)).events
