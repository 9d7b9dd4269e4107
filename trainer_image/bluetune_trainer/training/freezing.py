"""Layers that stay as they are: a tower cut into what is computed once for each text, and what is trained."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.model import Tower
from bluetune_trainer.training.packing import current


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
