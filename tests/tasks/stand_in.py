"""A trainer for the tests of the operator's exit-code paths: real pods, real store, no learning.

What it does at each stage is said in the task's metadata, as `check: exit:10` or `train: sleep:5,oom`: `exit:N` ends
with that code, `exit-once:N` does so in the first pod, `crash-once` fails in the first pod, `oom` takes memory until it
is killed, `oom-once` does so in the first pod, `sleep:N` waits, `trials:N` runs trials that are never run again,
`trial:Q` ends a trial of quality Q whose model it keeps as the best one, unless an earlier pod has, and `poison:WHAT`
writes a progress that no trainer writes. Its version depends on the owner's uid alone, so that two runs of one task
would publish one version, as the real trainer does.
"""

import hashlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime

from bluetune_api import store_layout
from bluetune_api.exit_codes import Termination
from bluetune_api.records import (
    CheckReport,
    GateReport,
    Manifest,
    ManifestFile,
    Plan,
    Probe,
    Progress,
    Result,
    Trial,
    digest_of,
    version_of,
)
from bluetune_api.s3 import S3Store, store_from_environment
from bluetune_api.task import TrialSummary


def publish(store: S3Store, plan: Plan, lineage: list[str]) -> tuple[str, str]:
    """A version whose content is the owner's uid."""
    data = plan.owner.uid.encode()
    manifest = Manifest(
        files=[ManifestFile(path="model.txt", size=len(data), sha256=hashlib.sha256(data).hexdigest())],
        dimension=2,
        parent=plan.start_version,
        base_uri=plan.base_uri,
        batch_id=plan.batch_id,
        lineage_batches=lineage,
        probe=Probe(texts=["a"], vectors=[[1.0, 0.0]]),
    ).encode()
    digest = digest_of(manifest)
    version = version_of(digest)
    store.put(store_layout.version(version) + "model.txt", data)
    store.create(store_layout.manifest(version), manifest)
    return version, digest


def finish_trial(store: S3Store, uid: str, quality: float) -> None:
    """A finished trial and its model, unless an earlier pod of the run has done it."""
    done = [Trial.model_validate_json(store.get(info.key)) for info in store.list(store_layout.trials(uid))]
    if any(trial.quality == quality for trial in done):
        return
    number = len(done)
    store.put(f"{store_layout.best(uid)}{number}/model.txt", b"weights")
    record = Trial(trial=number, status="ok", params={"lr": 0.1}, quality=quality)
    store.create(store_layout.trial(uid, number), record.model_dump_json(by_alias=True).encode())


def run_trial(store: S3Store, plan: Plan, pod: str, number: int) -> None:
    """A trial of half a second, unless it has ended already; what began it and what ended it is written down."""
    key = store_layout.trial(plan.owner.uid, number)
    if store.stat(key) is not None:
        return
    store.put(store_layout.attempt(plan.owner.uid, pod) + f"began-{number}", b"")
    time.sleep(0.5)
    record = Trial(trial=number, status="ok", params={"lr": 0.1}, quality=0.5, message=pod)
    store.create(key, record.model_dump_json(by_alias=True).encode())


def poison(store: S3Store, plan: Plan, pod: str, what: str) -> None:
    """What somebody with stolen keys may write as the progress; then time for the operator to read it."""
    evil = "\x1b[2J\u202e" + "x" * 5000
    trial = {"trial": 10**30, "quality": 1e308, "params": {f"{evil}{n}": [evil, 10**300] for n in range(100)}}
    known = {"stage": "Searching", "percent": 7, "trialsDone": 10**20, "topTrials": [trial] * 20}
    moment = "2026-13-45T99:00:00Z" if what == "time" else "2026-01-01T00:00:00Z"
    data = json.dumps({**known, "updatedAt": moment}).encode()
    store.put(store_layout.progress(plan.owner.uid, pod), data * (8 if what == "large" else 1))
    time.sleep(5)


