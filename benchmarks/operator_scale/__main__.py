"""What the operator needs and how long it takes with thousands of tasks.

    .venv/bin/python benchmarks/operator_scale [--namespaces 20] [--models 25] [--tasks 10] [--rates 2 10]

On the local cluster: 500 models in 20 namespaces, 5,000 tasks, a published base for each model. A quota holds all pods
back; the benchmark does what they would do: it writes the results of the tasks whose turn it is into the store and ends
their Jobs, so many tasks a second. Everything else is real: API server, Jobs, Leases, store, the operator with the
chart's rights. Requests are counted in the API server's audit log.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from bluetune_operator.adapters.kube import KubeApi, load_configuration
from cluster.buckets import new_bucket
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from cluster.paths import TESTED_NAMESPACE
from machine import machine
from operator_scale.measure import METRICS_PORT, Operator, Scale, measure
from rights.granting import operator_environment

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespaces", type=int, default=20)
    parser.add_argument("--models", type=int, default=25, help="in each namespace")
    parser.add_argument("--tasks", type=int, default=10, help="of each model")
    parser.add_argument("--rates", type=float, nargs="+", default=[2.0, 10.0], help="tasks that end in a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="at each of these rates")
    parser.add_argument("--idle", type=float, default=320.0, help="seconds to watch it do nothing")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    options = parser.parse_args()
    cluster = Cluster()
    started = cluster.up()
    try:
        with cluster.entered(), new_bucket(cluster.s3("minio")) as bucket:
            crds = HERE.parents[1] / "crds"
            Kubectl()("apply", "--server-side", "--force-conflicts", "-f", str(crds))
            Kubectl()("wait", "--for=condition=Established", "--timeout=30s", "-f", str(crds))
            store = {"endpoint": bucket.server.address, "bucket": bucket.name, "secure": False}
            keys = (bucket.server.access_key, bucket.server.secret_key)
            environment = operator_environment() | {
                "POD_NAMESPACE": TESTED_NAMESPACE,
                "BLUETUNE_HEALTH_PORT": "0",
                "BLUETUNE_METRICS_PORT": str(METRICS_PORT),
                "MALLOC_ARENA_MAX": "2",  # as the image has it
            }
            log = Path(tempfile.mkdtemp(prefix="operator-scale-")) / "operator.log"
            operator = Operator(environment, log)
            print(f"the operator's log: {log}")

            async def run() -> dict[str, object]:
                kube = KubeApi(load_configuration())
                scale = Scale(kube, store, keys, options)
                try:
                    return await measure(scale, operator, cluster.state.audit)
                finally:
                    operator.end()
                    await scale.remove()
                    kube.close()

            found = asyncio.run(run())
    finally:
        if started:
            cluster.down()
    shape = {name: getattr(options, name) for name in ("namespaces", "models", "tasks")}
    result = {"machine": machine(1, False), **shape, **found, "load": os.getloadavg()[0]}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "operator_scale.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
