"""A transformer that encodes texts, in the folder layout that sentence-transformers, transformers and TEI open."""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training import attention
from bluetune_trainer.training.agreement import TEXTS, WRONG, alone, same
from bluetune_trainer.training.backbone import open_backbone, window
from bluetune_trainer.training.heads import Head, Normalize
from bluetune_trainer.training.layout import (
    ModuleRef,
    Prompts,
    Similarity,
    read_modules,
    read_prompts,
    read_similarity,
    read_transformer_config,
    write_transformer_config,
)
from bluetune_trainer.training.model import Model, ReadFile, Row, no_files
from bluetune_trainer.training.packing import Packing, packable, packed_states
from bluetune_trainer.training.pooling import Pooling
from bluetune_trainer.training.text_tower import TextTower
from bluetune_trainer.training.tokens import tokenize

log = logging.getLogger(__name__)


class Encoder(TextTower):
    """Text to a vector: transformer, pooling over the real tokens, and the head, which is L2 normalisation by default.

    Args:
        backbone: from transformers.
        tokenizer: its tokenizer.
        pooling: of the states of the last layer.
        max_tokens: longest text.
        lower: whether texts are lower-cased first.
        query_prompt: put before each query, where `prompts` is not given.
        item_prompt: put before each item, likewise.
        head: what follows the pooling.
        prompts: all of a folder's.
        similarity: what the vectors are to be compared by.
        dtype: of the weights in a folder that is saved.
        known: what else a folder's sentence_bert_config.json says.
    """

    HEAD = (
        "head.",
        *("backbone.final_norm.", "backbone.norm.", "backbone.ln_f.", "backbone.final_layer_norm."),
        *("backbone.encoder.final_layer_norm.", "backbone.encoder.ln.", "backbone.decoder.final_layer_norm."),
    )
    UNUSED = ("backbone.pooler.",)

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: Any,
        *,
        pooling: Pooling | None = None,
        max_tokens: int,
        lower: bool = False,
        query_prompt: str = "",
        item_prompt: str = "",
        head: Head | None = None,
        prompts: Prompts | None = None,
        similarity: Similarity = "cosine",
        dtype: torch.dtype = torch.float32,
        known: dict[str, Any] | None = None,
    ) -> None:
        pooling = pooling or Pooling()
        super().__init__(
            tokenizer,
            head=Head(Normalize()) if head is None else head,
            prompts=prompts or Prompts({"query": query_prompt, "document": item_prompt}),
            similarity=similarity,
            include_prompt=pooling.include_prompt,
        )
        self.backbone = backbone
        self.pooling = pooling
        self.max_tokens = max_tokens
        self.lower = lower
        self.dtype = dtype
        self._known = known or {}
        self._packable = False
        self._packs: bool | None = None
        self.eval()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        item_prompt: str | None = None,
    ) -> Self:
        """Open a sentence-transformers folder, or a plain transformers one (mean pooling).

        The other arguments replace what the folder says.

        Raises:
            PlanInvalid: the folder holds what is no text encoder, is not whole or is not supported; or `max_tokens` is
                beyond the model's positions.
        """
        folder = Path(folder)
        prompts = read_prompts(folder).replaced(query_prompt, item_prompt)
        return cls.of_modules(read_modules(folder), prompts, read_similarity(folder), max_tokens=max_tokens)

    @classmethod
    def of_modules(
        cls, modules: Sequence[ModuleRef], prompts: Prompts, similarity: Similarity, *, max_tokens: int | None = None
    ) -> Self:
        """Open an encoder from its modules: a Transformer, its Pooling, and what follows. Raises as `load` does."""
        first, *others = modules
        pooling, *rest = others or [ModuleRef("Pooling", first.folder / "1_Pooling")]
        if first.kind != "Transformer" or pooling.kind != "Pooling":
            raise PlanInvalid(
                f"{first.folder}: a {first.kind} followed by a {pooling.kind} is not supported, only a Transformer"
                " followed by a Pooling; use another base model"
            )
        known = read_transformer_config(first.folder)
        opened = open_backbone(first.folder)
        encoder = cls(
            opened.model,
            opened.tokenizer,
            pooling=Pooling.read(pooling.folder),
            max_tokens=window(max_tokens, known.get("max_seq_length"), opened.tokenizer, opened.model.config),
            lower=bool(known.get("do_lower_case", False)),
            head=Head.read(rest),
            prompts=prompts,
            similarity=similarity,
            dtype=opened.dtype,
            known=known,
        )
        encoder.settle_attention()
        return encoder

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return self.head.dimension(self._width * len(self.pooling.modes))

    @property
    def _width(self) -> int:
        return int(self.backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def transformer(self) -> nn.Module:
        """What the layers are in."""
        return self.backbone

    @property
    def model_type(self) -> str:
        """What transformers calls the architecture."""
        return str(getattr(self.backbone.config, "model_type", type(self.backbone).__name__))

    @torch.no_grad()
    def settle_attention(self) -> None:
        """Compute attention in the fastest way that gives what the model's own gives for each text by itself.

        Raises PlanInvalid for a model whose vectors of a text depend on the other texts of a batch.
        """
        self._packable, self._packs = False, None
        expected = alone(self)
        batch = self.collate(self.prepare(TEXTS, no_files))
        if not same(self(*batch), expected):
            raise PlanInvalid(
                f"a model of the type {self.model_type!r} gives a text another vector when others are in its batch"
                " (padding is not masked), or needs more of its tokenizer than ids and mask; use another base model"
            )
        config: Any = self.backbone.config
        own = config._attn_implementation
        config._attn_implementation = attention.NAME
        if not self._gives(batch, expected):
            config._attn_implementation = own
            log.info("the model's own attention is used: ours gives other vectors", extra={"type": self.model_type})
        elif packable(self.backbone):
            self._packs = True
            self._packable = self._gives(batch, expected)
            self._packs = None

    def _gives(self, batch: tuple[Tensor, ...], expected: Tensor) -> bool:
        try:
            return same(self(*batch), expected)
        except WRONG as error:
            log.info("a way to compute attention failed", extra={"type": self.model_type, "error": f"{error!s:.200}"})
            return False

    @property
    def packs(self) -> bool:
        """Whether texts are packed instead of padded: where it is known to pay, unless `pack` said otherwise."""
        if self._packs is None:
            return self.device.type == "cpu" and self._packable
        return self._packs

    def pack(self, wanted: bool) -> None:
        """Pack texts from now on, or pad them. Raises PlanInvalid for a model that cannot be packed."""
        if wanted and not self._packable:
            raise PlanInvalid(
                f"settings.attention: Packed does not know models of type {self.model_type!r}; use Auto, which packs"
                " those that can be packed"
            )
        self._packs = wanted

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        """Token ids of each text."""
        return [*tokenize(self.tokenizer, inputs, self.max_tokens, lower=self.lower)]

    def cut(self, row: Row) -> bool:
        """Whether the text fills the window."""
        return len(row) >= self.max_tokens

    def hidden(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, tokens, width] states of the last layer."""
        ids, mask = batch
        if self.packs:
            packing = Packing.of(mask)
            return packing.unpack(packed_states(self.backbone, ids, packing))
        states: Tensor = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def forward(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, dimension] vectors in float32; packed texts are never padded again."""
        if not self.packs:
            return super().forward(*batch)
        ids, mask = batch
        packing = Packing.of(mask)
        states = packed_states(self.backbone, ids, packing)
        vectors: Tensor = self.head(self.pooling.packed(states, packing))
        return vectors

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, tokens, width] states → [n, dimension] vectors in float32."""
        _, mask = batch
        vectors: Tensor = self.head(self.pooling.padded(hidden, mask))
        return vectors

    def write_first(self, folder: Path) -> list[tuple[str, str]]:
        """The transformer with its tokenizer, and the pooling."""
        model: Any = self.backbone if self.dtype == torch.float32 else copy.deepcopy(self.backbone).to(self.dtype)
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        write_transformer_config(folder, self._known, max_tokens=self.max_tokens, lower=self.lower)
        self.pooling.write(folder / "1_Pooling", self._width)
        return [("Transformer", ""), ("Pooling", "1_Pooling")]


def pack(model: Model, attention: Literal["Auto", "Padded", "Packed"]) -> None:
    """Let the towers do what `settings.attention` says. Raises PlanInvalid for towers that cannot be packed."""
    for tower in model.towers():
        if isinstance(tower, Encoder):
            if attention != "Auto":
                tower.pack(attention == "Packed")
        elif attention == "Packed":
            raise PlanInvalid(f"settings.attention: Packed does not know a {type(tower).__name__}; use Auto")