def obey(orders: str, store: S3Store, plan: Plan) -> None:
    """Do what the task's metadata says."""
    pod = os.environ["BLUETUNE_POD_UID"]
    for order in filter(None, orders.split(",")):
        word, _, value = order.partition(":")
        if word == "sleep":
            for second in range(int(value) * 2):
                progress = Progress(
                    stage="Searching",
                    percent=min(99, 100 * second // (int(value) * 2)),
                    eta_seconds=max(0, int(value) - second // 2),
                    trials_done=second // 2,
                    trials_total=int(value),
                    best=TrialSummary(trial=0, quality=0.5, params={"lr": 0.1}),
                    top_trials=[TrialSummary(trial=0, quality=0.5, params={"lr": 0.1})],
                    updated_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                )
                store.put(store_layout.progress(plan.owner.uid, pod), progress.model_dump_json(by_alias=True).encode())
                time.sleep(0.5)
        elif word == "trial":
            finish_trial(store, plan.owner.uid, float(value))
        elif word == "trials":
            for trial in range(int(value)):
                run_trial(store, plan, pod, trial)
        elif word == "poison":
            poison(store, plan, pod, value)
        elif word == "oom-once" and not store.create(f"runs/{plan.owner.uid}/oom", b"{}"):
            continue
        elif word in ("oom", "oom-once"):
            hog = []
            while True:
                hog.append(bytearray(b"x" * (16 << 20)))
        elif word == "crash-once":
            if store.create(f"runs/{plan.owner.uid}/crashed", b"{}"):
                sys.exit("a crash on purpose, the first time only")
        elif word == "exit-once" and not store.create(f"runs/{plan.owner.uid}/exited", b"{}"):
            continue
        elif word in ("exit", "exit-once"):
            message = Termination(reason=f"Exit{value}", message=f"ended with {value} because the test says so")
            with open("/dev/termination-log", "w") as file:
                file.write(message.encode())
            sys.exit(int(value))


def main() -> None:
    """bluetune-trainer import|check|run --plan FILE"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    command, path = sys.argv[1], sys.argv[3]
    with open(path) as file:
        plan = Plan.model_validate_json(file.read())
    store = store_from_environment(plan.store)
    if command == "import":
        version, digest = publish(store, plan, [])
        result = Result(
            kind="Import", owner=plan.owner, version=version, digest=digest, uri=store.uri(f"versions/{version}")
        )
        store.create(store_layout.result(plan.owner.uid), result.model_dump_json(by_alias=True).encode())
        return
    if command == "check":
        obey(plan.metadata.get("check", ""), store, plan)
        report = CheckReport(
            valid=True,
            batch_id=plan.batch_id or "",
            batch=[],
            items=[],
            sessions=100,
            sessions_with_clicks=90,
            positives=90,
            results=1000,
            coverage=1.0,
            duplicates=0,
            broken_lines=0,
            catalogue_size=50,
        )
        store.create(store_layout.check(plan.owner.uid), report.model_dump_json(by_alias=True).encode())
        return
    obey(plan.metadata.get("train", ""), store, plan)
    started = json.dumps({"pod": os.environ["BLUETUNE_POD_UID"]}).encode()
    store.put(store_layout.attempt(plan.owner.uid, os.environ["BLUETUNE_POD_UID"]) + "started.json", started)
    parent = Manifest.model_validate_json(store.get(store_layout.manifest(plan.start_version or "")))
    version, digest = publish(store, plan, [*parent.lineage_batches, *reversed(plan.selection().learn)])
    delta = float(plan.metadata.get("delta", "0.1"))
    result = Result(
        kind="Train",
        owner=plan.owner,
        version=version,
        digest=digest,
        uri=store.uri(f"versions/{version}"),
        parent=plan.start_version,
        batch_id=plan.batch_id,
        best=TrialSummary(trial=1, quality=0.6, params={"lr": 0.2}),
        trials_done=2,
        gate=GateReport(
            metric=plan.gate.metric,
            against=plan.live_version or plan.start_version or "",
            baseline={plan.gate.metric: 0.5},
            candidate={plan.gate.metric: 0.5 + delta},
            delta=delta,
            low=delta / 2,
            high=delta * 1.5,
            sessions=10,
        ),
        metadata=plan.metadata,
    )
    store.create(store_layout.result(plan.owner.uid), result.model_dump_json(by_alias=True).encode())


if __name__ == "__main__":
    main()
