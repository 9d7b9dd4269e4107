"""Whether bfloat16 pays on this machine: asked of the machine, not of a list of processors."""

import time
from functools import cache
from typing import Literal

import torch

_PAYS_FROM = 1.3
"""bf16 costs casts around every product, so the products must be that much faster."""


@cache
def bf16_pays(device_type: str) -> bool:
    """Probe for about 50 ms how fast a transformer-shaped product is in either type."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))  # a T4 has it emulated, and slow
    if device_type != "cpu":
        return False
    return _product_seconds(torch.float32) > _PAYS_FROM * _product_seconds(torch.bfloat16)


def use_bf16(precision: Literal["Auto", "FP32", "BF16"], device_type: str) -> bool:
    """What `settings.precision` comes to on this device."""
    return precision == "BF16" or (precision == "Auto" and bf16_pays(device_type))


def _product_seconds(dtype: torch.dtype, budget: float = 0.025) -> float:
    """Seconds of the fastest of several products of [512, 384] and [384, 1536]."""
    left, right = torch.ones(512, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
    best = float("inf")
    end = time.perf_counter() + budget
    with torch.no_grad():
        left @ right  # sets up threads and packs code
        while True:
            begin = time.perf_counter()
            left @ right
            now = time.perf_counter()
            best = min(best, now - begin)
            if now > end:
                return best
