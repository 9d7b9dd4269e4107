"""What every encoder of texts has: a tokenizer, prompts, and modules that follow the pooling."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.heads import Head
from bluetune_trainer.training.layout import Prompts, Similarity, write_model_config, write_modules
from bluetune_trainer.training.model import Kind, Model, Row, Tower
from bluetune_trainer.training.tokens import pad


class TextTower(Tower, Model):
    """Text to a vector. By itself it is a whole model, whose queries and items share the weights.

    Args:
        tokenizer: of transformers or of tokenizers.
        head: what makes the vector of the pooled states.
        prompts: all that the folder has.
        similarity: what the vectors are to be compared by.
        include_prompt: whether a prompt's own tokens are pooled. Raises PlanInvalid where they are not, and a prompt is
            used: the trainer pools all tokens.
    """

    on_demand = True

    def __init__(
        self,
        tokenizer: Any,
        *,
        head: Head,
        prompts: Prompts,
        similarity: Similarity = "cosine",
        include_prompt: bool = True,
    ) -> None:
        super().__init__()
        if not include_prompt and (prompts.query or prompts.item):
            raise PlanInvalid(
                "1_Pooling/config.json: include_prompt false is not supported with prompts: this model leaves the"
                " prompt's tokens out of its pooling; use another base model, or set settings.queryPrompt and"
                " settings.itemPrompt to ''"
            )
        self.tokenizer = tokenizer
        self.head = head
        self.prompts = prompts
        self.query_prompt = prompts.query
        self.item_prompt = prompts.item
        self.similarity: Similarity = similarity
        self.unit = head.unit

    def tower(self, kind: Kind) -> Tower:
        """This encoder, for both."""
        return self

    def prompted(self, texts: Sequence[str], kind: Kind) -> list[str]:
        """The texts as the transformer sees them."""
        prompt = self.query_prompt if kind == "query" else self.item_prompt
        return [prompt + text for text in texts] if prompt else list(texts)

    def cost(self, row: Row) -> int:
        """Tokens; a text without any still takes a place."""
        return max(len(row), 1)

    def collate(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """Ids and mask, both [n, tokens]."""
        return pad(rows, getattr(self.tokenizer, "pad_token_id", None) or 0)

    def save(self, folder: Path | str) -> None:
        """Write the folder: nothing in it depends on time or machine, weights are safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        modules = self.write_first(folder)
        modules += self.head.write(folder, first=len(modules))
        write_modules(folder, modules)
        write_model_config(folder, self.prompts, self.similarity)

    @abstractmethod
    def write_first(self, folder: Path) -> list[tuple[str, str]]:
        """Write all modules before the head into the folder; (kind, path) of each."""
