"""An index in OpenSearch, a real one: whole or not at all, whatever dies, and beside indices of others."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress
from bluetune_api.index_target import OpenSearch, Vectors
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import IndexPlan, Plan, RunOwner
from bluetune_trainer.cli.main import main
from bluetune_trainer.errors import DatabaseFailed, PlanInvalid, Stopped, StoreDamaged
from bluetune_trainer.indexing import search_cluster, search_loading
from bluetune_trainer.indexing.encoding import text_digest
from bluetune_trainer.indexing.search_cluster import Access, Cluster
from bluetune_trainer.indexing.search_loading import SearchLoader
from search_engine import server as search_engine
from trainer.random_index import DIMENSION, ROWS, SHARDS, random_index, shorter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

V1, V2 = "v000000000001", "v000000000002"
ITEM = "item-0-7'\"\\"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an OpenSearch of its own."""
    with search_engine.running() as address:
        yield address


@dataclass
class World:
    """A store with indexes, and a cluster without indices."""

    store: LocalStore
    address: str
    access: Access = field(default_factory=Access)

    def index(self, version: str = V1, **how: Any) -> IndexManifest:
        return random_index(self.store, version, **how)

    def loader(self, manifest: IndexManifest, **target: Any) -> SearchLoader:
        return SearchLoader(
            self.store,
            manifest,
            opensearch(self.address, **target),
            wanted_of(manifest),
            report=lambda _: None,
            stop=threading.Event(),
        )

    def load(self, manifest: IndexManifest, **target: Any) -> str:
        return self.loader(manifest, **target).load(self.access)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = urllib3.request(method, self.address + path, json=body, timeout=60)
        assert answer.status < 300, answer.data
        return answer.json()

    def indices(self) -> list[str]:
        return sorted(self.ask("GET", "/*"))

    def behind(self, alias: str) -> list[str]:
        """The indices of an alias."""
        return sorted(index for index, about in self.ask("GET", "/*").items() if alias in about["aliases"])

    def nearest(self, alias: str, vector: Any) -> list[str]:
        query = {"size": 10, "query": {"knn": {"vector": {"vector": vector.tolist(), "k": 100}}}}
        return [hit["_id"] for hit in self.ask("POST", f"/{alias}/_search", query)["hits"]["hits"]]


def wanted_of(manifest: IndexManifest) -> Vectors | None:
    """What a model says that has such an index."""
    return Vectors(dimensions=manifest.dimension, type=manifest.vectors.type) if manifest.vectors else None


def opensearch(address: str, **fields: Any) -> OpenSearch:
    return OpenSearch.model_validate({"url": address, "numberOfReplicas": 0, **fields})


