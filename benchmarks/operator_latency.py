"""From apply to the first Job: the latency of the operator, over tasks on different models.

Run it where a cluster is reachable (KUBECONFIG) with the custom resources installed, or let it use the local one:

    .venv/bin/python benchmarks/operator_latency.py --local

It makes a namespace with N models whose bases are published beforehand, starts an operator for that namespace, creates
one task a model, at a steady pace and then all at once, and watches the Jobs come. The pods ask for a node that does
not exist, so that nothing but the operator is measured.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import urllib3
from kubernetes import client, watch
from kubernetes.client.api_client import ApiClient

from bluetune_api import store_layout
from bluetune_api.records import Manifest, Probe, Result, RunOwner, digest_of, version_of
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_operator.adapters.kube import KubeApi, load_configuration
from bluetune_operator.core.kinds import CHILD_SELECTOR, JOBS, MODELS, TASKS, Kind, uid_of
from cluster.processes import resident_mib
from quantiles import quantile

NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
SECRETS = Kind("", "v1", "secrets", "Secret")
METHODS = Kind("bluetune.dev", "v1alpha1", "finetuningmethods", "FineTuningMethod")
NOWHERE = {"nodeSelector": {"bluetune.dev/benchmark": "no-such-node"}}


def resource(kind: Kind, namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


class Bench:
    """One namespace with its models."""

    def __init__(self, kube: KubeApi, namespace: str, store: dict[str, Any], keys: tuple[str, str]) -> None:
        self.kube = kube
        self.namespace = namespace
        self._store = store
        self._keys = keys

    async def prepare(self, count: int) -> None:
        """Namespace, Secret, method, and `count` models with a base and a batch in the store."""
        await self.kube.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        secret = {"AWS_ACCESS_KEY_ID": self._keys[0], "AWS_SECRET_ACCESS_KEY": self._keys[1]}
        await self.kube.create(SECRETS, resource(SECRETS, self.namespace, "store", stringData=secret))
        method = resource(METHODS, self.namespace, "text", spec={"podTemplate": NOWHERE})
        await self.kube.create(METHODS, method)
        for number in range(count):
            await self._model(f"m{number}")

    async def _model(self, name: str) -> None:
        where = self._store | {"prefix": f"{self.namespace}/{name}"}
        spec = {"base": {"uri": "/b"}, "methodRef": {"name": "text"}}
        spec |= {"store": where | {"credentialsSecretRef": {"name": "store"}}}
        model = await self.kube.create(MODELS, resource(MODELS, self.namespace, name, spec=spec))
        store = S3Store(StoreLocation(**where), access_key=self._keys[0], secret_key=self._keys[1])
        manifest = Manifest(files=[], dimension=1, probe=Probe(texts=["a"], vectors=[[1.0]])).encode()
        digest = digest_of(manifest)
        version = version_of(digest)
        owner = RunOwner(kind="EmbeddingModel", name=name, namespace=self.namespace, uid=uid_of(model))
        uri = store.uri(store_layout.version(version))
        result = Result(kind="Import", owner=owner, version=version, digest=digest, uri=uri)

        def publish() -> None:
            store.put(store_layout.manifest(version), manifest)
            store.put(store_layout.result(uid_of(model)), result.model_dump_json(by_alias=True).encode())
            store.put(store_layout.batch_marker("b1"), b"")

        await asyncio.to_thread(publish)

    async def wait_for_models(self, count: int, seconds: float = 300) -> None:
        """Until all models have their version."""
        deadline = time.monotonic() + seconds
        while True:
            ready = await self.ready()
            if ready == count:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"only {ready} of {count} models are ready after {seconds:.0f} s")
            await asyncio.sleep(0.5)

    async def ready(self) -> int:
        """How many models have their version."""
        models = await self.kube.list(MODELS, self.namespace)
        return sum(1 for m in models if (m.get("status") or {}).get("baseVersion"))

    async def round(self, label: str, count: int, pace: float) -> list[float]:
        """Create a task a model, one every `pace` seconds (0: as fast as possible); seconds until each one's Job."""
        created: dict[str, float] = {}
        with self._jobs() as arrived:

            async def create(number: int) -> None:
                name = f"{label}-{number}"
                task = resource(TASKS, self.namespace, name, spec={"modelRef": {"name": f"m{number}"}, "batchId": "b1"})
                created[name] = time.monotonic()
                await self.kube.create(TASKS, task)

            making = []
            for number in range(count):
                making.append(asyncio.create_task(create(number)))
                await asyncio.sleep(pace)
            await asyncio.gather(*making)
            deadline = time.monotonic() + 120
            while len(found := [n for n in created if f"{n}-check" in arrived]) < count:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{label}: only {len(found)} of {count} Jobs came within 120 s")
                await asyncio.sleep(0.05)
            return [arrived[f"{name}-check"] - begun for name, begun in created.items()]

    @contextmanager
    def _jobs(self) -> Iterator[dict[str, float]]:
        arrived: dict[str, float] = {}
        over, stream, api = threading.Event(), watch.Watch(), client.BatchV1Api(ApiClient(load_configuration()))

        def follow() -> None:
            wanted = {"label_selector": CHILD_SELECTOR, "timeout_seconds": 300}
            while not over.is_set():
                with suppress(urllib3.exceptions.HTTPError):
                    for event in stream.stream(api.list_namespaced_job, self.namespace, **wanted):
                        arrived.setdefault(event["object"].metadata.name, time.monotonic())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        time.sleep(1)
        try:
            yield arrived
        finally:
            over.set()
            stream.stop()

    async def clear(self) -> None:
        """Remove all tasks, and wait until their Jobs are gone."""
        for task in await self.kube.list(TASKS, self.namespace):
            await self.kube.delete(TASKS, self.namespace, task["metadata"]["name"])
        for _ in range(240):
            if not await self.kube.list(JOBS, self.namespace):
                return
            await asyncio.sleep(0.5)
        raise SystemExit("the Jobs of deleted tasks do not go")


