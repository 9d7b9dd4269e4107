"""A namespace as an API server has it, over real connections, and the stores of its models as folders."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.run_store import RunStores
from bluetune_api import API_VERSION, store_layout
from bluetune_api.manifest import parse
from bluetune_api.objectstore import LocalStore, ObjectStore
from bluetune_api.records import CheckReport, GateGuard, GateJudge, GateReport, Result, RunOwner, Trial, TrialPoint
from bluetune_api.task import TrialSummary

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BASE, ONE, TWO, THREE, FOUR = ["v5e1f0c93ab27", "v9b2c44d07e1a", "v07d3a1f6c85b", "ve41b7790d2c6", "v2fa96c0815de"]
DIGEST = "sha256:" + "0" * 64
Object = dict[str, Any]


def before(**time: float) -> str:
    return f"{NOW - timedelta(**time):%Y-%m-%dT%H:%M:%SZ}"


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": before(hours=1)}


def served(version: str, days: float, task: str | None = None, **metrics: float) -> Object:
    made = {"version": version, "uri": f"s3://search/{version}", "digest": DIGEST, "promotedAt": before(days=days)}
    return made | ({"task": task} if task else {}) | ({"metrics": metrics} if metrics else {})


def model(name: str, status: Object | None = None, *, serving: Object | None = None, **spec: Any) -> Object:
    store = {"endpoint": "minio.storage:9000", "bucket": "search", "prefix": name, "secure": False}
    made: Object = {
        "apiVersion": API_VERSION,
        "kind": "EmbeddingModel",
        "metadata": {"name": name, "namespace": "search", "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "base": {"uri": "hf://sentence-transformers/all-MiniLM-L6-v2@main"},
            "methodRef": {"name": "text"},
            "store": store | {"credentialsSecretRef": {"name": "store"}},
            **({"serving": {"deployment": name, "container": "server"} | serving} if serving is not None else {}),
            **spec,
        },
    }
    parse(made)  # what the API server would refuse is no scene
    return made | ({"status": status} if status else {})


def task(name: str, model: str, status: Object | None = None, *, created: str = "", **spec: Any) -> Object:
    made: Object = {
        "apiVersion": API_VERSION,
        "kind": "FineTuningTask",
        "metadata": {
            "name": name,
            "namespace": "search",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": created or before(hours=1),
        },
        "spec": {"modelRef": {"name": model}, **spec},
    }
    parse(made)
    return made | ({"status": status} if status else {})


def ended(version: str | None, parent: str, days: float, reason: str, message: str, **status: Any) -> Object:
    good = version is not None
    return {
        "phase": "Succeeded" if good else "Failed",
        "startVersion": parent,
        "liveVersion": parent,
        "startTime": before(days=days, minutes=14),
        "completionTime": before(days=days),
        "message": message,
        "conditions": [
            condition("DataValid", "True", "DataValid", "1,204 sessions can be measured"),
            condition("Succeeded" if good else "Failed", "True", "Completed" if good else reason, message),
            condition("Promoted", "True" if reason == "Promoted" else "False", reason, message),
        ],
        **({"bestModelId": version} if version else {}),
        **status,
    }


PARAMS = ({"query_lr": 2e-5, "num_fixed_layers": 3}, {"query_lr": 1e-5, "num_fixed_layers": 3}, {"query_lr": 4e-5})
TOP = [
    {"trial": n, "quality": q, "params": p} for n, q, p in zip((4, 2, 0), (0.0266, 0.0241, 0.0102), PARAMS, strict=True)
]


def namespace() -> tuple[list[Object], list[Object]]:
    """Models and tasks."""
    ready = [condition("Ready", "True", "Serving"), condition("Reconciling", "False", "Settled")]
    rolling = [
        condition("Ready", "True", "RollingOut"),
        condition("Reconciling", "True", "RollingOut"),
    ]
    broken = [
        condition(
            "Ready", "False", "StoreDenied", "the store does not accept the keys of Secret store: write them anew"
        ),
        condition(
            "Stalled", "True", "StoreDenied", "the store does not accept the keys of Secret store: write them anew"
        ),
    ]
    products = {
        "baseVersion": BASE,
        "current": served(THREE, 2.5, "products-x7k2p", **{"ndcg@10": 0.4831}),
        "history": [served(ONE, 9, "products-b4"), served(BASE, 30)],
        "conditions": rolling,
        "lock": {"holder": "products-w9d4h", "holderUid": "u", "since": before(minutes=6)},
        "waiting": 2,
        "rollout": {
            "from": THREE,
            "to": FOUR,
            "digest": DIGEST,
            "task": "products-m2n8q",
            "step": "Wait",
            "startedAt": before(minutes=4),
            "stepStartedAt": before(minutes=1),
            "message": "2 of 3 pods serve the new version",
        },
        "retrain": {"nextRunTime": before(hours=-9)},
    }
    models = [
        model("images", {"conditions": broken}),
        model(
            "products",
            products,
            serving={
                "verify": {"port": 8080},
                "index": {"target": {"type": "Parquet"}},
                "gate": {"minDelta": 0.005},
            },
        ),
        model("questions", {"baseVersion": BASE, "current": served(BASE, 1), "conditions": ready}, serving={}),
    ]
    running: Object = {
        "phase": "Running",
        "startVersion": THREE,
        "liveVersion": THREE,
        "batchId": "2026-03-10",
        "startTime": before(minutes=6),
        "podName": "products-w9d4h-train-abcde",
        "message": "trial 5 trains",
        "conditions": [
            condition("LockAcquired", "True", "Acquired"),
            condition("DataValid", "True", "DataValid", "1,204 sessions can be measured"),
            condition("Ready", "Unknown", "Training", "trial 5 trains"),
        ],
        "progress": {
            "percent": 42,
            "etaSeconds": 410,
            "trialsDone": 5,
            "trialsTotal": 8,
            "epoch": 2,
            "updatedAt": before(seconds=3),
        },
        "best": TOP[0],
        "topTrials": TOP,
    }
    promoted = ended(
        THREE,
        ONE,
        2.6,
        "Promoted",
        "blue serves it",
        batchId="2026-03-07",
        reportUrl="s3://search/products/runs/uid-products-x7k2p/report.html",
        best=TOP[0],
        topTrials=TOP,
        metrics={"baseline": {"ndcg@10": 0.4411}, "candidate": {"ndcg@10": 0.4831}},
        progress={"percent": 100, "trialsDone": 8, "trialsTotal": 8, "updatedAt": before(days=2.6)},
    )
    undecided = "the gain is +0.0041 (at least −0.0012): this may be chance"
    tasks = [
        task("products-b4", "products", ended(ONE, BASE, 9.1, "Promoted", "blue serves it", batchId="2026-02-28")),
        task("products-c5", "products", ended(TWO, BASE, 8, "GateUndecided", undecided, batchId="2026-03-02")),
        task("products-x7k2p", "products", promoted, deployAsBlue=True),
        task("products-f3", "products", ended(None, THREE, 1, "DataInvalid", "clickstream/2026-03-09 has 3 sessions")),
        task("products-m2n8q", "products", ended(FOUR, THREE, 0.01, "RolloutRequested", "asks for its rollout")),
        task("products-w9d4h", "products", running, deployAsBlue=True),
        task("products-q1", "products", _waiting(1), created=before(minutes=5)),
        task("products-q2", "products", _waiting(2), created=before(minutes=2)),
    ]
    return models, tasks


def _waiting(position: int) -> Object:
    status: Object = {"phase": "Waiting", "message": "products-w9d4h holds the model"}
    return status | {"queue": {"position": position, "blockedBy": "products-w9d4h"}}


GATE = GateReport(
    metric="ndcg@10",
    against=ONE,
    baseline={"ndcg@10": 0.4411},
    candidate={"ndcg@10": 0.4831},
    delta=0.0266,
    low=0.0118,
    high=0.0421,
    risk=0.025,
    judges=[
        GateJudge(name="Local", delta=0.0301, low=0.0142, high=0.0460),
        GateJudge(name="Symmetric", delta=0.0231, low=0.0118, high=0.0344),
    ],
    sessions=1204,
    queries=272,
    guards=[
        GateGuard(kind="Agreement", name="all queries", after=0.71, limit=0.05, passed=True, detail="0.71 of ten stay"),
        GateGuard(kind="Slice", name="rare queries", passed=None, detail="too few sessions"),
    ],
)
RESULT = Result(
    kind="Train",
    owner=RunOwner(kind="FineTuningTask", name="products-x7k2p", namespace="search", uid="uid-products-x7k2p"),
    version=THREE,
    digest=DIGEST,
    uri="s3://search/products/versions/" + THREE,
    parent=ONE,
    best=TrialSummary(trial=4, quality=0.0266),
    gate=GATE,
)
CHECK = CheckReport(
    valid=True,
    notes=["12 sessions ask for nothing and were left out"],
    batch_id="2026-03-07",
    batch=[],
    items=[],
    sessions=4810,
    sessions_with_clicks=1630,
    positives=2104,
    results=48100,
    coverage=0.998,
    informative_sessions=1204,
    queries=912,
    smallest_gain=0.012,
    duplicates=31,
    broken_lines=2,
    catalogue_size=20_411,
    first="2026-03-06T00:00:09Z",
    last="2026-03-06T23:59:51Z",
)


def trial(number: int, *qualities: float, pruned: bool = False) -> Trial:
    history = [TrialPoint(epoch=(n + 1) / 2, quality=q, val_loss=1 - q) for n, q in enumerate(qualities)]
    return Trial(trial=number, status="ok", params={}, quality=max(qualities), history=history, pruned=pruned)


TRIALS = [
    trial(0, 0.002, 0.008, 0.0102, 0.0095),
    trial(1, -0.004, 0.001, pruned=True),
    trial(2, 0.006, 0.015, 0.021, 0.0241),
    trial(3, 0.001, 0.004, pruned=True),
    trial(4, 0.009, 0.019, 0.0251, 0.0266, 0.0258),
]
REPORT = """<!doctype html><html lang="en"><title>r</title><body><h1>Report of a run</h1><p id="mark">untouched</p>
<script>document.getElementById("mark").textContent = "a script ran"; parent.document.title = "taken over"</script>"""


class Folders(RunStores):
    """Opens folders in place of buckets; keys are looked for as ever."""

    root: Path

    def _open(self, model: Object, folder: Path) -> ObjectStore:
        self._secret_keys(model)
        return LocalStore(self.root / model["metadata"]["name"])


def fill(root: Path) -> None:
    """What the runs wrote."""
    store, uid = LocalStore(root / "products"), "uid-products-x7k2p"
    store.put(store_layout.check(uid), CHECK.model_dump_json(by_alias=True).encode())
    store.put(store_layout.result(uid), RESULT.model_dump_json(by_alias=True).encode())
    store.put(store_layout.report(uid), REPORT.encode())
    for name in (uid, "uid-products-w9d4h"):
        for found in TRIALS:
            store.put(store_layout.trial(name, found.trial), found.model_dump_json(by_alias=True).encode())


class ApiServer(ThreadingHTTPServer):
    """Models, tasks and a Secret; `forbidden` holds (verb, plural) that the user may not do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        models, tasks = namespace()
        keys = {"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
        self.objects: dict[str, list[Object]] = {
            "embeddingmodels": models,
            "finetuningtasks": tasks,
            "secrets": [{"metadata": {"name": "store"}, "data": keys}],
        }
        self.forbidden: set[tuple[str, str]] = set()
        self.requests: list[tuple[str, str]] = []
        self.patches: list[tuple[str, Object]] = []

    def find(self, plural: str, name: str) -> Object:
        return next(thing for thing in self.objects[plural] if thing["metadata"]["name"] == name)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        plural, name = self._asked()
        verb = "get" if name else "list"
        if (verb, plural) in self.server.forbidden:
            self._say(403, {"reason": "Forbidden", "message": 'x is forbidden: User "u" cannot'})
        elif not name:
            self._say(200, {"metadata": {}, "items": self.server.objects[plural]})
        else:
            try:
                self._say(200, self.server.find(plural, name))
            except StopIteration:
                self._say(404, {"reason": "NotFound", "details": {"name": name}})

    def do_POST(self) -> None:
        review = self._body()["spec"]["resourceAttributes"]
        self._say(201, {"status": {"allowed": (review["verb"], review["resource"]) not in self.server.forbidden}})

    def do_PATCH(self) -> None:
        plural, name = self._asked()
        patch = self._body()
        self.server.patches.append((f"{plural}/{name}", patch))
        found = self.server.find(plural, name)
        for field, value in patch["spec"].items():
            found["spec"][field] = found["spec"].get(field, {}) | value if isinstance(value, dict) else value
        self._say(200, found)

    def _asked(self) -> tuple[str, str]:
        parts = self.path.partition("?")[0].partition("/namespaces/search/")[2].split("/")
        self.server.requests.append((self.command, "/".join(parts)))
        return parts[0], parts[1] if len(parts) > 1 else ""

    def _body(self) -> Object:
        found: Object = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def _say(self, status: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@contextmanager
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def kubeconfig(server: ApiServer, path: Path) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "search"}}],
        "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path.write_text(yaml.safe_dump(made))


def stores(cluster: Cluster, root: Path, **environment: str) -> Folders:
    made = Folders(cluster, environment, None)
    made.root = root
    return made
