"""Variants of queries and items in training: other texts that may stand for one, drawn anew each time it is used."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.model import Kind

Ints = NDArray[np.int64]
Vary = Callable[[str], Sequence[str]]
"""A text → all texts that may stand for it, itself among them if it may."""


@dataclass(frozen=True)
class Variants:
    """n inputs that have variants, by number in an InputTable."""

    of: Ints
    """n, ascending."""
    numbers: Ints
    """Numbers of all variants, one input after the other."""
    offsets: Ints
    """n + 1: where each input's variants begin in `numbers`."""

    def draw(self, inputs: Ints, random: np.random.Generator) -> Ints:
        """One variant of each of these inputs, all equally likely; inputs without variants stay."""
        drawn = inputs.copy()
        if not len(self.of):
            return drawn
        at = np.minimum(np.searchsorted(self.of, inputs), len(self.of) - 1)
        known = self.of[at] == inputs
        begin, end = self.offsets[at[known]], self.offsets[at[known] + 1]
        drawn[known] = self.numbers[random.integers(begin, end)]
        return drawn


def make_variants(table: InputTable, inputs: Iterable[tuple[Kind, Sequence[str], Vary | None]]) -> Variants | None:
    """Put the variants of inputs into the table.

    Args:
        table: knows the inputs.
        inputs: kind, different texts of it, and what makes their variants, if anything does.

    Returns:
        None if nothing has variants.

    Raises:
        PluginFailed: what makes them returned no list of texts, or an empty one.
    """
    made: dict[int, Ints] = {}
    for kind, texts, vary in inputs:
        if vary is None:
            continue
        lists = [_checked(vary(text), text) for text in texts]
        flat = table.add([variant for variants in lists for variant in variants], kind)
        ends = np.cumsum([len(variants) for variants in lists])
        for number, own in zip(table.add(texts, kind).tolist(), np.split(flat, ends[:-1]), strict=True):
            made[number] = np.union1d(own, made.get(number, own))  # a text may be a query and an item
    if not made:
        return None
    order = sorted(made)
    lengths = [len(made[number]) for number in order]
    return Variants(
        of=np.array(order, np.int64),
        numbers=np.concatenate([made[number] for number in order]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _checked(variants: object, text: str) -> list[str]:
    if not isinstance(variants, list | tuple) or not variants or not all(isinstance(v, str) for v in variants):
        raise PluginFailed(f"variants of {text!r:.60} must be a list of texts, they are {variants!r:.200}")
    return list(variants)
