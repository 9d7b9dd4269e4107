"""How far a click, or its absence, can be trusted. Computed over whole ranked lists; one item alone has none."""

from collections.abc import Callable

import torch
from torch import Tensor

ConfidenceCalculator = Callable[[Tensor, Tensor, Tensor], Tensor]
"""([S, R] ranks of the start version, [S, R] bool clicked, [S, R] bool valid) → [S, R], 0 to 1, 0 on padding."""

_WINDOW = 3


def dummy_confidences(ranks: Tensor, clicked: Tensor, valid: Tensor) -> Tensor:
    """1 for every result."""
    return valid.to(ranks.dtype)


def calculate_confidences(ranks: Tensor, clicked: Tensor, valid: Tensor) -> Tensor:
    """Confidence from the clicks around a result, its rank and its position; min-max over each session.

    With cp the share of clicks among a result and its neighbours, rs = |r - mean| / |mean| over the session and
    pos_i = exp(-3(i+1)/n - 0.3) + 0.25: clicked ((1-rs)·cp + (1-cp)·rs)·pos, unclicked ((1-cp)(1-rs) + cp·rs)·pos.
    A session whose results all come out alike gets 1 throughout.
    """
    mask = valid.to(ranks.dtype)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    kernel = torch.ones(1, 1, _WINDOW, dtype=ranks.dtype, device=ranks.device)
    pad = _WINDOW // 2
    around = torch.nn.functional.conv1d(mask.unsqueeze(1), kernel, padding=pad).squeeze(1)
    clicks = torch.nn.functional.conv1d((mask * clicked).unsqueeze(1), kernel, padding=pad).squeeze(1)
    share = clicks / around.clamp(min=1)
    mean = (ranks * mask).sum(1, keepdim=True) / count
    spread = (ranks - mean).abs() / mean.abs().clamp(min=1e-9)
    index = mask.cumsum(1)  # i + 1
    position = torch.exp(-3 * index / count - 0.3) + 0.25
    raw = position * torch.where(
        clicked, (1 - spread) * share + (1 - share) * spread, (1 - share) * (1 - spread) + share * spread
    )
    low = raw.masked_fill(~valid, torch.inf).amin(1, keepdim=True)
    high = raw.masked_fill(~valid, -torch.inf).amax(1, keepdim=True)
    width = high - low
    scaled = torch.where(width > 1e-12, (raw - low) / width.clamp(min=1e-12), torch.ones_like(raw))
    return torch.where(valid, scaled, 0.0)
