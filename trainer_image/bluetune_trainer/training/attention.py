"""Attention that is fast where torch's own is slow: texts of their own lengths, on processors, with gradient.

torch's CPU kernel takes most of a training step in bfloat16: at 28 tokens its backward pass costs six times what plain
products do. For packed texts, texts of like length are gathered into groups, so that nothing is computed on padding
but a little within a group. The gradient is that of softmax(QKᵀ·scale)V (Vaswani et al. 2017, arXiv 1706.03762).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "bluetune"
"""For transformers' `attn_implementation`: texts that are padded."""

LONGEST_BY_PRODUCTS = 192
"""Tokens up to which plain products are faster than torch's kernel; the scores of longer texts leave the caches."""
_RATIO, _SLACK = 1.25, 4
"""Lengths that share a group: up to a quarter, or so many tokens, longer than the first."""


@dataclass(frozen=True)
class Group:
    """n texts, one after the other among T packed tokens, seen as [n, longest]."""

    begin: int
    """Its first token."""
    end: int
    """One after its last."""
    count: int
    longest: int
    at: Tensor | None = None
    """[n · longest] token of the group that stands there; any on padding. None: all have the same length."""
    back: Tensor | None = None
    """[end - begin] where each token stands among n · longest."""
    padding: Tensor | None = None
    """[n, longest] bool: true on padding."""

    def padded(self, packed: Tensor) -> Tensor:
        """[T, heads, size] → [n · heads, longest, size]; tokens of others on padding."""
        own = packed[self.begin : self.end]
        if self.at is not None:
            own = own.index_select(0, self.at)
        own = own.reshape(self.count, self.longest, *packed.shape[1:])
        return own.transpose(1, 2).reshape(-1, self.longest, packed.shape[2])

    def packed(self, padded: Tensor, heads: int) -> Tensor:
        """The other way: [n · heads, longest, size] → [end - begin, heads, size]."""
        own = padded.view(self.count, heads, self.longest, -1).transpose(1, 2)
        own = own.reshape(self.count * self.longest, heads, -1)
        return own if self.back is None else own.index_select(0, self.back)


def group(lengths: list[int], device: torch.device) -> list[Group]:
    """Neighbours of like length, in order. Texts that are sorted by length make the fewest groups."""
    groups = []
    first = begin = 0
    for last in range(1, len(lengths) + 1):
        limit = max(lengths[first] * _RATIO, lengths[first] + _SLACK)
        if last < len(lengths) and lengths[first] <= lengths[last] <= limit:
            continue
        own = lengths[first:last]
        groups.append(_group(begin, own, device))
        begin, first = begin + sum(own), last
    return groups


def _group(begin: int, lengths: list[int], device: torch.device) -> Group:
    count, longest, total = len(lengths), max(lengths), sum(lengths)
    if count * longest == total:
        return Group(begin, begin + total, count, longest)
    each = torch.tensor(lengths, device=device)
    steps = torch.arange(longest, device=device).expand(count, longest)
    padding = steps >= each[:, None]
    at = (each.cumsum(0) - each)[:, None] + torch.where(padding, 0, steps)
    return Group(begin, begin + total, count, longest, at.flatten(), (~padding).flatten().nonzero()[:, 0], padding)


def packed_attention(query: Tensor, key: Tensor, value: Tensor, groups: list[Group], scale: float) -> Tensor:
    """Each of [T, heads, size] → [T, heads, size]; a text sees its own tokens only."""
    short = [g for g in groups if g.longest <= LONGEST_BY_PRODUCTS]
    if len(short) == len(groups):
        return _by_products(query, key, value, short, scale)
    heads = query.shape[1]
    parts = []
    for g in groups:
        if g.longest <= LONGEST_BY_PRODUCTS:
            span = slice(g.begin, g.end)
            own = replace(g, begin=0, end=g.end - g.begin)
            parts.append(_by_products(query[span], key[span], value[span], [own], scale))
            continue
        # In float32: the kernel's backward pass in bfloat16 is the slow one.
        q, k, v = (g.padded(t).float().view(g.count, heads, g.longest, -1) for t in (query, key, value))
        mask = None if g.padding is None else ~g.padding[:, None, None, :].expand(-1, 1, g.longest, -1)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).to(query.dtype)
        parts.append(g.packed(mixed.reshape(-1, g.longest, mixed.shape[-1]), heads))
    return torch.cat(parts)


def _by_products(query: Tensor, key: Tensor, value: Tensor, groups: list[Group], scale: float) -> Tensor:
    mixed: Tensor = _Products.apply(query, key, value, groups, scale)
    return mixed


class _Products(torch.autograd.Function):
    """One node of the graph for all groups, with the backward pass written out."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: list[Group], scale: float) -> Tensor:
        heads = query.shape[1]
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        kept: list[Tensor] = []
        for g in groups:
            q, k, v = g.padded(query), g.padded(key), g.padded(value)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            if g.padding is not None:
                scores.view(g.count, heads, g.longest, -1).masked_fill_(g.padding[:, None, None, :], -torch.inf)
            weights = torch.softmax(scores, -1)
            if g.padding is not None:  # rows of padding stand for no token: without weight they have no gradient
                weights.view(g.count, heads, g.longest, -1).masked_fill_(g.padding[:, None, :, None], 0.0)
            out[g.begin : g.end] = g.packed(torch.bmm(weights, v), heads)
            kept += [q, k, v, weights]
        ctx.save_for_backward(*kept)
        ctx.groups, ctx.scale, ctx.heads, ctx.shape = groups, scale, heads, query.shape
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        found = [gradient.new_empty(ctx.shape) for _ in range(3)]
        for i, g in enumerate(ctx.groups):
            q, k, v, weights = ctx.saved_tensors[4 * i : 4 * i + 4]
            mixed = g.padded(gradient)
            of_weights = torch.bmm(mixed, v.transpose(1, 2))
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            parts = (
                torch.bmm(of_scores, k),
                torch.bmm(of_scores.transpose(1, 2), q),
                torch.bmm(weights.transpose(1, 2), mixed),
            )
            for whole, part in zip(found, parts, strict=True):
                whole[g.begin : g.end] = g.packed(part, ctx.heads)
        return (*found, None, None)


def _padded(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """[n, heads, tokens, size] each → [n, tokens, heads, size]; the mask is boolean, or None if all tokens are real."""
    if not _slow_in_torch(module, query, key, attention_mask, options):
        mixed, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return mixed, None
    scaling = options.get("scaling")
    scale = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    with torch.autocast(query.device.type, enabled=False):  # it would compute the softmax in float32
        scores = torch.matmul(query * scale, key.transpose(2, 3))
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask, -torch.inf)
        return torch.matmul(torch.softmax(scores, -1), value).transpose(1, 2).contiguous(), None


def _slow_in_torch(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, options: dict[str, Any]) -> bool:
    """Whether this is the plain case that the kernel is slow at: bfloat16 on the CPU, with gradient, short texts."""
    plain = (
        query.shape[1:] == key.shape[1:]
        and not options.get("dropout")
        and options.get("position_bias") is None
        and options.get("softcap") is None
        and (mask.dtype == torch.bool if mask is not None else not getattr(module, "is_causal", True))
    )
    on_cpu = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    return plain and on_cpu and query.shape[2] <= LONGEST_BY_PRODUCTS


AttentionInterface.register(NAME, _padded)
AttentionMaskInterface.register(NAME, sdpa_mask)
