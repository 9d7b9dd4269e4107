"""The probe of a version: what a server of it must answer to a few texts, and its items be encoded to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_api.records import Probe
from bluetune_trainer.errors import StoreDamaged
from bluetune_trainer.training.model import Model

DECIMALS = 6
MIN_COSINE = 0.9999
"""The same weights on the same machine differ in rounding only."""
MAX_STRETCH = 0.01
"""Maximum difference of a vector's length, likewise: a lost or added normalisation differs by more."""


@dataclass(frozen=True)
class Reference:
    """What a model must encode again when it is back from the store."""

    probe: Probe
    """Probe of queries, for the manifest."""
    items: NDArray[np.float32]
    """Vectors of the item tower's own probe."""


def reference_of(model: Model) -> Reference:
    """Vectors of both towers' probes, in float32 on the CPU's or GPU's own arithmetic."""
    texts = list(model.tower("query").probe_inputs())
    vectors = model.encode(texts, "query")
    probe = Probe(texts=texts, vectors=[[round(float(x), DECIMALS) for x in row] for row in vectors])
    return Reference(probe, _items(model))


def compare(model: Model, reference: Reference) -> None:
    """Encode the probes again, with the model as it came back from the store.

    Raises:
        StoreDamaged: it encodes differently.
    """
    pairs = (
        (model.encode(reference.probe.texts, "query"), np.array(reference.probe.vectors, np.float32)),
        (_items(model), reference.items),
    )
    least = min(_least_cosine(found, expected) for found, expected in pairs)
    stretch = max(_most_stretch(found, expected) for found, expected in pairs)
    if not (least >= MIN_COSINE and stretch <= MAX_STRETCH):
        raise StoreDamaged(
            f"the stored model encodes the probe differently from the trained one (cosine {least:.4f}, lengths of"
            f" vectors differ by {stretch:.2%}), so it is not published",
            reason="ProbeMismatch",
        )


def _items(model: Model) -> NDArray[np.float32]:
    return model.encode(list(model.tower("item").probe_inputs()), "item")


def _least_cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(1) / lengths).min())


def _most_stretch(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(expected, axis=1)
    return float((np.abs(np.linalg.norm(found, axis=1) - lengths) / lengths).max())
