"""The probe of a version: what a server of it must answer to a few texts."""

import numpy as np

from bluetune_api.records import Probe
from bluetune_trainer.errors import StoreFailed
from bluetune_trainer.training.model import Model

TEXTS = (
    "semantic web",
    "how to choose running shoes for wide feet",
    "Lampe de bureau à intensité variable",
    "graph neural networks for recommendation",
    "电动自行车",
    "USB-C cable 2 m, 100 W",
    "A long day by the sea. The children built castles, the tide took them, and nobody minded; in the evening the wind"
    " turned, and the lights of the harbour went on one by one.",
    "?",
)
"""Short and long, several scripts and languages: what a wrong tokenizer, prompt or pooling would show on."""
DECIMALS = 6
MIN_COSINE = 0.9999
"""The same weights on the same machine differ in rounding only."""


def probe_of(model: Model) -> Probe:
    """Vectors of the probe's texts, encoded as queries, in float32 on the CPU's or GPU's own arithmetic."""
    vectors = model.encode(TEXTS, "query")
    return Probe(texts=list(TEXTS), vectors=[[round(float(x), DECIMALS) for x in row] for row in vectors])


def compare(model: Model, probe: Probe) -> None:
    """Encode the probe again, with the model as it came back from the store.

    Raises:
        StoreFailed: it encodes differently.
    """
    found, expected = model.encode(probe.texts, "query"), np.array(probe.vectors, np.float32)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    least = float(((found * expected).sum(1) / lengths).min())
    if not least >= MIN_COSINE:
        raise StoreFailed(
            f"the stored model encodes the probe differently from the trained one (cosine {least:.4f}),"
            " so it is not published",
            reason="ProbeMismatch",
        )
