"""What a stolen trainer credential may write into the store cannot reach a status, an Event or a path as it is."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bluetune_api.records import KeyClaim, Manifest, Probe, Progress
from bluetune_api.task import FineTuningTaskStatus
from bluetune_api.verify import Verify
from bluetune_operator.core.conditions import shortened
from bluetune_operator.core.kinds import TASKS
from bluetune_operator.core.rollout.serving_answers import vectors_problem
from bluetune_operator.core.tasks.progress import shown_metrics, with_progress
from bluetune_operator.core.untrusted import MAX_NUMBER, clean, parameters

STATUS_BYTES = 200_000


def progress(**fields: Any) -> bytes:
    known = {"stage": "Searching", "percent": 1, "updatedAt": "2026-01-01T00:00:00Z"}
    return json.dumps(known | fields).encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode ✓\nand lines", "plain, ünïcode ✓\nand lines"),
        ("\x1b[2Jgone\r\x07\x00", " [2Jgone   "),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half\ud800pair", "halfpair"),
    ],
)
def test_text_of_others_plays_no_tricks(text: str, shown: str) -> None:
    assert clean(text, 100) == shown
    assert shortened(text) == shown


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(0, 100))
def test_clean_text_is_short_and_can_be_sent(text: str, limit: int) -> None:
    found = clean(text, limit)
    assert len(found) <= limit
    assert found.encode().decode() == found
    assert all(c in "\n\t" or c.isprintable() or c.isspace() for c in found)


def test_a_long_text_is_cut_before_it_is_looked_at() -> None:
    assert shortened("\x00" * 5_000_000, 10) == " " * 9 + "…"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=99), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=99), plain, max_size=70))
def test_any_parameters_fit_into_a_status(params: dict[str, Any]) -> None:
    found = parameters(params)
    assert len(found) <= 64
    for name, value in found.items():
        assert len(name) <= 64
        assert len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode()) <= 4 * 256 + 2
        assert not isinstance(value, int) or isinstance(value, bool) or abs(value) <= MAX_NUMBER


def test_the_parameters_that_trainers_write_are_shown_as_they_are() -> None:
    params = {"lr": 0.00011993385, "layers": 3, "loss": "cosface", "betas": [0.9, 0.999], "warm": True, "cap": None}
    assert parameters(params) == params | {"lr": 0.0001199}


def test_the_largest_progress_makes_a_small_status() -> None:
    trial = {"trial": 10**30, "quality": 1e308, "params": {f"{'n' * 500}{n}": "x" * 1000 for n in range(200)}}
    data = progress(trialsDone=10**40, trialsTotal=10**40, etaSeconds=-(10**30), epoch=10**20, topTrials=[trial] * 20)
    status = with_progress(FineTuningTaskStatus(), Progress.model_validate_json(data)).wire()
    assert len(json.dumps(status)) < STATUS_BYTES
    FineTuningTaskStatus.model_validate(status)
    assert status["progress"]["trials"] == f"{MAX_NUMBER}/{MAX_NUMBER}"
    assert status["progress"]["etaSeconds"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"updatedAt": "yesterday"},
        {"updatedAt": "2026-13-45T00:00:00Z"},
        {"percent": 101},
        {"stage": "Owned"},
        {"trialsDone": "3"},
        {"extra": 1},
        {"best": {"trial": 1, "quality": float("nan")}},
        {"topTrials": {}},
    ],
)
def test_a_progress_that_is_none_is_refused_as_a_whole(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Progress.model_validate_json(progress(**fields))


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_nesting_is_refused_and_breaks_nothing(depth: int) -> None:
    deep = b'{"trial": 1, "quality": 1, "params": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    with pytest.raises(ValidationError):
        Progress.model_validate_json(progress()[:-1] + b', "best": ' + deep + b"}")


@pytest.mark.parametrize(
    "claim", [{"taskUid": "../../x", "task": "t"}, {"taskUid": "u", "task": "../../../secrets/keys"}]
)
def test_a_claim_of_a_key_names_an_object_and_no_path(claim: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        KeyClaim.model_validate_json(json.dumps(claim))


def test_a_name_never_leads_out_of_its_collection() -> None:
    path = TASKS.path("n", "../../../../api/v1/namespaces/other/secrets/keys?x#y")
    assert path.startswith("/apis/bluetune.dev/v1alpha1/namespaces/n/finetuningtasks/..%2F..%2F")
    assert "?" not in path
    assert "#" not in path


def test_a_probe_without_its_texts_is_no_manifest() -> None:
    manifest = Manifest(files=[], dimension=1, probe=Probe(texts=["a"], vectors=[[1.0]])).wire()
    manifest["probe"]["vectors"].append([1.0])
    with pytest.raises(ValidationError, match="same number"):
        Manifest.model_validate_json(json.dumps(manifest))


def test_vectors_too_long_to_be_compared_are_not_near_enough() -> None:
    probe = Probe(texts=["a"], vectors=[[1.7e308, 1.7e308]])
    body = json.dumps({"vectors": [[1e29, 1e29]]}).encode()
    assert vectors_problem(body, probe, Verify(port=80, encode_path="/encode")) is not None


def test_names_of_metrics_are_cleaned_and_cut() -> None:
    assert shown_metrics({"a\x1b" + "b" * 500: 0.123456}) == {"a " + "b" * 62: 0.1235}
