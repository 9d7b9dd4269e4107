"""Layers that stay as they are: a tower cut into what is computed once for each text, and what is trained."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.agreement import WRONG, same
from bluetune_trainer.training.model import Model, Row, Tower, no_files
from bluetune_trainer.training.packing import current

log = logging.getLogger(__name__)


def layers_of(tower: Tower) -> int:
    """Layers that can be frozen one after the other; 0 where there are none, or where they share their weights."""
    try:
        parent, name = tower.stack()
    except LookupError:
        return 0
    return len(getattr(parent, name))


def most_fixed(model: Model) -> int:
    """The largest `num_fixed_layers` that leaves each of the model's towers something to train."""
    return max(min(layers_of(tower) for tower in model.towers()) - 1, 0)


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
                f"initialParams.num_fixed_layers: {depth}, but a {error.args[0]} has no layers that could be frozen one"
                " by one: it has none, or they share their weights; use 0"
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
    def holds(self) -> bool:
        """Whether `upper` of `lower` is what the whole tower gives, tried on its probe.

        Not where a layer hands the next one more than states, as T5's first does.
        """
        rows = self._probe_rows()
        batch = self._batch(rows)
        try:
            hidden = self.lower(*batch)
            if self.tower.packs:
                hidden = torch.cat([state[: self.tower.cost(row)] for state, row in zip(hidden, rows, strict=True)])[
                    None
                ]
            found = self.upper(hidden, *batch)
        except (*WRONG, PlanInvalid) as error:
            log.info("a cut above frozen layers failed", extra={"depth": self.depth, "error": f"{error!s:.200}"})
            return False
        return same(found, self.tower(*batch))

    def _probe_rows(self) -> list[Row]:
        return list(self.tower.prepare(list(self.tower.probe_inputs()), no_files))

    def _batch(self, rows: list[Row]) -> tuple[Tensor, ...]:
        return tuple(part.to(self.tower.device) for part in self.tower.collate(rows))

    @cached_property
    def _entries(self) -> int | None:
        """Entries of the tuple that a layer answers with; None if it answers with a tensor."""
        answers: list[object] = []
        hook = self.layers[self.depth].register_forward_hook(lambda layer, given, answer: answers.append(answer))
        try:
            with torch.no_grad():
                self.tower(*self._batch(self._probe_rows()[:1]))
        finally:
            hook.remove()
        return len(answers[0]) if answers and isinstance(answers[0], tuple) else None

    @torch.no_grad()
    def lower(self, *batch: Tensor) -> Tensor:
        """A batch → [n, positions, width] what the first trained layer is given."""
        capture = _Capture(self.layers[self.depth], self._entries)
        with self._layers_replaced([*self.layers[: self.depth], capture]):
            self.tower.hidden(*batch)
        if capture.state is None:
            raise PlanInvalid("initialParams.num_fixed_layers: this model's layers cannot be frozen; use 0")
        return capture.state

    def upper(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """What `lower` gave for a batch, packed if the tower packs → [n, dimension] vectors in float32."""
        replaced = [_Inject(hidden, self.layers[self.depth], self._entries), *self.layers[self.depth :]]
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
    """Stands in for a layer: the model may ask it which mask it wants, and it answers as that layer does."""

    def __init__(self, model: nn.Module, entries: int | None) -> None:
        super().__init__()
        self._entries = entries
        if hasattr(model, "attention_type"):
            self.attention_type = model.attention_type

    def answer(self, hidden: Tensor) -> Any:
        """The states, in a tuple if the layer gives one."""
        return hidden if self._entries is None else (hidden, *[None] * (self._entries - 1))


class _Capture(_Stand):
    state: Tensor | None = None

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        packing = current.get()
        self.state = hidden if packing is None else packing.unpack(hidden)
        return self.answer(hidden)


class _Inject(_Stand):
    def __init__(self, hidden: Tensor, model: nn.Module, entries: int | None) -> None:
        super().__init__(model, entries)
        self.hidden = hidden

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.answer(self.hidden)
