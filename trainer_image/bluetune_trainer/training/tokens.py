"""Texts tokenized once, and grouped into chunks that waste little on padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

TOKENS_PER_CHUNK_CPU = 2048
"""Padded tokens in one forward pass: about where the activations of a small encoder still fit a CPU's caches."""
TOKENS_PER_CHUNK_GPU = 32768
"""The same on a GPU, which wants few large kernels."""

TOKENS_PER_PACK = 8192
"""Tokens in one forward pass of packed texts: weights and their gradients are touched once for so many."""


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int, *, lower: bool = False) -> list[NDArray[np.int32]]:
    """Token ids of each text with its special tokens, cut at `max_tokens`."""
    if not texts:
        return []
    batch = tokenizer(
        [text.lower() for text in texts] if lower else list(texts),
        truncation=True,
        max_length=max_tokens,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [np.asarray(ids, np.int32) for ids in batch["input_ids"]]


def plan_chunks(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """Positions grouped so that texts of like length share a chunk.

    Each chunk holds at most `token_budget` padded tokens (count × longest), or one text that is longer than that.
    The order within equal lengths is kept, so the same input always gives the same chunks.
    """
    order = np.argsort(lengths, kind="stable")
    chunks = []
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or lengths[order[end]] * (end + 1 - begin) > token_budget:
            chunks.append(order[begin:end])
            begin = end
    return chunks


def plan_packs(lengths: NDArray[np.int64], token_budget: int) -> list[NDArray[np.int64]]:
    """Positions by length, cut where `token_budget` real tokens are reached; one text may be longer than that."""
    order = np.argsort(lengths, kind="stable")
    if not len(order):
        return []
    before = np.cumsum(lengths[order]) - lengths[order]
    _, first = np.unique(before // token_budget, return_index=True)
    return np.split(order, first[1:])


def pad(rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both [len(rows), longest]; the mask is 1 on real tokens."""
    longest = max(1, *(len(row) for row in rows))
    ids = np.full((len(rows), longest), pad_id, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
