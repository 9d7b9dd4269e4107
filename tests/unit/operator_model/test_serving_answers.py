"""The pods' answers are untrusted: whatever is in them, the verdict is a sentence."""

import json

import pytest

from bluetune_api.records import Probe
from bluetune_api.verify import Verify
from bluetune_operator.core.rollout.serving_answers import as_sent, vectors_problem, vectors_question, version_problem

D = "sha256:" + "1" * 64
PROBE = Probe(texts=["a", "b"], vectors=[[1.0, 0.0], [0.6, 0.8]])
OURS, OPENAI = Verify(port=80, encode_path="/encode"), Verify(port=80, api="OpenAI", model="products")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (json.dumps({"version": "v1", "digest": D}).encode(), None),
        (json.dumps({"digest": "sha256:other"}).encode(), "serves digest 'sha256:other' instead of"),
        (json.dumps({"digest": "x" * 10_000}).encode(), "…"),
        (b"[]", "not JSON with a field"),
        (b'{"digest": 5}', "not JSON with a field"),
        (b"<html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_the_answer_of_version_path(body: bytes, words: str | None) -> None:
    problem = version_problem(body, D)
    assert (problem is None) == (words is None)
    assert (words or "") in (problem or "")
    assert len(problem or "") < 300


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[1, 0], [0.6, 0.8]], None),
        ([[2, 0], [0.3, 0.4]], None),
        ([[1, 0], [0.8, 0.6]], "cosine with the published vector of 'b' is 0.9600"),
        ([[1, 0]], '2 "vectors"'),
        ([[1, 0], [0.6, 0.8, 0]], "vector 1 is not 2 finite numbers"),
        ([[1, 0], [0, 0]], "vector 1"),
        ([[1, 0], [True, 0.5]], "vector 1"),
        ([[1, 0], ["0.6", 0.8]], "vector 1"),
        ([[1, 0], [1e308, 1e308]], "vector 1"),
        ("no", '2 "vectors"'),
        (None, '2 "vectors"'),
    ],
)
def test_the_answer_of_encode_path(vectors: object, words: str | None) -> None:
    problem = vectors_problem(json.dumps({"vectors": vectors}).encode(), PROBE, OURS)
    assert (problem is None) == (words is None)
    assert (words or "") in (problem or "")


def test_not_a_number_is_not_a_vector() -> None:
    assert vectors_problem(b'{"vectors": [[NaN, 0], [0.6, 0.8]]}', PROBE, OURS) is not None
    assert vectors_problem(b'{"vectors": [[Infinity, 0], [0.6, 0.8]]}', PROBE, OURS) is not None


def test_the_probe_is_posted_as_queries() -> None:
    assert json.loads(vectors_question(PROBE, OURS)) == {"texts": ["a", "b"], "kind": "query"}


def data(*items: object) -> bytes:
    return json.dumps({"object": "list", "data": items}).encode()


def item(index: object, *numbers: float) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": list(numbers)}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (data(item(0, 1, 0), item(1, 0.6, 0.8)), None),
        (data(item(1, 0.6, 0.8), item(0, 1, 0)), None),
        (data(item(0, 0, 1), item(1, 0.6, 0.8)), "cosine with the published vector of 'a' is 0.0000"),
        (data(item(0, 1, 0)), '2 "data"'),
        (data(item(0, 1, 0), item(0, 0.6, 0.8)), '2 "data"'),
        (data(item(0, 1, 0), item(2, 0.6, 0.8)), '2 "data"'),
        (data(item(False, 1, 0), item(True, 0.6, 0.8)), '2 "data"'),
        (data({"index": 0}, item(1, 0.6, 0.8)), "vector 0 is not 2 finite numbers"),
        (data("a", "b"), '2 "data"'),
        (b'{"vectors": [[1, 0], [0.6, 0.8]]}', '2 "data"'),
        (b'{"data": {"0": []}}', '2 "data"'),
        (b"[]", '2 "data"'),
    ],
)
def test_the_answer_of_openais_api(body: bytes, words: str | None) -> None:
    problem = vectors_problem(body, PROBE, OPENAI)
    assert (problem is None) == (words is None)
    assert (words or "") in (problem or "")


def test_a_version_without_a_probe_is_not_taken_for_verified_by_vectors() -> None:
    assert vectors_problem(data(), Probe(texts=[], vectors=[]), OPENAI) is not None


def test_openais_api_is_asked_with_the_prompt_before_each_text() -> None:
    sent = as_sent(PROBE, "query: ", OPENAI)
    assert json.loads(vectors_question(sent, OPENAI)) == {
        "model": "products",
        "input": ["query: a", "query: b"],
        "encoding_format": "float",
    }
    assert as_sent(PROBE, "query: ", OURS) is PROBE
