"""Which version a model without status takes over."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_api.model import CurrentVersion, EmbeddingModelStatus, Serving
from bluetune_api.store_location import StoreLocation
from bluetune_operator.core.models.adoption import Candidate, adoption, deployed, record_of, recorded, says_already
from bluetune_operator.core.rollout.moves import Failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STORE = StoreLocation(endpoint="minio:9000", bucket="bkt", prefix="p")
SERVING = Serving(deployment="blue", container="server")
V1, V2 = "v000000000001", "v000000000002"
DIGEST = "sha256:" + "0" * 64
GONE, OTHER = Failure("VersionNotFound", "it has no manifest.json"), Failure("VersionInvalid", "another digest")


def version(name: str, **more: Any) -> CurrentVersion:
    known = {"uri": f"s3://bkt/p/versions/{name}/", "digest": DIGEST, "promoted_at": "2026-01-01T00:00:00Z"}
    return CurrentVersion(version=name, **{**known, **more})


def deployment(**env: str) -> dict[str, Any]:
    container = {"name": "server", "env": [{"name": key, "value": value} for key, value in env.items()]}
    annotations = {"bluetune.dev/version": V2, "bluetune.dev/digest": DIGEST}
    return {"spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}}}


RECORD = Candidate(version(V1), "current.json")
BLUE = Candidate(version(V2), "Deployment blue")
GUESS = Candidate(version(V2), "Deployment blue", binding=False)


@pytest.mark.parametrize(
    ("case", "judged", "found"),
    [
        ("nothing is live", [], None),
        ("the record", [(RECORD, None)], V1),
        ("the record before the Deployment", [(RECORD, None), (BLUE, None)], V1),
        ("an older store: the Deployment", [(BLUE, None)], V2),
        ("the record's version is gone, and the Deployment's is there", [(RECORD, GONE), (BLUE, None)], V2),
        ("the record cannot be read, and the Deployment's is there", [(None, OTHER), (BLUE, None)], V2),
        ("both are gone", [(RECORD, GONE), (BLUE, OTHER)], GONE),
        ("the record cannot be read", [(None, OTHER)], OTHER),
        ("the Deployment's is not what it was", [(BLUE, OTHER)], OTHER),
        ("the Deployment's may be another model's", [(GUESS, GONE)], None),
        ("the record's is gone, and the Deployment's may be another's", [(RECORD, GONE), (GUESS, GONE)], GONE),
    ],
)
def test_the_first_version_that_the_store_confirms(case: str, judged: Any, found: Any) -> None:
    answer = adoption(judged)
    if isinstance(found, Failure):
        assert isinstance(answer, Failure), case
        assert answer.reason == found.reason
        assert found.message in answer.message
        assert "spec.serving.rollbackTo" in answer.message
    else:
        assert (answer.current.version if isinstance(answer, Candidate) else answer) == found, case


def test_a_record_gives_back_what_was_written_and_computes_addresses() -> None:
    current, before = version(V2, task="nightly", metrics={"ndcg@10": 0.5}), version(V1)
    data = record_of(current, [before]).encode()
    assert b"s3://" not in data
    found = recorded(data, STORE)
    assert found == Candidate(current, "s3://bkt/p/current.json", (before,))


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("no digest", {"digest": None}),
        ("a version that is a path", {"version": "../../other"}),
        ("no time", {"promotedAt": "yesterday"}),
        ("a time that no status takes", {"promotedAt": "0001-01-01T00:00:00+14:00"}),
        ("the last moment", {"promotedAt": "9999-12-31T23:59:59-14:00"}),
        ("a later format", {"formatVersion": 2}),
        ("a history without end", {"history": [{"version": V1, "digest": DIGEST, "promotedAt": "2026-01-01"}] * 11}),
    ],
)
def test_a_record_that_is_none_is_refused(case: str, change: dict[str, Any]) -> None:
    record = json.loads(record_of(version(V1), ()).encode()) | change
    found = recorded(json.dumps(record).encode(), STORE)
    assert isinstance(found, Failure), case
    assert "current.json cannot be read" in found.message


def test_a_day_without_time_becomes_what_a_status_takes() -> None:
    record = json.loads(record_of(version(V1), ()).encode()) | {"promotedAt": "2026-01-31", "more": 1}
    found = recorded(json.dumps(record).encode(), STORE)
    assert isinstance(found, Candidate)
    assert found.current.promoted_at == "2026-01-31T00:00:00Z"
    EmbeddingModelStatus(current=found.current)


@pytest.mark.parametrize(
    ("case", "thing", "found", "binding"),
    [
        ("no Deployment", None, None, False),
        ("one without a version", {"spec": {"template": {}}}, None, False),
        ("this store's", deployment(BLUETUNE_URI=f"s3://bkt/p/versions/{V2}/"), V2, True),
        ("another store's", deployment(BLUETUNE_URI=f"s3://bkt/other/versions/{V2}/"), None, False),
        ("it does not say whose", deployment(), V2, False),
    ],
)
def test_what_the_deployment_says(case: str, thing: Any, found: str | None, binding: bool) -> None:
    answer = deployed(thing, SERVING, STORE, NOW)
    assert (answer.current.version if answer else None) == found, case
    assert answer is None or answer.binding == binding


def test_annotations_that_are_none_say_nothing() -> None:
    thing = deployment()
    thing["spec"]["template"]["metadata"]["annotations"]["bluetune.dev/digest"] = "abc"
    assert deployed(thing, SERVING, STORE, NOW) is None


@pytest.mark.parametrize(
    ("case", "stored", "same"),
    [
        ("nothing is there", None, False),
        ("it cannot be read", b"{", False),
        ("the same", record_of(version(V1), [version(V2)]).encode(), True),
        (
            "promoted at another time",
            record_of(version(V1, promoted_at="2025-01-01T00:00:00Z"), [version(V2)]).encode(),
            True,
        ),
        ("another version", record_of(version(V2), [version(V2)]).encode(), False),
        ("another past", record_of(version(V1), []).encode(), False),
    ],
)
def test_a_promotion_that_is_written_down_already_is_not_written_again(
    case: str, stored: bytes | None, same: bool
) -> None:
    assert says_already(stored, record_of(version(V1), [version(V2)])) is same, case
