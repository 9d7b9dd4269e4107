"""`make demo`: the whole line, from clicks to production, on a real cluster, with everything that happens in view.

    .venv/bin/python examples/semanlink/demo.py [--seed N] [--sessions N] [--once]

KUBE_CONTEXT names a cluster to use instead of the local one. Exit code 0: each task Succeeded and every blue pod
serves what the gate decided, its version or still the one before.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semanlink.target import (
    GPU,
    NAMESPACE,
    ROOT,
    SEARCH_IMAGE,
    SEARCH_PORT,
    SYSTEM,
    DemoError,
    Target,
    chosen,
    code_fingerprint,
)

from bluetune.adapters.display import Display
from bluetune.core import watch
from bluetune_api.model import Gate
from bluetune_api.objectstore import StoreError
from bluetune_trainer.report.decision import decision
from semanlink import blue, dataset, loading, manifests, people, summary

HERE = Path(__file__).resolve().parent
MODEL, TASK, SECRET = "semanlink", "semanlink-1", "semanlink-store"
BASE_MINUTES, TASK_MINUTES = 15, 40
POLL_SECONDS, GRACE_SECONDS = 1.5, 15.0
VISITS, MADE_SECONDS = 600, 180.0
RETRAIN = {"triggers": [{"newBatch": {}}], "template": {"deployAsBlue": True}}
MADE_BY_RETRAIN = "bluetune.dev/made-by=retrain"
NOT_ROLLED_OUT = {"GateNotPassed", "GateUndecided", "GateNotMeasured"}
"""Reasons of the gate: the version is kept, and the base stays."""


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the split of the tags and of the clicks")
    parser.add_argument("--sessions", type=int, default=3000, help="how many search sessions to simulate")
    parser.add_argument("--once", action="store_true", help="end after the first version")
    options = parser.parse_args()
    show = Display()
    target = None
    try:
        target = chosen(os.environ)
        return Demo(target, show, options.seed, options.sessions, once=options.once).run()
    except (DemoError, dataset.DatasetError, StoreError) as error:
        show.say(f"\nThe demo stopped: {error}", "bold red")
        if target is not None:
            where_to_look(show, target)
        return 1
    except KeyboardInterrupt:
        show.say("\nInterrupted. The cluster stays as it is; `make down` removes it, `make demo` starts afresh.")
        return 130
    finally:
        if target is not None:
            target.close()


class Demo:
    """The steps, in their order."""

    def __init__(self, target: Target, show: Display, seed: int, sessions: int, *, once: bool) -> None:
        self._target, self._show, self._seed, self._sessions, self._once = target, show, seed, sessions, once

    def run(self) -> int:
        """From nothing to the summary; returns the exit code."""
        show, target = self._show, self._target
        show.heading("1  A real Kubernetes, S3, and bluetune by its chart")
        with show.step("cluster"):
            target.start()
        with show.step("helm: bluetune"):
            self._install()
        with show.step("a fresh namespace, where only restricted pods may run"):
            self._namespace()
        with show.step("S3"):
            storage = target.storage()
            loading.empty_bucket(storage)
            self._secret(storage.access_key, storage.secret_key)

        show.heading("2  Base model, catalogue, clicks")
        with show.step("Semanlink: documents, and the tags that people gave them"):
            data = dataset.load()
        with show.step("base model all-MiniLM-L6-v2 and the catalogue to S3"):
            loading.upload_base(storage)
            loading.upload_catalogue(storage, data.documents)
        with show.step("a batch of clicks to S3"):
            batch, clicked, clicks = loading.upload_clicks(storage, data, self._seed, self._sessions)
        seen, unseen = data.judgments.split(self._seed)
        show.say(
            f"    The clicks are SIMULATED from human judgments: {self._sessions} sessions on {len(seen)} tags,\n"
            f"    {clicked} with a click, {clicks} clicks (batch {batch}). {len(unseen)} other tags are kept for the\n"
            "    comparison: no click was ever made for them. Everything else here is real.\n"
            "    The gate decides by clicks.",
            "dim",
        )

        with tempfile.TemporaryDirectory() as folder:
            applied = self._manifests(Path(folder))
            show.heading("3  The search service serves the base: blue")
            for name in ("00-namespace", "10-search", "20-method", "30-model"):
                target.run("kubectl", "apply", "-f", str(applied / f"{name}.yaml"))
            model = self._follow("EmbeddingModel", "embeddingmodel", MODEL, watch.of_model, BASE_MINUTES)
            port = target.forward("search", 80, SEARCH_PORT)
            address = f"http://127.0.0.1:{port}"
            show.say(f"    Try it while the training runs: {address}")
            with show.step(f"asking blue for {len(unseen)} unseen tags"):
                before = summary.judged(blue.rankings(address, unseen.queries), data.documents, unseen)

            show.heading("4  kubectl apply -f examples/semanlink/")
            show.say(target.run("kubectl", "apply", "-f", str(applied)).rstrip(), "dim")
            task = self._follow("FineTuningTask", "finetuningtask", TASK, watch.of_task, TASK_MINUTES)

        show.heading("5  What came of it")
        # by kubectl, a forwarded port leads to one pod, and that one is gone
        address = f"http://127.0.0.1:{target.forward('search', 80, SEARCH_PORT)}"
        promoted = watch.condition(task["status"], "Promoted") == "True"
        with show.step("asking blue again, and each of its pods"):
            answers, served = blue.rankings(address, unseen.queries), blue.served(target)
        if not promoted:
            with show.step("asking the new version, which blue does not serve"):
                answers = loading.rankings_of(storage, task["status"]["bestModelId"], data, unseen.queries)
        after = summary.judged(answers, data.documents, unseen)
        keywords, where = summary.keyword_scores(data.documents, unseen), "blue now" if promoted else "not served"
        summary.print_quality(show.console, before.scores, keywords, after.scores, where)
        show.console.print()
        measured = loading.result_of(storage, task["metadata"]["uid"]).gate
        asked = Gate.model_validate(model["spec"]["serving"]["gate"])
        summary.print_decision(show.console, decision(measured, asked), promoted, before.scores, after.scores)
        summary.print_queries(show.console, before, after, data.documents, unseen)
        show.console.print()
        summary.print_times(show.console, show.times, time.monotonic() - show.begun)
        show.console.print()
        if url := (task.get("status") or {}).get("reportUrl"):
            path = loading.save_report(storage, url, dataset.cache_folder())
            show.say(f"    The report of the run, for any browser: {path}\n    (in the store: {url})")
        base = model["status"]["current"]["digest"]
        code = self._verdict(task, base, served)
        if not code and not self._once:
            code = self._goes_on(address, data.documents, seen, before=next(iter(served.values())))
        self._open(address, storage.endpoint)
        return code

    def _goes_on(self, address: str, documents: list[dataset.Document], seen: dataset.Judgments, *, before: str) -> int:
        """People use the page, and the model learns from that without anybody asking; returns the exit code.

        Args:
            before: digest that blue serves now.
        """
        show, target = self._show, self._target
        show.heading("6  It goes on by itself")
        with show.step("spec.retrain of the model: a task for each new batch"):
            change = json.dumps({"spec": {"retrain": RETRAIN}})
            target.run("kubectl", "-n", NAMESPACE, "patch", "embeddingmodel", MODEL, "--type=merge", "-p", change)
        with show.step(f"{VISITS} searches on blue's page, which logs them and their clicks as UBI"):
            visit = people.visit(address, documents, seen, count=VISITS, seed=self._seed + 1)
        show.say(
            f"    The people are SIMULATED again, by the same judgments: {visit.searches} searches,\n"
            f"    {visit.clicked} of them with a click (batch {visit.batch_id}). The page wrote the batch.\n"
            "    Nobody applies a task.",
            "dim",
        )
        with show.step("the operator sees the batch, within a minute, and makes a task"):
            name = self._made_for(visit.batch_id)
        task = self._follow("FineTuningTask", "finetuningtask", name, watch.of_task, TASK_MINUTES)
        with show.step("asking each of blue's pods"):
            served = blue.served(target)
        return self._verdict(task, before, served)

    def _made_for(self, batch: str) -> str:
        """The task that the operator makes for a batch."""
        deadline = time.monotonic() + MADE_SECONDS
        while True:
            text = self._target.run("kubectl", "-n", NAMESPACE, "get", "ftt", "-l", MADE_BY_RETRAIN, "-o", "json")
            for task in json.loads(text)["items"]:
                if task["spec"].get("batchId") == batch:
                    return str(task["metadata"]["name"])
            if time.monotonic() > deadline:
                raise DemoError(f"no task was made for batch {batch} within {MADE_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _install(self) -> None:
        images = self._target.images
        values = {
            "image": dict(zip(("repository", "tag"), images.operator.rsplit(":", 1), strict=True)),
            "trainerImage": dict(zip(("repository", "tag"), images.trainer.rsplit(":", 1), strict=True)),
            # pods that run the working tree are replaced when it changed
            "podAnnotations": {"bluetune.dev/code": code_fingerprint(ROOT / "operator", ROOT / "crds")},
        }
        helm = ["helm", "upgrade", "--install", "bluetune", str(ROOT / "helm" / "bluetune"), "--values", "-"]
        helm += ["--take-ownership"]  # of CRDs that tests have applied, or another release has left
        if not self._target.run("helm", "version", "--template", "{{.Version}}").startswith("v3."):
            helm += ["--force-conflicts"]  # Helm 4 applies on the server, which knows who wrote the CRDs before
        namespace = ["--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "5m"]
        self._target.run(*helm, *namespace, stdin=json.dumps(values), timeout=330)

    def _namespace(self) -> None:
        run = self._target.run
        run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s", timeout=200)
        run("kubectl", "apply", "-f", str(HERE / "00-namespace.yaml"))
        deadline = time.monotonic() + 30
        while "default" not in run("kubectl", "-n", NAMESPACE, "get", "serviceaccounts", "-o", "name"):
            if time.monotonic() > deadline:
                raise DemoError(f"namespace {NAMESPACE} got no service account within 30 s: is its controller running?")
            time.sleep(0.3)

    def _secret(self, access_key: str, secret_key: str) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "stringData": {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key},
        }
        self._target.run("kubectl", "apply", "-f", "-", stdin=json.dumps(secret))

    def _manifests(self, folder: Path) -> Path:
        """A copy of this folder with the cluster's images, and without the GPU if no pod could use one.

        The local node's GPU is a number that Kubernetes counts: a pod that is given it finds none, and would end.
        """
        nodes = json.loads(self._target.run("kubectl", "get", "nodes", "-o", "json"))["items"]
        image = self._target.images.search
        counted = any(node["status"].get("allocatable", {}).get(GPU, "0") != "0" for node in nodes)
        has_gpu = counted and image != SEARCH_IMAGE
        if not has_gpu:
            self._show.say(f"    No node has {GPU} that works: the Jobs ask for none, and train on the CPU.")
        for path in HERE.glob("*.yaml"):
            (folder / path.name).write_text(manifests.rendered(path.read_text(), search_image=image, gpu=has_gpu))
        return folder

    def _follow(
        self, title: str, kind: str, name: str, view_of: Callable[[Any], watch.View], minutes: float
    ) -> dict[str, Any]:
        """Show an object until it is done; returns it. Raises DemoError if it fails or takes too long."""
        deadline = time.monotonic() + minutes * 60
        fine = time.monotonic()
        with self._show.watching(f"{title} {name}") as watcher:
            while True:
                text = self._target.run("kubectl", "-n", NAMESPACE, "get", kind, name, "-o", "json")
                found: dict[str, Any] = json.loads(text)
                view = view_of(found)
                watcher.show(view)
                fine = fine if view.failed else time.monotonic()
                # a model without its method is stalled only until the operator has seen the method
                if view.done or time.monotonic() > deadline or time.monotonic() - fine > GRACE_SECONDS:
                    break
                time.sleep(POLL_SECONDS)
        status = found.get("status") or {}
        if view.failed:
            raise DemoError(f"{title} {name} failed: {watch.problems(status) or view.note or 'it gives no reason'}")
        if not view.done:
            why = watch.problems(status) or view.note
            raise DemoError(f"{title} {name} was not done after {minutes:.0f} minutes, at: {view.stage}. {why}")
        return found

    def _verdict(self, task: dict[str, Any], before: str, served: dict[str, str]) -> int:
        """Say what a task came to, and whether blue serves what it should; returns the exit code.

        Args:
            before: digest that blue served before the task.
            served: digests by pod.
        """
        show, status = self._show, task["status"]
        promoted = watch.condition(status, "Promoted") == "True"
        digest = status.get("digest", "") if promoted else before
        right = bool(served) and all(found == digest for found in served.values())
        for pod, found in sorted(served.items()):
            show.say(f"  {'✓' if found == digest else '✗'} {pod} serves {found}")
        name = task["metadata"]["name"]
        if promoted and right:
            version = status.get("bestModelId")
            show.say(f"\nThe task {name} Succeeded, and blue serves {version}, {digest}.", "bold green")
            return 0
        kept = watch.reason(status, "Promoted") in NOT_ROLLED_OUT
        if kept and right:
            if task["metadata"].get("labels"):  # made by the operator; of the first one all this was said
                show.say(f"  {watch.reason(status, 'Promoted')}: {status.get('message')}")
            show.say(
                f"\nThe task {name} Succeeded, and blue still serves what it served, as the gate decided: {digest}.",
                "bold green",
            )
            return 0
        why = f"the pods serve something else than {digest}" if promoted or kept else watch.problems(status)
        show.say(f"\nBlue does not serve what it should: {why}", "bold red")
        where_to_look(show, self._target)
        return 1

    def _open(self, address: str, s3: str) -> None:
        """What a person can look at now."""
        show = self._show
        if self._target.lasting:
            show.say(f"\n  Search page  {address}\n  S3           http://{s3}  (keys: Secret {SECRET})")
            show.say("  These stay open until `make down`. Search, open results, press “Close batch”.")
        else:
            show.say(f"\n  Search page  {self._target.kubectl} -n {NAMESPACE} port-forward service/search 8080:80")
        show.say(f"  Look around  {self._target.kubectl} -n {NAMESPACE} get emodel,ftm,ftt,jobs,pods")


def where_to_look(show: Display, target: Target) -> None:
    """Where a person finds out more."""
    kubectl = target.kubectl
    show.say("Where to look:", "bold")
    show.say(f"  {kubectl} -n {NAMESPACE} describe emodel,ftt")
    show.say(f"  {kubectl} -n {NAMESPACE} get jobs,pods,events")
    show.say(f"  {kubectl} -n {NAMESPACE} logs -l bluetune.dev/model={MODEL} --tail=50 --prefix   (Jobs)")
    show.say(f"  {kubectl} -n {NAMESPACE} logs -l app=search --tail=50 --prefix                   (search service)")
    show.say(f"  {kubectl} -n {SYSTEM} logs deployment/bluetune --tail=100                        (operator)")


if __name__ == "__main__":
    sys.exit(main())
