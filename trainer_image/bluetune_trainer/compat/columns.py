"""Inputs that a plugin made of its own as columns."""

from collections.abc import Sequence

import numpy as np

from bluetune_trainer.compat.convert import FineTuningInput
from bluetune_trainer.compat.reading import importances
from bluetune_trainer.data.types import Catalogue, Sessions


def columns_of(inputs: Sequence[FineTuningInput], texts: Sequence[str], catalogue: Catalogue) -> Sessions:
    """n inputs, without the results that the catalogue does not know and the inputs that have no other.

    Args:
        inputs: what was shown and clicked.
        texts: n, what the query encoder reads for each.
        catalogue: knows the items.
    """
    queries: list[str] = []
    items: list[int] = []
    gains: list[float] = []
    created: list[float] = []
    offsets = [0]
    for entry, text in zip(inputs, texts, strict=True):
        weights = dict(zip(entry.events, importances(entry), strict=True))
        known = [result for result in entry.results if result in catalogue.position]
        if not known:
            continue
        queries.append(text)
        items.extend(catalogue.position[result] for result in known)
        gains.extend(max(weights.get(result, 0.0), 0.0) for result in known)
        created.append(entry.timestamp or 0.0)
        offsets.append(len(items))
    return Sessions(
        queries=queries,
        items=np.array(items, np.int32),
        clicked=np.array(gains, np.float32) > 0,
        offsets=np.array(offsets, np.int64),
        created=np.array(created, np.float64),
        gains=np.array(gains, np.float32) if set(gains) - {0.0, 1.0} else np.zeros(0, np.float32),
    )
