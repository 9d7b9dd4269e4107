"""What a model is to the trainer: a query tower and an item tower, which may be one and the same encoder.

A plugin brings a family of its own by subclassing both classes and returning a `Model` from its `load_model`.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bluetune_trainer.training.layout import Similarity
from bluetune_trainer.training.tokens import (
    TOKENS_PER_CHUNK_CPU,
    TOKENS_PER_CHUNK_GPU,
    TOKENS_PER_PACK,
    plan_chunks,
    plan_packs,
)

Kind = Literal["query", "item"]
Row = NDArray[Any]
"""One input, prepared: token ids of a text, pixels of an image."""
ReadFile = Callable[[str], bytes]
"""Key of an object below the model's prefix → its bytes."""


PROBE_TEXTS = (
    "semantic web",
    "how to choose running shoes for wide feet",
    "Lampe de bureau à intensité variable",
    "graph neural networks for recommendation",
    "电动自行车",
    "USB-C cable 2 m, 100 W",
    "A long day by the sea. The children built castles, the tide took them, and nobody minded; in the evening the wind"
    " turned, and the lights of the harbour went on one by one.",
    "?",
)
"""Short and long, several scripts and languages: what a wrong tokenizer, prompt or pooling would show on."""


def no_files(key: str) -> bytes:
    """Where there is no store to read from."""
    raise FileNotFoundError(f"{key}: there is no store here to read it from")


class Tower(nn.Module, ABC):
    """One side of a model: inputs to vectors.

    Dropout is never active: it makes CPU attention fall back to a slow path, and without it a step is the same
    whichever way its inputs are batched or cached.
    """

    HEAD: ClassVar[tuple[str, ...]] = ()
    """Names (prefixes in `named_parameters`) of what comes after the stack of layers: trained at any depth."""
    UNUSED: ClassVar[tuple[str, ...]] = ()
    """Names of what the vectors do not depend on: never trained."""
    on_demand: ClassVar[bool] = False
    """Whether an input may be prepared when it is first needed. Not where it may be found to be unusable (a picture
    that is missing): that should be known before training begins."""
    reads_words: ClassVar[bool] = True
    """Whether an input says by its words what it is about; the name of a picture does not."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Dimension of the vectors."""

    @abstractmethod
    def prepare(self, inputs: Sequence[str], files: ReadFile) -> Iterable[Row]:
        """The expensive part that is done once for each input: tokens of a text, pixels of an image.

        Args:
            inputs: as `prompted` gave them.
            files: reads what an input names, if it names a file.
        """

    @abstractmethod
    def cost(self, row: Row) -> int:
        """Positions that an input takes in the stack of layers: tokens, or patches of an image."""

    def cut(self, row: Row) -> bool:
        """Whether the input may have been longer than the window, so that some of it is not in the row."""
        return False

    @abstractmethod
    def collate(self, rows: Sequence[Row]) -> tuple[Tensor, ...]:
        """A batch for `hidden` and `pool`, on the CPU; each tensor is [len(rows), …]."""

    @abstractmethod
    def hidden(self, *batch: Tensor) -> Tensor:
        """A batch → [n, positions, width] what comes out of the stack of layers."""

    @abstractmethod
    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, positions, width] → [n, dimension] in float32: unit vectors, or plain ones where a distance ranks."""

    def forward(self, *batch: Tensor) -> Tensor:
        """A batch → [n, dimension] in float32."""
        return self.pool(self.hidden(*batch), *batch)

    def prompted(self, inputs: Sequence[str], kind: Kind) -> list[str]:
        """The inputs as the tower sees them. Two that are equal here are one input, whichever side they are on."""
        return list(inputs)

    def probe_inputs(self) -> Iterable[str]:
        """A few inputs that a version, once it is back from the store, must encode as before."""
        return PROBE_TEXTS

    def stack(self) -> tuple[nn.Module, str]:
        """Module and attribute that hold the ModuleList of layers, which are called in order.

        Raises LookupError where there is none: then no layer can be frozen.
        """
        config = getattr(self.transformer(), "config", None)
        wanted = getattr(config, "num_hidden_layers", None) or getattr(config, "n_layers", None)
        for module in self.transformer().modules():
            for name, child in module.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == wanted:
                    return module, name
        raise LookupError(type(self.transformer()).__name__)

    def transformer(self) -> nn.Module:
        """The module that holds the stack of layers, with a transformers configuration."""
        return self

    @property
    def packs(self) -> bool:
        """Whether a batch's inputs go through the layers one after the other, without padding."""
        return False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def token_budget(self) -> int:
        """Positions in a forward pass on this device, padded ones among them."""
        return TOKENS_PER_CHUNK_GPU if self.device.type == "cuda" else TOKENS_PER_CHUNK_CPU

    def chunks(self, costs: NDArray[np.int64], most: int = sys.maxsize) -> list[NDArray[np.int64]]:
        """Positions of inputs of these costs, grouped for a forward pass of at most `most` positions each."""
        if self.packs:
            return plan_packs(costs, min(TOKENS_PER_PACK, most))
        return plan_chunks(costs, min(self.token_budget, most))

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: no dropout; gradients flow all the same."""
        return super().train(False)

    @torch.no_grad()
    def encode(
        self, inputs: Sequence[str], kind: Kind = "item", *, bf16: bool = False, files: ReadFile = no_files
    ) -> NDArray[np.float32]:
        """[len(inputs), dimension] vectors. Equal inputs are encoded once, inputs of like length together."""
        unique = list(dict.fromkeys(inputs))
        position = {text: i for i, text in enumerate(unique)}
        rows = list(self.prepare(self.prompted(unique, kind), files))
        costs = np.fromiter((self.cost(row) for row in rows), np.int64, len(rows))
        vectors = np.zeros((len(unique), self.dimension), np.float32)
        device = self.device
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for chunk in self.chunks(costs):
                batch = self.collate([rows[i] for i in chunk])
                vectors[chunk] = self(*(part.to(device) for part in batch)).cpu().numpy()
        return vectors[[position[text] for text in inputs]]


class Model(nn.Module, ABC):
    """Two towers over one space of vectors."""

    query_prompt: str = ""
    """Put before each query, for whoever serves the model."""
    item_prompt: str = ""
    similarity: Similarity = "cosine"
    """What vectors are to be compared by."""
    unit: bool = True
    """Whether all vectors have the length 1."""

    @abstractmethod
    def tower(self, kind: Kind) -> Tower:
        """Of queries or of items; the same object for both if they share all weights."""

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write a folder that `load_model` opens: safetensors and JSON; nothing depends on time or machine."""

    @property
    def shared(self) -> bool:
        """Whether one encoder stands for both: then all weights are the items'."""
        return self.tower("query") is self.tower("item")

    def towers(self) -> Iterator[Tower]:
        """The different towers: the items', and the queries' if it is another."""
        yield self.tower("item")
        if not self.shared:
            yield self.tower("query")

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return self.tower("item").dimension

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tower("item").device

    def encode(
        self, inputs: Sequence[str], kind: Kind = "item", *, bf16: bool = False, files: ReadFile = no_files
    ) -> NDArray[np.float32]:
        """[len(inputs), dimension] vectors of queries or items."""
        return self.tower(kind).encode(inputs, kind, bf16=bf16, files=files)
