"""Does a search service drop or mix a request while bluetune switches its version?

    .venv/bin/python benchmarks/switching [--items 7300] [--quiet 15] [--out DIR]

On the local cluster: the demo's search service (two pods, each with model and index of its version) is asked distinct
queries in an open loop from inside the cluster's network, at half of the rate that it was measured to answer, without
retries, a connection each. Meanwhile bluetune switches to another version, goes back by rollbackTo, switches to a
third, and tries a fourth whose vectors are not those that its manifest records, so that it goes back by itself; each
with its reindex Job. Exits with 1 if a request failed, or if an answer came from one version's model and the vectors of
another.
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests"), str(ROOT / "examples" / "semanlink")]

from blue.world import CRDS, Blue  # noqa: E402 - the path comes first
from cluster.buckets import new_bucket  # noqa: E402
from cluster.kubectl import Kubectl  # noqa: E402
from cluster.lifecycle import Cluster  # noqa: E402
from semanlink import dataset  # noqa: E402
from switching import world  # noqa: E402
from switching.load import Answer, Client  # noqa: E402
from switching.report import Mark, graph, summary, table  # noqa: E402

AT_ONCE = 8
STEP_SECONDS = 600.0


async def measure(
    blue: Blue, versions: list[str], options: argparse.Namespace
) -> tuple[list[Answer], list[Mark], float]:
    """Answers, what happened when, and the capacity in requests a second."""
    address = blue.kubectl.json("get", "service", "search")["spec"]["clusterIP"]
    async with Client(address, world.titles(options.items), options.seed) as client:
        await client.capacity(AT_ONCE, 3.0)  # the first searches are slower
        capacity = await client.capacity(AT_ONCE, options.capacity_seconds)
        print(f"capacity {capacity:.1f} requests a second; the load is half of it")
        over, begun, marks = asyncio.Event(), time.monotonic(), list[Mark]()
        load = asyncio.create_task(client.open_loop(capacity / 2, over, options.seed))

        async def quiet() -> None:
            marks.append(Mark(time.monotonic() - begun, "quiet"))
            await asyncio.sleep(options.quiet)

        async def step(what: str, version: str, done: Callable[[], Any]) -> None:
            marks.append(Mark(time.monotonic() - begun, what))
            print(f"{marks[-1].at:6.1f} s  {what}")
            await asyncio.to_thread(blue.pin, version)
            await asyncio.to_thread(blue.until, done, STEP_SECONDS)

        base, second, third, lying = versions
        try:
            await quiet()
            await step("switch", second, lambda: blue.current() == second)
            await quiet()
            await step("rollback by rollbackTo", base, lambda: blue.current() == base)
            await quiet()
            await step("switch", third, lambda: blue.current() == third)
            await quiet()
            await step("failed verification, rollback", lying, lambda: blue.step() == "Failed")
            reason = blue.status()["rollout"]["reason"]
            assert (reason, blue.current()) == ("VerifyFailed", third), (reason, blue.current())
            await asyncio.to_thread(blue.pin, None)
            await quiet()
        finally:
            over.set()
            answers = await load
    return answers, marks, capacity


def run(options: argparse.Namespace, cluster: Cluster) -> dict[str, Any]:
    """Make the world, measure, and take it away."""
    kubectl = Kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    world.load_image(cluster)
    namespace = f"switching-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    try:
        with new_bucket(cluster.s3("minio")) as bucket, tempfile.TemporaryDirectory() as logs:
            blue = Blue(Kubectl(namespace), bucket, Path(logs))
            blue.secret()
            print("publishing four versions")
            versions = world.made(blue, options.items)
            with blue.operator():
                blue.until(lambda: blue.current() == versions[0], STEP_SECONDS)
                unsafe = blue.condition("ServingUnsafe")
                assert unsafe["status"] == "False", unsafe
                before = os.getloadavg()[0]
                answers, marks, capacity = asyncio.run(measure(blue, versions, options))
    finally:
        kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150)
    facts = {
        "machine": {"processors": os.cpu_count(), "platform": platform.platform(), "load_before": round(before, 1)},
        "items": options.items,
        "seed": options.seed,
        "capacity": round(capacity, 1),
        "rate": round(capacity / 2, 1),
    }
    found = summary(answers, marks, facts)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "switching.json").write_text(json.dumps(found, indent=1) + "\n")
    title = f"Search answers while versions are switched ({found['failed']} failed, {found['mixed']} mixed)"
    (options.out / "switching.svg").write_text(graph(answers, marks, title))
    return found


def main() -> int:
    """Run on the local cluster; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=7300, help="documents in the index")
    parser.add_argument("--quiet", type=float, default=15.0, help="seconds before, between and after the switches")
    parser.add_argument("--capacity-seconds", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    dataset.load()  # fetched now, if it must be: the cluster's network leads nowhere
    cluster = Cluster()
    started = cluster.up()
    try:
        with cluster.entered():
            found = run(options, cluster)
    finally:
        if started:
            cluster.down()
    print(f"\n{table(found)}\n{found['rate']} requests a second, capacity {found['capacity']}")
    for problem, count in found["problems"].items():
        print(f"{count:>6} × {problem}")
    return 1 if found["failed"] or found["mixed"] else 0


if __name__ == "__main__":
    sys.exit(main())