def processor_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def operator(namespace: str) -> Iterator[int]:
    """An operator for one namespace; its process id."""
    environment = os.environ | {
        "BLUETUNE_NAMESPACES": namespace,
        "POD_NAMESPACE": namespace,
        "BLUETUNE_HEALTH_PORT": "0",
        "BLUETUNE_METRICS_PORT": "0",
    }
    with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as log:
        process = subprocess.Popen([sys.executable, "-m", "bluetune_operator"], env=environment, stderr=log)
        print(f"operator's log: {log.name}")
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


async def measure(options: argparse.Namespace, store: dict[str, Any], keys: tuple[str, str]) -> dict[str, Any]:
    kube = KubeApi(load_configuration())
    namespace = f"latency-{int(time.time())}"
    bench = Bench(kube, namespace, store, keys)
    try:
        await bench.prepare(options.tasks)
        with operator(namespace) as pid:
            await bench.wait_for_models(options.tasks)
            rounds = {}
            for label, pace in (("steady", options.pace), ("burst", 0.0)):
                before = processor_seconds(pid)
                values = await bench.round(label, options.tasks, pace)
                used = processor_seconds(pid) - before
                rounds[label] = {
                    "pace_seconds": pace,
                    **{f"p{int(q * 100)}": round(quantile(values, q), 3) for q in (0.5, 0.9, 0.99)},
                    "max": round(max(values), 3),
                    "operator_cpu_ms_per_task": round(1000 * used / options.tasks, 1),
                }
                await bench.clear()
            memory = round(resident_mib(pid), 1)
    finally:
        await kube.delete(NAMESPACES, "", namespace)
        kube.close()
    return {
        "tasks": options.tasks,
        "rounds": rounds,
        "operator_mib": memory,
        "load": os.getloadavg()[0],
        "processors": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--local", action="store_true", help="use the local cluster of tests/cluster, and its MinIO")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--pace", type=float, default=0.2, help="seconds between two tasks in the steady round")
    parser.add_argument(
        "--endpoint", help="S3, as in a model's spec; keys from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    )
    parser.add_argument("--bucket", default="latency")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    if options.local:
        from cluster.buckets import new_bucket
        from cluster.kubectl import Kubectl
        from cluster.lifecycle import Cluster

        cluster = Cluster()
        cluster.up()
        with cluster.entered(), new_bucket(cluster.s3("minio")) as bucket:
            crds = Path(__file__).resolve().parents[1] / "crds"
            Kubectl()("apply", "--server-side", "--force-conflicts", "-f", str(crds))
            Kubectl()("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
            store = {"endpoint": bucket.server.address, "bucket": bucket.name, "secure": False}
            keys = (bucket.server.access_key, bucket.server.secret_key)
            found = asyncio.run(measure(options, store, keys))
    else:
        if not options.endpoint:
            parser.error("--endpoint is needed without --local")
        keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        store = {"endpoint": options.endpoint, "bucket": options.bucket, "secure": False}
        found = asyncio.run(measure(options, store, keys))
    print(f"\n{'round':<8} {'pace s':>7} {'p50 s':>8} {'p90 s':>8} {'p99 s':>8} {'max s':>8} {'CPU ms/task':>12}")
    for label, row in found["rounds"].items():
        numbers = " ".join(f"{row[name]:8.3f}" for name in ("p50", "p90", "p99", "max"))
        print(f"{label:<8} {row['pace_seconds']:>7.2f} {numbers} {row['operator_cpu_ms_per_task']:>12.1f}")
    print(f"{found['tasks']} tasks; the operator uses {found['operator_mib']:.0f} MiB")
    print(f"load {found['load']:.1f} on {found['processors']} processors")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
