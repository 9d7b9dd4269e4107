"""States of a text's tokens → one vector, in each way that sentence-transformers has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.layout import read_json, write_json
from bluetune_trainer.training.packing import Packing

Mode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
MODES: tuple[Mode, ...] = get_args(Mode)
_OLD_KEYS: dict[str, Mode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""As folders from before version 5.4 have it, in the order in which several are concatenated."""


@dataclass(frozen=True)
class Pooling:
    """One mode, or several whose vectors are concatenated. Texts begin at position 0; padding is behind them."""

    modes: tuple[Mode, ...] = ("mean",)
    include_prompt: bool = True
    """Whether a prompt's own tokens count. The trainer computes as if it did; see `TextTower`."""

    @classmethod
    def read(cls, folder: Path) -> "Pooling":
        """From both ways in which sentence-transformers writes it; where it wrote none, mean.

        Raises PlanInvalid for a mode that is not known.
        """
        config = read_json(folder / "config.json")
        modes = config.get("pooling_mode")
        if modes is None:
            modes = [mode for key, mode in _OLD_KEYS.items() if config.get(key)] or ["mean"]
        modes = (modes,) if isinstance(modes, str) else tuple(modes)
        for mode in modes:
            if mode not in MODES:
                raise PlanInvalid(
                    f"{folder.name}/config.json: pooling {mode!r} is not supported, only {', '.join(MODES)};"
                    " use another base model"
                )
        return cls(cast("tuple[Mode, ...]", modes), bool(config.get("include_prompt", True)))

    def write(self, folder: Path, width: int) -> None:
        """As older and newer readers, and text-embeddings-inference, understand it."""
        folder.mkdir(parents=True, exist_ok=True)
        old = {key: mode in self.modes for key, mode in _OLD_KEYS.items()}
        content: dict[str, Any] = {"word_embedding_dimension": width, **old, "include_prompt": self.include_prompt}
        if self.modes != tuple(mode for mode in _OLD_KEYS.values() if mode in self.modes):
            content["pooling_mode"] = list(self.modes)  # the old keys cannot say this order
        write_json(folder / "config.json", content)

    def padded(self, states: Tensor, mask: Tensor) -> Tensor:
        """[n, tokens, width] states and [n, tokens] mask → [n, modes · width] in float32."""
        states, kept = states.float(), mask.unsqueeze(-1).float()
        return torch.cat([_padded(mode, states, kept) for mode in self.modes], -1)

    def packed(self, states: Tensor, packing: Packing) -> Tensor:
        """[1, T, width] states → the same."""
        if self.modes == ("mean",):
            return packing.pooled(states.float())
        if self.modes == ("cls",):
            return packing.firsts(states).float()
        return self.padded(packing.unpack(states), packing.mask)


def _padded(mode: Mode, states: Tensor, kept: Tensor) -> Tensor:
    if mode == "cls":
        return states[:, 0]
    if mode == "max":
        return states.masked_fill(kept == 0, -torch.inf).amax(1)
    if mode == "lasttoken":
        last = (kept.sum(1, keepdim=True).long() - 1).clamp(min=0)
        return states.gather(1, last.expand(-1, 1, states.shape[2]))[:, 0] * kept.amax(1)
    if mode == "weightedmean":
        kept = kept * torch.arange(1, states.shape[1] + 1, device=states.device)[None, :, None]
    total = kept.sum(1).clamp(min=1e-9)
    return (states * kept).sum(1) / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)
