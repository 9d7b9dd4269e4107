"""The service's API over a real index and a small stand-in encoder: answers, refusals, and readiness."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from search_service import index
from search_service.app import Service, create_app
from search_service.clicklog import ClickLog
from search_service.engine import Engine
from starlette.testclient import TestClient

from bluetune_api.objectstore import LocalStore

VERSION, DIGEST = "v000000000001", "sha256:" + "1" * 64
ITEMS = [index.Item(f"d{i}", f"title {i}", "", f"http://s/{i}") for i in range(30)]


class HashEncoder:
    """Text → a unit vector that depends on the text alone. The real encoder is tested where it is built."""

    def encode(self, texts: Sequence[str], kind: str = "item") -> NDArray[np.float32]:
        rows = [np.random.default_rng(list(text.encode()) or [0]).normal(size=8) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    vectors = HashEncoder().encode([item.text for item in ITEMS])
    index.publish(store, VERSION, DIGEST, ITEMS, vectors, tmp_path / "table")
    return store


@pytest.fixture
def client(store: LocalStore, tmp_path: Path) -> Iterator[TestClient]:
    def load() -> Engine:
        opened = index.Index.fetch(store, VERSION, DIGEST, tmp_path / "served")
        return Engine(HashEncoder(), opened, VERSION, DIGEST)  # type: ignore[arg-type]

    clicks = ClickLog(store, source="pod", idle_seconds=60, min_clicked=1)
    with TestClient(create_app(Service(load, clicks, pod="pod"))) as client:
        deadline = time.monotonic() + 20
        while client.get("/healthz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield client


def test_version_names_the_digest(client: TestClient) -> None:
    answer = client.get("/version").json()
    assert answer == {"version": VERSION, "digest": DIGEST, "items": 30, "pod": "pod"}


def test_search_finds_and_limits(client: TestClient) -> None:
    answer = client.get("/search", params={"q": " title  7 ", "limit": 3}).json()
    assert (answer["query"], answer["version"], answer["index_version"]) == ("title 7", VERSION, VERSION)
    assert len(answer["results"]) == 3
    assert answer["results"][0]["object_id"] == "d7"


@pytest.mark.parametrize(
    "params", [{}, {"q": ""}, {"q": "x" * 20_001}, {"q": "a", "limit": "0"}, {"q": "a", "limit": "1e3"}]
)
def test_search_refuses_with_a_reason(client: TestClient, params: dict[str, str]) -> None:
    answer = client.get("/search", params=params)
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_encode_gives_unit_vectors(client: TestClient) -> None:
    answer = client.post("/encode", json={"texts": ["a", "b"], "kind": "query"}).json()
    np.testing.assert_allclose(np.linalg.norm(answer["vectors"], axis=1), 1, atol=1e-5)
    assert answer["digest"] == DIGEST


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"texts": []}', '{"texts": [1]}', '{"texts": ["a"], "kind": "b"}'])
def test_encode_refuses_with_a_reason(client: TestClient, body: str) -> None:
    assert client.post("/encode", content=body).status_code == 422


def test_a_click_reaches_the_clickstream(client: TestClient, store: LocalStore) -> None:
    answer = client.get("/search", params={"q": "title 3"}).json()
    click = {"session_id": answer["session_id"], "object_id": answer["results"][0]["object_id"]}
    assert client.post("/click", content=json.dumps(click)).status_code == 204
    assert client.post("/click", content=json.dumps({**click, "object_id": "never shown"})).status_code == 404
    closed = client.post("/admin/close-batch").json()
    assert (closed["closed"], closed["sessions"], closed["clicked"]) == (True, 1, 1)
    keys = [info.key for info in store.list("clickstream/")]
    assert any(key.endswith("_SUCCESS") for key in keys)
    assert client.post("/admin/close-batch").status_code == 409


def test_with_log_0_nothing_is_noted(client: TestClient) -> None:
    assert client.get("/search", params={"q": "a", "log": "0"}).json()["session_id"] is None
    assert client.get("/batch").json()["waiting"] == 0


def test_another_sites_page_cannot_close_a_batch(client: TestClient) -> None:
    assert client.post("/admin/close-batch", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "https://" not in page.text
    for path in ("/app.js", "/style.css"):
        assert client.get(path).status_code == 200


def test_without_a_version_the_pod_is_alive_and_not_ready(store: LocalStore) -> None:
    service = Service(None, ClickLog(store, source="pod", idle_seconds=60, min_clicked=1), pod="pod")
    with TestClient(create_app(service)) as client:
        assert client.get("/livez").status_code == 200
        answer = client.get("/healthz")
        assert answer.status_code == 503
        assert "BLUETUNE_VERSION is not set" in answer.json()["error"]


def test_what_is_in_memory_is_written_when_the_pod_stops(store: LocalStore, client: TestClient) -> None:
    client.get("/search", params={"q": "title 3"})
    client.__exit__(None, None, None)
    assert [info.key for info in store.list("clickstream/")]