@pytest.fixture
def world(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(search_cluster, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(search_loading, "SAMPLE", 5)
    yield World(LocalStore(tmp_path), server)
    urllib3.request("DELETE", server + "/*", timeout=60)


def first_vectors() -> Any:
    """Those of the first shard of the index of seed 0."""
    vectors = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("similarity", "space"), [("cosine", "cosinesimil"), ("dot", "innerproduct"), ("euclidean", "l2")]
)
def test_servers_find_every_item_by_the_alias_of_the_version(world: World, similarity: str, space: str) -> None:
    manifest = world.index(similarity=similarity)
    assert f"items-{V1} holds {ROWS * SHARDS} items" in world.load(manifest, numberOfShards=2)
    assert world.behind(f"items-{V1}") == world.indices() == [f"items-{V1}-{manifest.generation}"]
    assert world.ask("GET", f"/items-{V1}/_count")["count"] == ROWS * SHARDS
    assert world.nearest(f"items-{V1}", first_vectors()[7])[0] == ITEM
    (about,) = world.ask("GET", f"/items-{V1}").values()
    assert about["mappings"]["properties"]["vector"]["method"]["space_type"] == space
    assert (about["settings"]["index"]["knn"], about["settings"]["index"]["number_of_shards"]) == ("true", "2")
    assert "refresh_interval" not in about["settings"]["index"]
    found = world.ask("POST", f"/items-{V1}/_search", {"query": {"ids": {"values": [ITEM]}}})["hits"]["hits"]
    assert [hit["_source"] for hit in found] == [{"text_digest": text_digest(ITEM).hex()}]


def test_loading_it_again_changes_nothing(world: World) -> None:
    manifest = world.index()
    world.load(manifest)
    before = world.ask("GET", f"/items-{V1}/_settings")
    assert "already" in world.load(manifest)
    assert world.ask("GET", f"/items-{V1}/_settings") == before


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
def test_killed_at_any_request_it_goes_on(world: World, monkeypatch: pytest.MonkeyPatch, answered: bool) -> None:
    """Before a request, or after it was carried out and before its answer was read."""
    monkeypatch.setattr(search_loading, "SAMPLE", 1)
    first, second = world.index(seed=1, rows=5), world.index(seed=2, rows=5)
    own = urllib3.PoolManager.request
    for request in range(1, 100):
        left = request
        world.load(first)

        def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and answered:
                own(self, *args, **kwargs)
            if left == 0:
                raise Killed
            return own(self, *args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(urllib3.PoolManager, "request", dying)
            try:
                world.load(second)
                died = False
            except Killed:
                died = True
        old, new = (f"items-{V1}-{one.generation}" for one in (first, second))
        (served,) = world.behind(f"items-{V1}")
        assert served in (old, new)
        assert world.ask("GET", f"/{served}/_count")["count"] == second.count
        world.load(second)
        assert world.behind(f"items-{V1}") == [new]
        assert world.ask("GET", f"/{new}/_count")["count"] == second.count
        assert set(world.indices()) <= {old, new}
        world.ask("DELETE", "/*")
        if not died:
            assert request > 12
            return
    raise AssertionError("it never ends")


def test_a_new_catalogue_takes_the_alias_at_once_and_the_one_before_stays_until_the_next_load(world: World) -> None:
    first = world.index(seed=1)
    world.load(first)
    stop = threading.Event()

    def halfway(progress: IndexProgress) -> None:
        if progress.done >= ROWS:
            stop.set()

    second = world.index(seed=2)
    loader = SearchLoader(world.store, second, opensearch(world.address), None, report=halfway, stop=stop)
    with pytest.raises(Stopped):
        loader.load(world.access)
    one, two, three = (f"items-{V1}-{number:012x}" for number in (1, 2, 3))
    assert (world.behind(f"items-{V1}"), world.indices()) == ([one], [one, two])
    third = world.index(seed=3)
    world.load(third)
    assert (world.behind(f"items-{V1}"), world.indices()) == ([three], [one, three])
    world.load(third)
    assert world.indices() == [three]


def test_a_part_that_is_in_is_not_sent_again(world: World) -> None:
    manifest, stop, told = world.index(), threading.Event(), list[int]()

    def one_part(progress: IndexProgress) -> None:
        if progress.done > ROWS:
            stop.set()

    target = opensearch(world.address)
    with pytest.raises(Stopped):
        SearchLoader(world.store, manifest, target, None, report=one_part, stop=stop).load(world.access)
    path = Path(world.store.uri(store_layout.index(V1) + manifest.shards[2].path))
    whole = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(StoreDamaged):  # it gets to the third, by way of the second at most
        world.load(manifest)
    path.write_bytes(whole)
    report = lambda progress: told.append(progress.done)  # noqa: E731
    SearchLoader(world.store, manifest, target, None, report=report, stop=threading.Event()).load(world.access)
    assert told == [ROWS * SHARDS, 0], "the third alone, then the refresh"


def test_the_version_before_stays_and_one_that_retention_removed_goes(world: World) -> None:
    world.load(world.index(V1))
    world.load(world.index(V2, seed=2))
    assert (len(world.behind(f"items-{V1}")), len(world.behind(f"items-{V2}"))) == (1, 1)
    world.store.delete(store_layout.manifest(V1))
    world.load(world.index("v000000000003", seed=3))
    assert world.indices() == [f"items-{V2}-{2:012x}", f"items-v000000000003-{3:012x}"]


def test_indices_of_others_are_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    other = World(LocalStore(tmp_path / "another"), world.address)
    other.load(other.index(V2, seed=5))
    world.ask("PUT", "/items-v00000000000a", {})
    world.ask("PUT", f"/items-v00000000000b-{0:012x}", {})
    there = world.indices()
    world.load(world.index(V1))
    assert set(there) < set(world.indices())
    with pytest.raises(PlanInvalid, match="set another") as raised:
        world.load(world.index(V2))
    assert raised.value.reason == "NameTaken"
    for version in ("v00000000000a", "v00000000000b"):
        with pytest.raises(PlanInvalid, match="somebody else"):
            world.load(world.index(version))


def test_an_index_that_is_removed_while_it_is_filled_is_not_made_again_by_a_document(world: World) -> None:
    manifest = world.index()

    def remove(progress: IndexProgress) -> None:
        if progress.done == ROWS:
            world.ask("DELETE", f"/items-{V1}-{manifest.generation}")

    loader = SearchLoader(world.store, manifest, opensearch(world.address), None, report=remove, stop=threading.Event())
    with pytest.raises(DatabaseFailed, match="404"):
        loader.load(world.access)
    assert world.indices() == []


def test_an_index_that_somebody_else_wrote_into_is_filled_again(world: World) -> None:
    manifest = world.index()

    def write(progress: IndexProgress) -> None:
        if progress.stage == "Building" and not seen:
            seen.append(progress)
            world.ask("PUT", f"/items-{V1}-{manifest.generation}/_doc/x", {"text_digest": "d"})

    seen: list[IndexProgress] = []
    loader = SearchLoader(world.store, manifest, opensearch(world.address), None, report=write, stop=threading.Event())
    with pytest.raises(DatabaseFailed, match="has 301 documents instead of 300"):
        loader.load(world.access)
    world.load(manifest)
    assert world.ask("GET", f"/items-{V1}/_count")["count"] == ROWS * SHARDS


def test_an_index_that_finds_too_little_is_refused_and_blue_finds_what_it_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = world.index(seed=1, rows=200), world.index(seed=2, rows=200)
    world.load(first)
    lost = {"knn": {"vector": {"vector": [1.0] * DIMENSION, "k": 10}}}  # the nearest of something else
    with monkeypatch.context() as patched:
        patched.setattr(search_loading, "close_search", lambda _: {"size": 10, "query": lost})
        with pytest.raises(PlanInvalid, match="minRecall is") as raised:
            world.load(second)
    assert raised.value.reason == "RecallTooLow"
    assert world.behind(f"items-{V1}") == [f"items-{V1}-{first.generation}"]
    assert "finds 1.000 of the 10 nearest" in world.load(second)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_bytes_have_an_alias_of_their_own_beside_that_of_whole_vectors(world: World, similarity: str) -> None:
    world.load(world.index(similarity=similarity))
    said = world.load(shorter(world.index(seed=4, similarity=similarity, kind="Int8"), "Int8"))
    assert f"items-{V1}-16b holds" in said
    assert (len(world.behind(f"items-{V1}")), len(world.behind(f"items-{V1}-16b"))) == (1, 1)
    (about,) = world.ask("GET", f"/items-{V1}-16b").values()
    assert about["mappings"]["properties"]["vector"]["data_type"] == "BYTE"
    vectors = np.random.default_rng(4).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert ITEM in world.nearest(f"items-{V1}-16b", np.rint(vectors[7] * 127).astype(np.int8))[:2]


def test_an_item_without_a_direction_is_counted_and_never_found(world: World) -> None:
    world.load(world.index(rows=3, zeros=2))
    assert world.ask("GET", f"/items-{V1}/_count")["count"] == 3 * SHARDS
    found = world.nearest(f"items-{V1}", first_vectors()[7])
    assert len(found) == 3 * SHARDS - 2
    assert not {"item-0-0'\"\\", "item-0-1'\"\\"} & set(found)


def test_a_damaged_part_is_refused(world: World) -> None:
    manifest = world.index()
    path = Path(world.store.uri(store_layout.index(V1) + manifest.shards[1].path))
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(StoreDamaged, match="sha256"):
        world.load(manifest)


class Proxy(ThreadingHTTPServer):
    """Stands before OpenSearch: asks for a password, and has a busy day."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.refusals, self.seen = behind, list[Any](), list[str | None]()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Passes requests on, but answers with the next of the refusals, if there is one for its path."""

    server: Proxy
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(self.headers.get("authorization"))
        refusals = self.server.refusals
        if refusals and refusals[0][0] in self.path:
            status, data = refusals.pop(0)[1:]
            if callable(data):
                status, data = data(body)
        else:
            kind = {"content-type": self.headers.get("content-type", "application/json")}
            answer = urllib3.request(self.command, self.server.behind + self.path, body=body, headers=kind, timeout=60)
            status, data = answer.status, answer.data
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    with Proxy(world.address) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_busy_cluster_gets_again_what_it_did_not_take_and_nothing_else(world: World, proxy: Proxy) -> None:
    taken: list[int] = []

    def partly(body: bytes) -> tuple[int, bytes]:
        """The first half is taken, the second half is not."""
        lines = body.splitlines(keepends=True)
        half = len(lines) // 4 * 2
        world_answer = urllib3.request(
            "POST",
            f"{proxy.behind}/items-{V1}-{0:012x}-load/_bulk",
            body=b"".join(lines[:half]),
            headers={"content-type": "application/x-ndjson"},
            timeout=60,
        ).json()
        busy = {"index": {"status": 429, "error": {"type": "rejected_execution_exception", "reason": "queue is full"}}}
        taken.append(half // 2)
        items = [*world_answer["items"], *[busy] * (len(lines) // 2 - half // 2)]
        return 200, json.dumps({"errors": True, "items": items}).encode()

    def rest(body: bytes) -> tuple[int, bytes]:
        taken.append(body.count(b"\n") // 2)
        return 503, b"<html>not now</html>"

    proxy.refusals += [("_bulk", 429, b"{}"), ("_bulk", 0, partly), ("_bulk", 0, rest)]
    behind, world.address = world.address, f"http://{proxy.host}"
    world.load(world.index())
    world.address = behind
    assert taken == [ROWS // 2, ROWS // 2]
    assert world.ask("GET", f"/items-{V1}/_count")["count"] == ROWS * SHARDS


def test_a_document_that_is_refused_ends_it_with_the_item_and_why(world: World, proxy: Proxy) -> None:
    def refusing(body: bytes) -> tuple[int, bytes]:
        error = {"type": "mapper_parsing_exception", "reason": "failed", "caused_by": {"reason": "Vector has no place"}}
        items = [{"index": {"status": 400, "error": error}}] * (body.count(b"\n") // 2)
        return 200, json.dumps({"errors": True, "items": items}).encode()

    proxy.refusals.append(("_bulk", 0, refusing))
    world.address = f"http://{proxy.host}"
    with pytest.raises(DatabaseFailed, match=r"refuses item .item-0-0.*\(400: Vector has no place\)"):
        world.load(world.index())


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([("/", 401, b"Unauthorized")], "refuses the user .401: Unauthorized.; correct the Secret"),
        ([("/", 503, b"")] * 6, "cannot be used: .* with 503"),
        ([("/", 200, b'{"version": {"number": "8.1.0"}}')], "is no OpenSearch .it says version 8.1.0."),
        ([("/", 200, b'{"version": {"number": "2.9.0", "distribution": "opensearch"}}')], "2.13 or later is needed"),
        ([("_count", 200, b'{"count": 9, "_shards": {"failed": 1, "total": 2}}')], "1 of 2 shards of"),
        ([("-000000000000", 404, b"{}"), ("-000000000000", 400, b'{"error": {"reason": "No handler for type"}}')],
         "does not make the index .*No handler for type.*k-NN plugin"),
    ],
)  # fmt: skip
def test_what_a_cluster_refuses_is_told(world: World, proxy: Proxy, refusals: list[Any], words: str) -> None:
    proxy.refusals += refusals
    world.address = f"http://{proxy.host}"
    with pytest.raises(DatabaseFailed, match=words):
        world.load(world.index())
    assert not proxy.refusals


def test_a_cluster_that_is_away_is_tried_again_and_no_password_is_told(world: World) -> None:
    world.address, world.access = "http://127.0.0.1:1", Access("loader", "sesame")
    with pytest.raises(DatabaseFailed, match="cannot be used") as raised:
        world.load(world.index(), credentialsSecretRef={"name": "s"}, passwordOverHttp=True)
    assert "sesame" not in f"{raised.value} {world.access}"


def test_over_https_the_authority_is_that_of_the_secret(world: World, proxy: Proxy, tmp_path: Path) -> None:
    certificate = authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.pem")
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    behind, world.address = world.address, f"https://{proxy.host}"
    with pytest.raises(DatabaseFailed, match=r"cannot be trusted .*opensearch\.caSecretRef"):
        world.load(world.index())
    with pytest.raises(PlanInvalid, match="no certificate in PEM"):
        Cluster(opensearch(world.address), Access(authority="nonsense"), threading.Event())
    proxy.seen.clear()
    world.access = Access("löader", "s€same", certificate)
    assert "holds 300 items" in world.load(world.index())
    assert set(proxy.seen) == {"Basic " + base64.b64encode("löader:s€same".encode()).decode()}
    world.address = behind


def authority(folder: Path) -> str:
    """A certificate for 127.0.0.1 that signs itself, also in `tls.pem` with its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.pem").write_bytes(private + pem)
    return pem.decode()


def test_the_command_loads_what_the_plan_names(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = world.index()
    index = IndexPlan(version=V1, digest=manifest.digest, run="r", shards=SHARDS, opensearch=opensearch(world.address))
    plan = Plan.model_validate(
        {
            "kind": "Load",
            "owner": RunOwner(kind="EmbeddingModel", name="m", namespace="n", uid="u"),
            "model": "m",
            "store": {"endpoint": "s:9000", "bucket": "bucket", "secure": False},
            "index": index,
        }
    )
    written = tmp_path / "plan.json"
    written.write_text(json.dumps(plan.wire()))
    monkeypatch.setattr("bluetune_trainer.cli.main._open", lambda _: world.store)
    assert main(["load", "--plan", str(written)]) == 0
    assert "holds 300 items" in capsys.readouterr().out
    told = IndexProgress.model_validate_json(world.store.get(store_layout.index_shard_progress(V1, "r", 0)))
    assert told.stage in ("Loading", "Building")
