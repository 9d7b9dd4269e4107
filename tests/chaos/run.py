"""One schedule on the real cluster: what happens, what it comes to, and what of it must not be."""

import contextlib
import dataclasses
import hashlib
import random
import ssl
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blue.world import blue_deployment
from bluetune_api import store_layout
from bluetune_api.records import Manifest, ManifestFile, Probe, Result, RunOwner, digest_of, version_of
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_operator.core.kinds import (
    CHILD_SELECTOR,
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    METHODS,
    MODELS,
    PODS,
    SECRETS,
    TASKS,
    Kind,
    Object,
    name_of,
    uid_of,
)
from bluetune_operator.core.lock.rules import has_ended
from chaos.api import Api, Recorder
from chaos.faults import Faults
from chaos.invariants import Observed, Stored, violations
from chaos.operators import Operators
from chaos.relay import Relay, relaying
from chaos.schedule import Schedule
from chaos.trainers import BATCH, Trainer
from cluster.buckets import Bucket
from cluster.lifecycle import Cluster
from cluster.paths import API_SERVER, NODE_IP

NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount")
MODEL = "m"
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a schedule came to."""

    schedule: Schedule
    missed: list[str]
    """Faults that hit nothing: the schedule does not count."""
    violations: list[str]
    seconds: float
    ends: list[str]
    """How its tasks ended."""
    hits: dict[str, int]
    """Requests that relays spoilt, by fault."""

    @property
    def counts(self) -> bool:
        """Whether every fault hit."""
        return not self.missed

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Stage:
    """What schedules are run on."""

    cluster: Cluster
    bucket: Bucket
    trainer: Trainer
    keep: Path
    """Folder for the logs of schedules with violations."""


def run(stage: Stage, schedule: Schedule) -> Outcome:
    """Run a schedule; a suite that fails itself is a violation too, and says so."""
    begun = time.monotonic()
    try:
        return _run(stage, schedule, begun)
    except Exception:
        text = f"the suite itself failed: {traceback.format_exc()}"
        return Outcome(schedule, [], [text], time.monotonic() - begun, [], {})


def _run(stage: Stage, schedule: Schedule, begun: float) -> Outcome:
    state = stage.cluster.state
    api, chance = Api(state.pki), random.Random(f"relay {schedule.seed}/{schedule.number}")
    namespace = f"chaos-{schedule.seed}-{schedule.number}"
    secure = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
    secure.load_cert_chain(state.pki / "operator.crt", state.pki / "operator.key")
    folder = Path(tempfile.mkdtemp(prefix=f"{namespace}-", dir=stage.keep))
    with (
        _namespace(api, namespace),
        relaying(API_SERVER, "127.0.0.1", chance, secure) as api_relay,
        relaying(stage.bucket.server.endpoint, NODE_IP, chance) as s3_relay,
    ):
        recorder = Recorder(api, namespace)
        recorder.start()
        operators = Operators(namespace, folder, f"http://{api_relay.address}", stage.trainer.image)
        faults = Faults(api, stage.cluster, namespace, MODEL, operators, {"api": api_relay, "s3": s3_relay})
        try:
            base = _prepare(stage, api, namespace, schedule, s3_relay)
            operators.start()
            _until(READY_SECONDS, lambda: bool(_current(api, namespace)), "the model has no current version")
            base = base or _current(api, namespace)
            _play(api, namespace, schedule, faults)
            settled = _settle(api, namespace, faults, stage.trainer.settle_seconds)
            observed = dataclasses.replace(
                _observe(stage, api, namespace, base),
                history=recorder.finish(),
                deleted_by_hand=faults.deleted_by_hand,
                defects=[line["exception"] for line in operators.lines() if "exception" in line],
            )
        finally:
            operators.end()
            recorder.finish()
    faults.observed([event.thing for event in observed.history if event.kind == "Pod"])
    missed = sorted({fault.kind for fault in schedule.faults} - {kind for kind, hit in faults.hit.items() if hit})
    missed += ["record"] if recorder.gaps else []
    found = violations(observed) + ([] if settled else [f"not settled within {stage.trainer.settle_seconds:.0f} s"])
    ends = [f"{name_of(task)}: {(task.get('status') or {}).get('message')}" for task in observed.tasks]
    if not found:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    hits = dict(api_relay.hits + s3_relay.hits)
    return Outcome(schedule, missed, found, round(time.monotonic() - begun, 1), ends, hits)


@contextlib.contextmanager
def _namespace(api: Api, name: str) -> Iterator[None]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        _until(30, lambda: api.get(ACCOUNTS, name, "default") is not None, "no service account")
        yield
    finally:
        api.delete(NAMESPACES, "", name)


def _prepare(stage: Stage, api: Api, namespace: str, schedule: Schedule, relay: Relay) -> str | None:
    """Everything but the tasks. Returns the base's version if it is published here, in place of an import."""
    server = stage.bucket.server
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    api.create(
        SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys}, namespace
    )
    api.create(METHODS, _resource("FineTuningMethod", "text", stage.trainer.method()), namespace)
    spec: Object = {
        "base": {"uri": stage.trainer.base},
        "methodRef": {"name": "text"},
        "store": {
            "endpoint": relay.address,
            "bucket": stage.bucket.name,
            "prefix": namespace,
            "secure": False,
            "credentialsSecretRef": {"name": "keys"},
        },
    }
    if schedule.serving:
        deployment = blue_deployment("blue", {}, replicas=1)
        api.create(DEPLOYMENTS, deployment, namespace)
        spec["serving"] = {
            "deployment": "blue",
            "container": "server",
            "rolloutTimeoutSeconds": 90,
            "verify": {"port": 8080, "timeoutSeconds": 30},
        }
    model = api.create(MODELS, _resource("EmbeddingModel", MODEL, spec), namespace)
    store = _store(stage, namespace)
    for key, data in stage.trainer.objects.items():
        store.put(key, data)
    return None if stage.trainer.real else _publish_base(store, namespace, uid_of(model))


