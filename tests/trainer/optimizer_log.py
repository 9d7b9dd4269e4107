"""What an optimizer is given, step by step."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor


@dataclass
class OptimizerLog:
    """One entry for each optimizer step."""

    rates: list[float] = field(default_factory=list)
    gradients: list[list[Tensor]] = field(default_factory=list)
    """Of all parameters."""
    weights: list[list[Tensor]] = field(default_factory=list)
    """Of all parameters, before the step."""

    def norms(self) -> list[float]:
        """L2 norm over all gradients of a step."""
        return [float(torch.stack([g.norm() for g in step]).norm()) for step in self.gradients]


def watch(monkeypatch: pytest.MonkeyPatch) -> OptimizerLog:
    """Log every step of AdamW from now on."""
    log = OptimizerLog()
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, closure: object = None) -> object:
        def logged() -> object:
            loss = closure()  # type: ignore[operator]
            parameters = [p for group in self.param_groups for p in group["params"]]
            log.rates.append(self.param_groups[0]["lr"])
            log.gradients.append([p.grad.detach().clone() for p in parameters if p.grad is not None])
            log.weights.append([p.detach().clone() for p in parameters])
            return loss

        return original(self, logged)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return log
