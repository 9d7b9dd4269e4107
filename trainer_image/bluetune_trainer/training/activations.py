"""What frozen layers computed, remembered for the life of a search: in memory, and in files beyond that."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.machine import MEMORY_MAX, memory
from bluetune_trainer.training.ranks import world
from bluetune_trainer.training.scratch import reserve

SEGMENT_BYTES = 64 << 20
MEMORY_BYTES = 1 << 30
"""Activations that a search keeps in memory, if that is no more than MEMORY_SHARE of the container's."""
MEMORY_SHARE = 1 / 8
DISK_SHARE = 1 / 2
"""Of what is free under the work folder when the search begins; checkpoints, models and the report need some, too."""


def bytes_needed(tokens: int, width: int, value_bytes: int) -> int:
    """Of the activations of so many tokens, [tokens, width]."""
    return tokens * width * value_bytes


@dataclass(frozen=True)
class Budget:
    """Bytes that the activations of a search may take."""

    memory: int
    disk: int

    @classmethod
    def of(cls, folder: Path, *, memory_max: Path = MEMORY_MAX) -> "Budget":
        """From what this machine has for a search that works in `folder`, and that it shares with other ranks."""
        folder.mkdir(parents=True, exist_ok=True)
        allowed = min(MEMORY_BYTES, int(memory(memory_max) * MEMORY_SHARE))
        return cls(allowed // world(), int(shutil.disk_usage(folder).free * DISK_SHARE) // world())

    def holds(self, needed: int) -> bool:
        """Whether so many bytes of activations are remembered; if not, each step computes what it needs of them."""
        return needed <= self.memory + self.disk


@dataclass
class MemoryLeft:
    """Bytes that caches may still take in memory."""

    left: int

    def take(self, size: int) -> bool:
        """Whether that much was left; it is taken if so."""
        if self.left < size:
            return False
        self.left -= size
        return True


_NOWHERE = -1


class ActivationCache:
    """Activations of one cut, by number of the row: [positions, width] each, as they were computed."""

    def __init__(self, folder: Path, name: str, memory: MemoryLeft | None = None) -> None:
        self._folder = folder
        self._name = name
        self._memory = memory or MemoryLeft(MEMORY_BYTES)
        self._segments: list[Tensor] = []
        self._files: list[Path] = []
        self._in_memory = 0
        self._used = 0
        self._at: NDArray[np.int64] = np.zeros((0, 3), np.int64)
        """By row: segment, first position and one after the last; _NOWHERE for what is not here."""

    def missing(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those that are not here yet."""
        known = numbers < len(self._at)
        missing = ~known
        missing[known] = self._at[numbers[known], 0] == _NOWHERE
        return numbers[missing]

    def put(self, number: int, state: Tensor) -> None:
        """Keep [tokens, hidden] of a text. Raises OSError when the disk is full."""
        tokens, hidden = state.shape
        if not self._segments or self._used + tokens > len(self._segments[-1]):
            with torch.inference_mode(False):  # validations run in it, and steps could not write to a tensor of theirs
                self._segments.append(self._new_segment(tokens, hidden, state.dtype))
            self._used = 0
        if number >= len(self._at):
            more = max(number + 1, 2 * len(self._at), 1024) - len(self._at)
            self._at = np.concatenate([self._at, np.full((more, 3), _NOWHERE)])
        self._segments[-1][self._used : self._used + tokens] = state
        self._at[number] = len(self._segments) - 1, self._used, self._used + tokens
        self._used += tokens

    def gather(self, numbers: NDArray[np.int64], *, packed: bool = False) -> Tensor:
        """[len(numbers), longest, hidden], zero on padding; packed, [1, all tokens, hidden]."""
        rows = [self._segments[at][begin:end] for at, begin, end in self._at[numbers].tolist()]
        return torch.cat(rows).unsqueeze(0) if packed else torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def clear(self) -> None:
        """Forget everything, and give back what it took."""
        self._segments.clear()
        self._at = np.zeros((0, 3), np.int64)
        self._memory.left += self._in_memory
        self._in_memory = 0
        while self._files:
            self._files.pop().unlink(missing_ok=True)

    def _new_segment(self, tokens: int, hidden: int, dtype: torch.dtype) -> Tensor:
        each = hidden * dtype.itemsize
        rows = max(tokens, SEGMENT_BYTES // each)
        if self._memory.take(rows * each):
            self._in_memory += rows * each
            return torch.empty(rows, hidden, dtype=dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._name}-{len(self._files)}.bin"
        self._files.append(path)
        with path.open("wb") as file:
            file.truncate(rows * each)
        reserve(path)
        return torch.from_file(str(path), shared=True, size=rows * hidden, dtype=dtype).view(rows, hidden)


class ActivationCaches:
    """One cache for each (weights below the cut, depth, precision), for the life of a search.

    Whether a cut is remembered depends on what it needs by itself, not on what came before it, so that a search that
    goes on in another process does the same. Where all do not fit, those that were not used for longest make room.
    """

    def __init__(self, folder: Path, budget: Budget | None = None) -> None:
        self._folder = folder
        self.budget = budget or Budget.of(folder)
        self._memory = MemoryLeft(self.budget.memory)
        self._caches: dict[str, tuple[ActivationCache, int]] = {}
        """With the bytes that each may come to take; the least recently used first."""

    def of(self, splits: Sequence[LayerSplit], needed: int = 0, *, bf16: bool) -> list[ActivationCache]:
        """The caches that fit these cuts, which are used together; new if their weights were not seen before.

        `needed`: bytes that they will come to take together, 0 where that is not known.
        """
        keys = [f"{s.depth}-{'bf16' if bf16 else 'fp32'}-{s.frozen_digest()[:16]}" for s in splits]
        others = {key: entry for key, entry in self._caches.items() if key not in keys}
        for key, (cache, _) in list(others.items()):
            if self.budget.holds(needed + sum(size for _, size in others.values())):
                break
            cache.clear()
            del others[key]
        found = {key: self._caches[key][0] if key in self._caches else self._new(key) for key in dict.fromkeys(keys)}
        self._caches = {**others, **{key: (cache, needed // len(found)) for key, cache in found.items()}}
        return [found[key] for key in keys]

    def _new(self, key: str) -> ActivationCache:
        return ActivationCache(self._folder, key, self._memory)
