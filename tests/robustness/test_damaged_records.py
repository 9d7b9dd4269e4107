"""Records that somebody edited in the store end a run with a sentence, whatever they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore, StoreError
from bluetune_api.records import CheckReport, Plan, Result, Trial
from bluetune_trainer.errors import PlanInvalid, StoreFailed, as_trainer_error
from bluetune_trainer.store.runs import StoredTrials, keep_plan, read

OWNER = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"}
PLAN = {"kind": "Train", "owner": OWNER, "model": "m", "store": {"endpoint": "minio:9000", "bucket": "models"}}
TRIAL = {"trial": 0, "status": "ok", "params": {}, "quality": 0.5}


@pytest.mark.parametrize("kind", [Plan, CheckReport, Trial, Result])
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"formatVersion": "2"}', b'{"trial": NaN}', b"[" * 100_000, b'{"x": 1}'],
)
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, kind: Any, data: bytes) -> None:
    store = LocalStore(tmp_path)
    store.put("runs/u1/record.json", data)
    with pytest.raises(StoreFailed, match=r"record\.json is no .* that this trainer can read: .*start a new task") as e:
        read(store, "runs/u1/record.json", kind)
    assert "pydantic" not in str(e.value)
    assert "\n" not in str(e.value)
    assert as_trainer_error(e.value).exit_code == 15  # no outage, which would be waited for without an end


def test_a_plan_of_a_newer_format_says_which_side_to_upgrade(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("runs/u1/plan.json", json.dumps({**PLAN, "formatVersion": 2}).encode())
    with pytest.raises(PlanInvalid, match="formatVersion is 2, and this trainer reads up to 1: upgrade the trainer"):
        keep_plan(store, Plan.model_validate(PLAN))


def test_a_trial_under_another_number_is_not_taken_for_two(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in (0, 1):
        store.put(f"runs/u1/trials/{number}.json", json.dumps(TRIAL).encode())
    with pytest.raises(StoreFailed, match=r"1\.json says it is trial 0"):
        StoredTrials(store, "u1").finished()


@pytest.mark.parametrize("path", ["../../../../escaped", "/tmp/escaped", "a\0b", ""])
def test_a_trials_model_stays_in_its_folder(tmp_path: Path, path: str) -> None:
    store = LocalStore(tmp_path / "store")
    files = [{"path": path, "size": 1, "sha256": "0" * 64}]
    store.put("runs/u1/best/0/files.json", json.dumps(files).encode())
    (tmp_path / "escaped").write_text("x")
    with pytest.raises((StoreFailed, StoreError), match="leaves"):
        StoredTrials(store, "u1").fetch_best(0, tmp_path / "a" / "b" / "into")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["escaped", "store"]


def test_a_trials_model_without_a_file_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    files = [{"path": "model.safetensors", "size": 1, "sha256": "0" * 64}]
    store.put("runs/u1/best/0/files.json", json.dumps(files).encode())
    with pytest.raises(StoreFailed, match=r"model\.safetensors is missing, though it is listed"):
        StoredTrials(store, "u1").fetch_best(0, tmp_path / "into")
