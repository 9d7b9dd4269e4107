"""Are the pods' answers right? They come from other people's servers and are untrusted: anything may be in them."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bluetune_api.records import Probe
from bluetune_api.verify import Verify

MAX_BYTES = 4 << 20
"""Maximum size of an answer that is read."""
PROBE_TEXTS = 16
"""Texts of the manifest's probe that are asked for."""


def version_problem(body: bytes, digest: str) -> str | None:
    """What is wrong with an answer of `versionPath`; None if it names the digest."""
    answer = _parsed(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("digest"), str):
        return 'the answer is not JSON with a field "digest"'
    if answer["digest"] != digest:
        return f"it serves digest {_quoted(answer['digest'])} instead of {digest}"
    return None


def vectors_problem(body: bytes, probe: Probe, verify: Verify) -> str | None:
    """What is wrong with an answer of `vectors_path`; None if each vector is near enough to the published one."""
    published = probe.vectors[:PROBE_TEXTS]
    if not published and verify.api == "OpenAI":  # nothing else says what the pod serves
        return "the version's manifest holds no texts whose vectors could be compared"
    vectors = _openai_vectors(_parsed(body)) if verify.api == "OpenAI" else _vectors(_parsed(body))
    if vectors is None or len(vectors) != len(published):
        wanted = '"data", each with "index" and "embedding"' if verify.api == "OpenAI" else '"vectors"'
        return f"the answer is not JSON with {len(published)} {wanted}"
    for number, (served, wanted_vector) in enumerate(zip(vectors, published, strict=True)):
        cosine = _cosine(served, wanted_vector)
        if cosine is None:
            return f"vector {number} is not {len(wanted_vector)} finite numbers with a length above 0"
        if not cosine >= verify.min_cosine:  # not a number is not near enough
            text, least = probe.texts[number][:60], verify.min_cosine
            return f"the cosine with the published vector of {text!r} is {cosine:.4f}, below minCosine {least}"
    return None


def vectors_question(probe: Probe, verify: Verify) -> bytes:
    """What is posted to `vectors_path`: the trainer encodes the probe as queries."""
    texts = probe.texts[:PROBE_TEXTS]
    asked: dict[str, Any] = {"texts": texts, "kind": "query"}
    if verify.api == "OpenAI":
        asked = {"model": verify.model, "input": texts, "encoding_format": "float"}
    return json.dumps(asked, ensure_ascii=False).encode()


def as_sent(probe: Probe, query_prompt: str, verify: Verify) -> Probe:
    """The probe as its texts are sent: OpenAI's API knows no kinds of text, so the prompt is a part of each."""
    if verify.api != "OpenAI":
        return probe
    return Probe(texts=[query_prompt + text for text in probe.texts], vectors=probe.vectors)


def _vectors(answer: Any) -> list[Any] | None:
    vectors = answer.get("vectors") if isinstance(answer, dict) else None
    return vectors if isinstance(vectors, list) else None


def _openai_vectors(answer: Any) -> list[Any] | None:
    """The embeddings in the order of their index, which must be that of the texts, each once."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        return None
    by_index = {one["index"]: one.get("embedding") for one in data if type(one.get("index")) is int}
    return [by_index[n] for n in range(len(data))] if by_index.keys() == set(range(len(data))) else None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _cosine(served: Any, wanted: Sequence[float]) -> float | None:
    """Cosine of two vectors; None if the served one is not a vector of that dimension."""
    if not isinstance(served, list) or len(served) != len(wanted):
        return None
    if not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e30 for x in served):
        return None
    lengths = math.hypot(*served) * math.hypot(*wanted)
    return sum(a * b for a, b in zip(served, wanted, strict=True)) / lengths if lengths > 0 else None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
