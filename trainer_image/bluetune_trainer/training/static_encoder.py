"""Static embeddings: a vector for each token, and their mean (Model2Vec; sentence-transformers' StaticEmbedding)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.heads import Head
from bluetune_trainer.training.layout import ModuleRef, Prompts, Similarity
from bluetune_trainer.training.model import ReadFile, Row
from bluetune_trainer.training.text_tower import TextTower
from bluetune_trainer.training.weights import require_safetensors_in


class StaticEncoder(TextTower):
    """Text to the mean of its tokens' vectors, and the head. It has no layers, and no longest text.

    Args:
        embedding: a vector for each token.
        tokenizer: of the tokenizers library; no special tokens are added.
        dtype: of the weights in a folder that is saved.
    """

    HEAD = ("embedding.", "head.")

    def __init__(
        self,
        embedding: nn.Embedding,
        tokenizer: Tokenizer,
        *,
        head: Head,
        prompts: Prompts,
        similarity: Similarity = "cosine",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(tokenizer, head=head, prompts=prompts, similarity=similarity)
        self.embedding = embedding
        self.dtype = dtype
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.eval()

    @classmethod
    def of_modules(
        cls, modules: Sequence[ModuleRef], prompts: Prompts, similarity: Similarity, *, max_tokens: int | None = None
    ) -> Self:
        """Open it from its modules: a StaticEmbedding, and what follows.

        Raises PlanInvalid for a folder that has no safetensors or no tokenizer.json, and for `max_tokens`: nothing
        that serves such a model cuts its texts.
        """
        first, *rest = modules
        if max_tokens is not None:
            raise PlanInvalid("settings.maxTokens: a model of static embeddings has no longest text; leave it out")
        if not (first.folder / "tokenizer.json").is_file():
            raise PlanInvalid(f"{first.folder} is no StaticEmbedding: tokenizer.json is missing")
        table = _table(first.folder)
        return cls(
            nn.Embedding(table.shape[0], table.shape[1], _weight=table.float()),
            Tokenizer.from_file(str(first.folder / "tokenizer.json")),
            head=Head.read(rest),
            prompts=prompts,
            similarity=similarity,
            dtype=table.dtype,
        )

    @property
    def dimension(self) -> int:
        """Dimension of the vectors."""
        return self.head.dimension(self.embedding.embedding_dim)

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        """Token ids of each text."""
        encodings = self.tokenizer.encode_batch(list(inputs), add_special_tokens=False)
        return [np.asarray(encoding.ids, np.int32) for encoding in encodings]

    def hidden(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, tokens, width] vectors of the tokens."""
        states: Tensor = self.embedding(batch[0])
        return states

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, tokens, width] → [n, dimension] vectors in float32; a text without a token has zeros."""
        mask = batch[1].unsqueeze(-1).float()
        pooled = (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
        vectors: Tensor = self.head(pooled)
        return vectors

    def write_first(self, folder: Path) -> list[tuple[str, str]]:
        """The vectors and the tokenizer."""
        weights = self.embedding.weight.detach().cpu().to(self.dtype).contiguous()
        save_file({"embedding.weight": weights}, folder / "model.safetensors", metadata={"format": "pt"})
        self.tokenizer.save(str(folder / "tokenizer.json"))
        return [("StaticEmbedding", "")]


def _table(folder: Path) -> Tensor:
    """[tokens, width] vectors; a Model2Vec folder may share them between tokens, and weigh each token."""
    require_safetensors_in(folder)
    weights: dict[str, Any] = load_file(folder / "model.safetensors")
    if "embedding.weight" in weights:
        table: Tensor = weights["embedding.weight"]
        return table
    if "embeddings" not in weights:
        raise PlanInvalid(f"{folder}: its weights have neither embedding.weight nor embeddings; save the model again")
    table = weights["embeddings"]
    if "mapping" in weights:
        table = table[weights["mapping"].long()]
    if "weights" in weights:
        table = table.to(torch.promote_types(table.dtype, torch.float32)) * weights["weights"][:, None]
    return table.contiguous()
