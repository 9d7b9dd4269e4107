"""Are the pods' answers right? They come from other people's servers and are untrusted: anything may be in them."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bluetune_api.records import Probe

MOST_BYTES = 4 << 20
"""Longest answer that is read."""
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


def vectors_problem(body: bytes, probe: Probe, min_cosine: float) -> str | None:
    """What is wrong with an answer of `encodePath`; None if each vector is near enough to the published one."""
    answer = _parsed(body)
    vectors = answer.get("vectors") if isinstance(answer, dict) else None
    published = probe.vectors[:PROBE_TEXTS]
    if not isinstance(vectors, list) or len(vectors) != len(published):
        return f'the answer is not JSON with {len(published)} "vectors"'
    for number, (served, wanted) in enumerate(zip(vectors, published, strict=True)):
        cosine = _cosine(served, wanted)
        if cosine is None:
            return f"vector {number} is not {len(wanted)} finite numbers with a length above 0"
        if not cosine >= min_cosine:  # not a number is not near enough
            text = probe.texts[number][:60]
            return f"the cosine with the published vector of {text!r} is {cosine:.4f}, below minCosine {min_cosine}"
    return None


def probe_body(probe: Probe) -> bytes:
    """What is posted to `encodePath`: the trainer encodes the probe as queries."""
    return json.dumps({"texts": probe.texts[:PROBE_TEXTS], "kind": "query"}, ensure_ascii=False).encode()


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
