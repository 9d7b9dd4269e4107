"""A plugin image of an older release meets what a newer trainer left in the store."""

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from bluetune_api import store_layout
from bluetune_api.records import KeptEvidence, Manifest, Plan, Probe, RunOwner, digest_of, version_of
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.cli.gating import GateOfRun
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.runs import encode
from bluetune_trainer.store.versions import read_manifest

LIVE = "v0123456789ab"


def plan() -> Plan:
    return Plan(
        kind="Train",
        owner=RunOwner(kind="FineTuningTask", name="t", namespace="n", uid="u1"),
        model="m",
        store=StoreLocation(endpoint="minio:9000", bucket="models"),
        batch_id="b",
        start_version=LIVE,
    )


def gate(store: Any, workdir: Path) -> GateOfRun:
    nothing = cast("Any", None)
    return GateOfRun(store, plan(), nothing, nothing, nothing, None, workdir, threading.Event())


def test_evidence_of_a_newer_trainer_ends_the_run_before_it_has_trained(store: Any, tmp_path: Path) -> None:
    evidence = encode(KeptEvidence(candidate="sha256:" + "0" * 64, metric="ndcg@10", gains={}, influence={}))
    key = store_layout.kept_evidence(LIVE, "earlier")
    store.put(key, evidence[:-2] + b',\n"ofANewerRelease": 1}')
    gate(store, tmp_path)
    store.put(key, evidence.replace(b'"formatVersion": 1', b'"formatVersion": 2'))
    with pytest.raises(PlanInvalid, match="upgrade the trainer's image") as refused:
        gate(store, tmp_path)
    assert refused.value.reason == "FormatTooNew"


def test_a_version_of_a_newer_trainer_is_read_unless_its_format_is_newer(store: Any) -> None:
    manifest = Manifest(files=[], dimension=2, probe=Probe(texts=[], vectors=[])).encode()

    def kept(data: bytes) -> str:
        version = version_of(digest_of(data))
        store.put(store_layout.manifest(version), data)
        return version

    more = kept(manifest[:-1] + b',"ofANewerRelease":{"deep":[1]}}')
    assert read_manifest(store, more)[0].dimension == 2
    newer = kept(manifest.replace(b'"formatVersion":1', b'"formatVersion":2'))
    with pytest.raises(PlanInvalid, match="upgrade the trainer's image") as refused:
        read_manifest(store, newer)
    assert refused.value.reason == "FormatTooNew"
