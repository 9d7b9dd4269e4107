"""Weights between the start version's and the trained ones: they keep more of what the start version knew.

A model that was tuned on some queries forgets a little about all others; half of the way there it has most of the gain
and less of the loss. Source: Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models (WiSE-FT).
"""

from collections.abc import Iterable
from types import TracebackType

import torch
from torch import nn


class Interpolation:
    """A context in which the weights lie on the way; outside of it they are the trained ones, and training goes on.

    With adapters it is their product that lies on the way: B begins at 0, so a share of B with the whole of A is that
    share of B·A.

    Args:
        weights: that change, as the trial begins.
        share: of the way, above 0 and at most 1; at 1 nothing happens.
    """

    def __init__(self, weights: Iterable[nn.Parameter], share: float) -> None:
        self._share = share
        self._pairs = [(p, p.detach().clone()) for p in weights] if share < 1 else []
        self._ends: list[torch.Tensor] = []

    @torch.no_grad()
    def __enter__(self) -> None:
        self._ends = [p.detach().clone() for p, _ in self._pairs]
        for parameter, start in self._pairs:
            parameter.lerp_(start, 1 - self._share)

    @torch.no_grad()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for (parameter, _), end in zip(self._pairs, self._ends, strict=True):
            parameter.copy_(end)
        self._ends = []
