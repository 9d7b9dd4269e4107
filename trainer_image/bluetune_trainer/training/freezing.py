"""Layers that stay as they are: run once for each text, remembered, shared by all epochs and trials of a depth."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.model import Tower
from bluetune_trainer.training.packing import current

SEGMENT_BYTES = 64 << 20
MEMORY_BYTES = 1 << 30
"""Activations that a search keeps in memory; what is beyond lies in files of the work folder."""


class LayerSplit:
    """A tower cut above its first `depth` layers; depth 0 leaves everything to train."""

    def __init__(self, tower: Tower, depth: int) -> None:
        self.tower = tower
        self.depth = depth
        self.layers = nn.ModuleList()
        if not depth:
            return
        try:
            self._parent, self._name = tower.stack()
        except LookupError as error:
            raise PlanInvalid(
                f"initialParams.num_fixed_layers: {depth}, but the layers of a {error.args[0]} cannot be found; use 0"
            ) from error
        self.layers = getattr(self._parent, self._name)
        if depth >= len(self.layers):
            raise PlanInvalid(
                f"initialParams.num_fixed_layers: {depth} leaves nothing to train, the model has {len(self.layers)}"
                f" layers; use at most {len(self.layers) - 1}"
            )

    def freeze(self) -> None:
        """Switch gradients off on every parameter below the cut, and on what nothing uses."""
        kept = {id(p) for layer in self.layers[self.depth :] for p in layer.parameters()}
        for name, parameter in self.tower.named_parameters():
            above = self.depth == 0 or id(parameter) in kept or name.startswith(self.tower.HEAD)
            parameter.requires_grad_(above and not name.startswith(self.tower.UNUSED))

    def frozen_digest(self) -> str:
        """sha256 of all weights below the cut."""
        digest = hashlib.sha256()
        for name, parameter in sorted(self.tower.named_parameters()):
            if not parameter.requires_grad:
                digest.update(name.encode())
                digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def lower(self, *batch: Tensor) -> Tensor:
        """A batch → [n, positions, width] what the first trained layer is given."""
        capture = _Capture(self.layers[self.depth])
        with self._layers_replaced([*self.layers[: self.depth], capture]):
            self.tower.hidden(*batch)
        if capture.state is None:
            raise PlanInvalid("initialParams.num_fixed_layers: this model's layers cannot be frozen; use 0")
        return capture.state

    def upper(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """What `lower` gave for a batch, packed if the tower packs → [n, dimension] vectors in float32."""
        replaced = [_Inject(hidden, self.layers[self.depth]), *self.layers[self.depth :]]
        with self._layers_replaced(replaced):
            vectors: Tensor = self.tower(*batch)
        return vectors

    @contextmanager
    def _layers_replaced(self, layers: list[nn.Module]) -> Iterator[None]:
        setattr(self._parent, self._name, nn.ModuleList(layers))
        try:
            yield
        finally:
            setattr(self._parent, self._name, self.layers)


class _Stand(nn.Module):
    """Stands in for a layer; the model may ask it which mask it wants."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if hasattr(model, "attention_type"):
            self.attention_type = model.attention_type


class _Capture(_Stand):
    state: Tensor | None = None

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        packing = current.get()
        self.state = hidden if packing is None else packing.unpack(hidden)
        return hidden


class _Inject(_Stand):
    def __init__(self, hidden: Tensor, model: nn.Module) -> None:
        super().__init__(model)
        self.hidden = hidden

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.hidden


@dataclass
class MemoryBudget:
    """Bytes that the caches of a search may still take in memory."""

    left: int = MEMORY_BYTES

    def take(self, size: int) -> bool:
        """Whether that much was left; it is taken if so."""
        if self.left < size:
            return False
        self.left -= size
        return True


class ActivationCache:
    """Activations of one cut, by number of the input: [positions, width] each, as they were computed."""

    def __init__(self, folder: Path, name: str, budget: MemoryBudget | None = None) -> None:
        self._folder = folder
        self._name = name
        self._budget = budget or MemoryBudget()
        self._segments: list[Tensor] = []
        self._used = 0
        self._where: dict[int, tuple[int, int, int]] = {}

    def missing(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those that are not here yet."""
        return np.asarray([n for n in numbers.tolist() if n not in self._where], np.int64)

    def put(self, number: int, state: Tensor) -> None:
        """Keep [tokens, hidden] of a text."""
        tokens, hidden = state.shape
        if not self._segments or self._used + tokens > len(self._segments[-1]):
            self._segments.append(self._new_segment(tokens, hidden, state.dtype))
            self._used = 0
        self._segments[-1][self._used : self._used + tokens] = state
        self._where[number] = (len(self._segments) - 1, self._used, tokens)
        self._used += tokens

    def gather(self, numbers: list[int], *, packed: bool = False) -> Tensor:
        """[len(numbers), longest, hidden], zero on padding; packed, [1, all tokens, hidden]."""
        rows = [
            self._segments[at][start : start + tokens] for at, start, tokens in map(self._where.__getitem__, numbers)
        ]
        return torch.cat(rows).unsqueeze(0) if packed else torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _new_segment(self, tokens: int, hidden: int, dtype: torch.dtype) -> Tensor:
        size = torch.empty(0, dtype=dtype).element_size()
        rows = max(tokens, SEGMENT_BYTES // (hidden * size))
        if self._budget.take(rows * hidden * size):
            return torch.empty(rows, hidden, dtype=dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._name}-{len(self._segments)}.bin"
        with path.open("wb") as file:
            file.truncate(rows * hidden * size)
        return torch.from_file(str(path), shared=True, size=rows * hidden, dtype=dtype).view(rows, hidden)


class ActivationCaches:
    """One cache for each (weights below the cut, depth, precision), for the life of a search."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._budget = MemoryBudget()
        self._caches: dict[str, ActivationCache] = {}

    def of(self, split: LayerSplit, *, bf16: bool) -> ActivationCache:
        """The cache that fits this cut; new if its weights were not seen before."""
        key = f"{split.depth}-{'bf16' if bf16 else 'fp32'}-{split.frozen_digest()[:16]}"
        return self._caches.setdefault(key, ActivationCache(self._folder, key, self._budget))
