"""Vectors made shorter, and what that loses: pure functions of arrays.

A vector is cut, divided by its length if the version's have the length 1, divided by the index's scale for Int8, and
rounded to its type. Queries are treated alike, so that the loss is measured for what a server is told to do.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from bluetune_api.index_target import VectorType
from bluetune_trainer.errors import DataInvalid

NEAREST = 10
"""How many of the nearest items are compared."""
MAX_INT8 = 127
TIE = 1e-6
"""Relative difference below which two items are equally near."""


@dataclass(frozen=True)
class Shortening:
    """What becomes of a vector."""

    dimension: int
    type: VectorType
    unit: bool
    """Whether what is cut is divided by its length."""
    scale: float | None = None
    """Int8: what numbers are divided by."""

    def cut(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, full dimension] → [n, dimension], of length 1 if they were."""
        short = np.array(vectors[:, : self.dimension], np.float32)
        if self.unit:
            lengths = np.linalg.norm(short, axis=1, keepdims=True)
            short /= np.where(lengths > 0, lengths, 1)
        return short

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """[n, full dimension] → [n, dimension] of the type. Numbers beyond the scale become ±127.

        Raises:
            DataInvalid: a number is too large for Float16.
        """
        short = self.cut(vectors)
        if self.type == "Int8":
            assert self.scale is not None  # noqa: S101 - `scale_of` gave it
            whole = np.clip(np.rint(short / np.float32(self.scale)), -MAX_INT8, MAX_INT8)
            return np.asarray(whole, np.int8)
        if self.type == "Float16":
            with np.errstate(over="ignore"):
                half = short.astype(np.float16)
            if not np.isfinite(half).all():
                raise DataInvalid(
                    f"the version's vectors have numbers up to {np.abs(short).max():.3g}, and Float16 holds 65504 at"
                    " most; set serving.index.vectors.type to Float32 or Int8",
                    reason="IndexInvalid",
                )
            return half
        return short


def scale_of(largest: float) -> float:
    """The scale of an index whose numbers are at most so large, without regard to sign."""
    return largest / MAX_INT8 if largest > 0 else 1.0


def scores(queries: NDArray[np.float32], items: NDArray[np.float32], similarity: str) -> NDArray[np.float32]:
    """[queries, items]: higher is nearer."""
    if similarity == "manhattan":
        return np.asarray(-cdist(queries, items, "cityblock"), np.float32)
    if similarity == "cosine":
        queries, items = _unit(queries), _unit(items)
    product = queries @ items.T
    if similarity == "euclidean":
        return np.asarray(2 * product - np.einsum("ij,ij->i", items, items), np.float32)
    return np.asarray(product, np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _nearest(by: NDArray[np.float32]) -> NDArray[np.int64]:
    """Columns of each row's highest scores, in no order."""
    return np.argpartition(-by, min(NEAREST, by.shape[1]) - 1, axis=1)[:, :NEAREST]


class Comparison:
    """The nearest items by full vectors and by short ones, of all blocks that were shown."""

    def __init__(self, queries: NDArray[np.float32], shortening: Shortening, similarity: str, *, items: bool) -> None:
        """`queries` are [n, full dimension]; with `items` they are the vectors of the first n items, which are not
        found by themselves."""
        self._full, self._similarity, self._items = queries, similarity, items
        self._short = shortening.apply(queries).astype(np.float32)
        self._seen = 0
        nothing = np.full((len(queries), 0), -np.inf, np.float32)
        self._exact = nothing
        """Full scores of the nearest by full scores."""
        self._found, self._by = nothing, nothing
        """Full and short scores of the nearest by short scores."""

    def add(self, full: NDArray[np.float32], short: NDArray[Any]) -> None:
        """The next items, in both forms."""
        exact = scores(self._full, full, self._similarity)
        by = scores(self._short, short.astype(np.float32), self._similarity)
        if self._items:
            own = np.arange(max(0, len(self._full) - self._seen))[: len(full)]
            exact[own + self._seen, own] = by[own + self._seen, own] = -np.inf
        self._seen += len(full)
        found, by = np.concatenate([self._found, exact], axis=1), np.concatenate([self._by, by], axis=1)
        exact = np.concatenate([self._exact, exact], axis=1)
        self._exact = np.take_along_axis(exact, _nearest(exact), axis=1)
        best = _nearest(by)
        self._found, self._by = np.take_along_axis(found, best, axis=1), np.take_along_axis(by, best, axis=1)

    def recall(self) -> float:
        """Share of the nearest that the short vectors find. Items as near as the last of them count, too."""
        exact = np.where(np.isfinite(self._exact), self._exact, np.inf)
        real = np.isfinite(self._exact)
        if not real.any():
            return 1.0
        last = exact.min(axis=1, keepdims=True)
        limit = np.where(np.isfinite(last), last - TIE * np.maximum(np.abs(last), 1), np.inf)
        return float((np.isfinite(self._found) & (self._found >= limit)).sum() / real.sum())
