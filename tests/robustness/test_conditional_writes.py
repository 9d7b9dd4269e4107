"""A store that creates what is there already is found out when it is first used."""

import json
from pathlib import Path

import pytest

from bluetune_api.objectstore import LocalStore, NoConditionalWrites, require_conditional_writes
from bluetune_trainer.cli import main
from robustness.conftest import ACCESS, SECRET, Bucket
from robustness.faults import IGNORES, REFUSES, Relay


@pytest.mark.parametrize("how", [IGNORES, REFUSES])
def test_a_store_without_conditional_writes_is_refused(s3_bucket: Bucket, relay: Relay, how: str) -> None:
    relay.choose = lambda _n, _method, _path: how
    with pytest.raises(NoConditionalWrites, match=f"{s3_bucket.name}.*If-None-Match"):
        require_conditional_writes(s3_bucket.store(relay.address))


def test_the_trainer_ends_at_once_and_says_why(
    s3_bucket: Bucket, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.choose = lambda _n, _method, _path: IGNORES
    location = s3_bucket.location(relay.address)
    owner = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u"}
    plan = {"kind": "Check", "owner": owner, "model": "m", "store": location.wire(), "batchId": "b1"}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{ACCESS}\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{SECRET}\n")
    monkeypatch.setattr(main, "listen", lambda _stop: None)
    monkeypatch.setenv("BLUETUNE_TERMINATION_LOG", str(tmp_path / "said"))
    assert main.main(["check", "--plan", str(tmp_path / "plan.json")]) == 11
    said = json.loads((tmp_path / "said").read_text())
    assert said["reason"] == "NoConditionalWrites"
    assert "use a store that has them" in said["message"]


def test_a_store_with_them_is_asked_once_more_and_then_by_one_request_that_changes_nothing(
    s3_bucket: Bucket, relay: Relay
) -> None:
    store = s3_bucket.store(relay.address)
    require_conditional_writes(store)
    before = [(info.key, info.etag) for info in s3_bucket.store().list("")]
    relay.requests.clear()
    require_conditional_writes(store)
    assert [(info.key, info.etag) for info in s3_bucket.store().list("")] == before
    assert [method for method, _, _ in relay.requests].count("PUT") == 1


def test_answers_that_are_lost_do_not_make_it_look_like_a_store_without_them(s3_bucket: Bucket, relay: Relay) -> None:
    relay.choose = lambda n, _method, _path: "lost" if n % 2 else None
    require_conditional_writes(s3_bucket.store(relay.address))


def test_a_folder_has_them(tmp_path: Path) -> None:
    for _ in range(2):
        require_conditional_writes(LocalStore(tmp_path))


def test_it_says_whether_it_wrote(tmp_path: Path) -> None:
    assert [require_conditional_writes(LocalStore(tmp_path)) for _ in range(3)] == [True, False, False]