def _store(stage: Stage, prefix: str) -> S3Store:
    """The model's part of the store, past the relay."""
    server = stage.bucket.server
    location = StoreLocation(endpoint=server.address, bucket=stage.bucket.name, prefix=prefix, secure=False)
    return S3Store(location, access_key=server.access_key, secret_key=server.secret_key)


def _publish_base(store: S3Store, namespace: str, uid: str) -> str:
    data = namespace.encode()
    file = ManifestFile(path="model.txt", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    manifest = Manifest(files=[file], dimension=2, probe=Probe(texts=["a"], vectors=[[1.0, 0.0]])).encode()
    digest = digest_of(manifest)
    version = version_of(digest)
    store.put(store_layout.version(version) + "model.txt", data)
    store.put(store_layout.manifest(version), manifest)
    owner = RunOwner(kind="EmbeddingModel", name=MODEL, namespace=namespace, uid=uid)
    result = Result(kind="Import", owner=owner, version=version, digest=digest, uri=store.uri(f"versions/{version}"))
    store.put(store_layout.result(uid), result.model_dump_json(by_alias=True, exclude_none=True).encode())
    return version


def _play(api: Api, namespace: str, schedule: Schedule, faults: Faults) -> None:
    """Faults, tasks and actions at their times."""
    calls: list[tuple[float, Callable[[], object]]] = []
    for fault in schedule.faults:
        calls.append((fault.at, lambda fault=fault: faults.begin(fault)))  # type: ignore[misc]
        calls += [(fault.at + 1.0 * n, lambda fault=fault: faults.retry(fault)) for n in range(1, 16)]  # type: ignore[misc]
        calls.append((fault.at + fault.seconds, lambda fault=fault: faults.end(fault)))  # type: ignore[misc]
    for plan in schedule.tasks:
        spec = {"modelRef": {"name": MODEL}, "metadata": {"train": plan.orders}, "batchId": BATCH, **plan.spec}
        body = _resource("FineTuningTask", plan.name, spec)
        calls.append((plan.at, lambda body=body: api.create(TASKS, body, namespace)))  # type: ignore[misc]
    calls += [(action.at, lambda action=action: faults.act(action)) for action in schedule.actions]  # type: ignore[misc]
    begun = time.monotonic()
    for at, call in sorted(calls, key=lambda each: each[0]):
        while (left := begun + at - time.monotonic()) > 0:
            faults.operators.tend()
            time.sleep(min(left, 0.25))
        if at <= schedule.seconds + 4:
            call()
    for fault in schedule.faults:
        faults.end(fault)


def _settle(api: Api, namespace: str, faults: Faults, seconds: float) -> bool:
    """Resume what is suspended and wait until all is over; whether it was in time."""
    faults.operators.go_on()
    faults.operators.start()
    for task in api.list(TASKS, namespace):
        if task["spec"].get("suspend"):
            api.patch(TASKS, namespace, name_of(task), {"spec": {"suspend": False}})
    deadline = time.monotonic() + seconds
    while not _is_over(api, namespace):
        if time.monotonic() > deadline:
            return False
        faults.operators.tend()
        time.sleep(0.5)
    return True


def _is_over(api: Api, namespace: str) -> bool:
    if not all(has_ended(task) for task in api.list(TASKS, namespace)):
        return False
    model = api.get(MODELS, namespace, MODEL) or {}
    rollout = (model.get("status") or {}).get("rollout")
    lease = api.get(LEASES, namespace, f"bluetune-{MODEL}")
    free = lease is None or not lease["spec"].get("holderIdentity")
    jobs = api.list(JOBS, namespace, CHILD_SELECTOR)
    owners = {uid_of(thing) for thing in (*api.list(TASKS, namespace), *jobs, model)}
    orphans = [
        child
        for child in (
            *jobs,
            *api.list(PODS, namespace, CHILD_SELECTOR),
            *api.list(CONFIG_MAPS, namespace, CHILD_SELECTOR),
        )
        if not {reference["uid"] for reference in child["metadata"].get("ownerReferences") or []} & owners
    ]
    return free and not orphans and (rollout is None or rollout["step"] in ("Done", "Failed"))


def _observe(stage: Stage, api: Api, namespace: str, base: str) -> Observed:
    store = _store(stage, namespace)
    kept = {info.key: Stored(store.get(info.key), info.modified) for info in store.list("")}
    return Observed(
        history=[],
        tasks=api.list(TASKS, namespace),
        models=api.list(MODELS, namespace),
        jobs=api.list(JOBS, namespace, CHILD_SELECTOR),
        pods=api.list(PODS, namespace, CHILD_SELECTOR),
        config_maps=api.list(CONFIG_MAPS, namespace, CHILD_SELECTOR),
        leases=api.list(LEASES, namespace),
        deployments=api.list(DEPLOYMENTS, namespace),
        store=kept,
        base=base,
    )


def _current(api: Api, namespace: str) -> str:
    """The model's live version; empty if there is none yet."""
    status = (api.get(MODELS, namespace, MODEL) or {}).get("status") or {}
    return str((status.get("current") or {}).get("version", ""))


def _until(seconds: float, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} after {seconds:.0f} s")
        time.sleep(0.2)


def _resource(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
