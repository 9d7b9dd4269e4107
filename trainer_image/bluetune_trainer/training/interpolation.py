"""Weights between the start version's and the trained ones: they keep more of what the start version knew.

A model that was tuned on some queries forgets a little about all others; half of the way there it has most of the gain
and less of the loss. Source: Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models (WiSE-FT).
"""

from types import TracebackType

import torch
from torch import nn


class Interpolation:
    """A context in which the weights lie on the way; outside of it they are the trained ones, and training goes on.

    With adapters it is their product that lies on the way: B begins at 0, so a share of B with the whole of A is that
    share of B·A.

    Args:
        model: as the trial begins; what takes no gradient stays as it is.
        share: of the way, above 0 and at most 1; at 1 nothing happens.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self._share = share
        named = model.named_parameters() if share < 1 else ()
        trained = [p for name, p in named if p.requires_grad and "lora_A" not in name]
        self._pairs = [(p, p.detach().clone()) for p in trained]
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
