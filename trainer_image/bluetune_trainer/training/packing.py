"""Texts one after the other without padding: attention that keeps them apart is told where each begins.

On a GPU that is torch's variable-length attention; elsewhere, and in float32, which that does not compute, it is ours.
transformers' own sdpa would mix packed texts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface

from bluetune_trainer.training.attention import Group, group, packed_attention

NAME = "bluetune_varlen"
_FIRST_POSITION_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
"""Their positions begin after the id of the padding token (fairseq's way)."""
PACKABLE = ("bert", "electra", "distilbert", *_FIRST_POSITION_AFTER_PADDING)
"""Models whose attention goes through transformers' interface and whose positions are given by number."""


@dataclass(frozen=True)
class Packing:
    """Where T tokens of n texts lie."""

    mask: Tensor
    """[n, longest] bool: true on tokens."""
    starts: Tensor
    """[n + 1] int32: where each text begins among the T tokens; the last is T."""
    longest: int
    groups: list[Group]
    """Texts of like length, for attention without a kernel for packed texts."""

    @classmethod
    def of(cls, mask: Tensor) -> "Packing":
        """From an attention mask, [n, longest], of texts that begin at 0."""
        lengths = mask.sum(1, dtype=torch.int32)
        starts = nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        return cls(mask.bool(), starts, mask.shape[1], group(lengths.tolist(), mask.device))

    def pack(self, padded: Tensor) -> Tensor:
        """[n, longest, …] → [1, T, …]."""
        return padded[self.mask].unsqueeze(0)

    def unpack(self, packed: Tensor) -> Tensor:
        """[1, T, …] → [n, longest, …], zero on padding."""
        padded = packed.new_zeros(*self.mask.shape, *packed.shape[2:])
        padded[self.mask] = packed[0]
        return padded

    def positions(self, first: int) -> Tensor:
        """[1, T] position of each token in its text, counted from `first`."""
        counted = torch.arange(first, first + self.longest, device=self.mask.device)
        return self.pack(counted.expand(len(self.mask), -1))

    def pooled(self, packed: Tensor) -> Tensor:
        """[1, T, width] → [n, width] mean over each text's tokens."""
        sums = packed.new_zeros(len(self.mask), packed.shape[2]).index_add_(0, self.owners(), packed[0])
        return sums / self.mask.sum(1, keepdim=True).clamp(min=1)

    def firsts(self, packed: Tensor) -> Tensor:
        """[1, T, width] → [n, width] the state of each text's first token."""
        return packed[0, self.starts[:-1].long()]

    def owners(self) -> Tensor:
        """[T] number of each token's text."""
        return self.pack(torch.arange(len(self.mask), device=self.mask.device)[:, None].expand_as(self.mask))[0]


current: ContextVar[Packing | None] = ContextVar("packing", default=None)
"""How the texts lie in the forward pass that is under way; None: padded."""


def packable(backbone: nn.Module) -> bool:
    """Whether its texts may be packed; whether that gives the same states is then tried (`agreement`)."""
    return getattr(backbone.config, "model_type", None) in PACKABLE


def packed_states(backbone: nn.Module, ids: Tensor, packing: Packing) -> Tensor:
    """[n, longest] ids → [1, T, hidden] states of the last layer."""
    config: Any = backbone.config
    first = config.pad_token_id + 1 if config.model_type in _FIRST_POSITION_AFTER_PADDING else 0
    with _packed(config, packing):
        states: Tensor = backbone(input_ids=packing.pack(ids), position_ids=packing.positions(first)).last_hidden_state
    return states


@contextmanager
def _packed(config: Any, packing: Packing) -> Iterator[None]:
    before = config._attn_implementation
    token = current.set(packing)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        current.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Each of [1, heads, T, size] → [1, T, heads, size]."""
    packing = current.get()
    if packing is None:
        raise RuntimeError(f"{NAME} was called outside packed_states")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        out = varlen_attn(
            query[0].transpose(0, 1),
            key[0].transpose(0, 1),
            value[0].transpose(0, 1),
            cu_seq_q=packing.starts,
            cu_seq_k=packing.starts,
            max_q=packing.longest,
            max_k=packing.longest,
            scale=scaling,
        )
        return cast("Tensor", out).unsqueeze(0), None
    query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return packed_attention(query, key, value, packing.groups, scale).unsqueeze(0), None


def _no_mask(*_: Any, **__: Any) -> None:
    """The packing says which tokens see each other."""


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)
