"""A sentence encoder in the folder layout that sentence-transformers, transformers and TEI open as it is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training import attention
from bluetune_trainer.training.model import Kind, Model, ReadFile, Row, Tower
from bluetune_trainer.training.packing import Packing, check_packable, packable, packed_states
from bluetune_trainer.training.tokens import pad, tokenize

Pooling = Literal["mean", "cls"]

_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
_UNKNOWN_LENGTH = 1_000_000
"""Tokenizers without a limit say 1e30."""


class Encoder(Tower, Model):
    """Text to a unit vector: transformer, pooling over the real tokens, L2 normalisation.

    By itself it is a whole model, whose queries and items share the weights; two of them make a `TwoTowers`.
    """

    HEAD = ("backbone.final_norm.", "backbone.norm.", "backbone.ln_f.")
    UNUSED = ("backbone.pooler.",)
    on_demand = True

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: Any,
        *,
        pooling: Pooling = "mean",
        max_tokens: int,
        lower: bool = False,
        query_prompt: str = "",
        item_prompt: str = "",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooling: Pooling = pooling
        self.max_tokens = max_tokens
        self.lower = lower
        self.query_prompt = query_prompt
        self.item_prompt = item_prompt
        self._packs: bool | None = None
        self.eval()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        pooling_folder: Path | None = None,
        prompts_folder: Path | None = None,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        item_prompt: str | None = None,
    ) -> Self:
        """Open a sentence-transformers folder, or a plain transformers one (mean pooling).

        The other arguments replace what the folder says. Raises PlanInvalid for a folder whose model does more than
        pool and normalise, and for a `max_tokens` beyond the model's positions.

        Args:
            folder: with config.json, weights and tokenizer.
            pooling_folder: where the pooling's configuration is; default: `1_Pooling`.
            prompts_folder: where config_sentence_transformers.json is; default: `folder`.
            max_tokens: longest text.
            query_prompt: put before each query.
            item_prompt: put before each item.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise PlanInvalid(f"{folder} is no model folder: config.json is missing")
        _check_modules(folder)
        sentence = read_json(folder / "sentence_bert_config.json")
        prompts = read_json((prompts_folder or folder) / "config_sentence_transformers.json").get("prompts") or {}
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:  # without the argument transformers would ask on a terminal whether to run the folder's code
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except ValueError as error:
            kind = read_json(folder / "config.json").get("model_type")
            raise PlanInvalid(
                f"{folder}: transformers has no model or tokenizer of the type {kind!r}, and code that comes with a"
                " model is never run; use another base model"
            ) from error
        backbone = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation=attention.NAME,
        )
        return cls(
            backbone,
            tokenizer,
            pooling=_pooling(read_json((pooling_folder or folder / "1_Pooling") / "config.json")),
            max_tokens=_window(max_tokens, sentence.get("max_seq_length"), tokenizer, config),
            lower=bool(sentence.get("do_lower_case", False)),
            query_prompt=prompts.get("query", "") if query_prompt is None else query_prompt,
            item_prompt=_item_prompt(prompts) if item_prompt is None else item_prompt,
        )

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return int(self.backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def tower(self, kind: Kind) -> Tower:
        """This encoder, for both."""
        return self

    def transformer(self) -> nn.Module:
        """What the layers are in."""
        return self.backbone

    @property
    def packs(self) -> bool:
        """Whether texts are packed instead of padded: where it is known to pay, unless `pack` said otherwise."""
        if self._packs is None:
            return self.device.type == "cpu" and packable(self.backbone)
        return self._packs

    def pack(self, wanted: bool) -> None:
        """Pack texts from now on, or pad them. Raises PlanInvalid for a model that cannot be packed."""
        if wanted:
            check_packable(self.backbone)
        self._packs = wanted

    def prompted(self, texts: Sequence[str], kind: Kind) -> list[str]:
        """The texts as the transformer sees them."""
        prompt = self.query_prompt if kind == "query" else self.item_prompt
        return [prompt + text for text in texts] if prompt else list(texts)

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        """Token ids of each text."""
        return [*tokenize(self.tokenizer, inputs, self.max_tokens, lower=self.lower)]

    def cost(self, row: Row) -> int:
        """Tokens."""
        return len(row)

    def cut(self, row: Row) -> bool:
        """Whether the text fills the window."""
        return len(row) >= self.max_tokens

    def collate(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """Ids and mask, both [n, tokens]."""
        return pad(rows, self.tokenizer.pad_token_id or 0)

    def hidden(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, tokens, dimension] states of the last layer."""
        ids, mask = batch
        if self.packs:
            packing = Packing.of(mask)
            return packing.unpack(packed_states(self.backbone, ids, packing))
        states: Tensor = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def forward(self, *batch: Tensor) -> Tensor:
        """[n, tokens] ids and mask → [n, dimension] unit vectors in float32; packed texts are never padded again."""
        if not self.packs:
            return super().forward(*batch)
        ids, mask = batch
        packing = Packing.of(mask)
        states = packed_states(self.backbone, ids, packing)
        pooled = packing.firsts(states) if self.pooling == "cls" else packing.pooled(states.float())
        return nn.functional.normalize(pooled.float(), dim=-1)

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        """[n, tokens, dimension] states → [n, dimension] unit vectors in float32."""
        _, mask = batch
        hidden = hidden.float()
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.to(hidden.dtype).unsqueeze(-1)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(pooled, dim=-1)

    def save(self, folder: Path | str) -> None:
        """Write the folder: nothing in it depends on time or machine, weights are safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone.save_pretrained(folder)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "2_Normalize").mkdir(exist_ok=True)
        write_json(folder / "modules.json", _MODULES)
        write_json(
            folder / "sentence_bert_config.json", {"max_seq_length": self.max_tokens, "do_lower_case": self.lower}
        )
        write_json(
            folder / "1_Pooling" / "config.json",
            {
                "word_embedding_dimension": self.dimension,
                "pooling_mode_cls_token": self.pooling == "cls",
                "pooling_mode_mean_tokens": self.pooling == "mean",
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
            },
        )
        write_json(folder / "2_Normalize" / "config.json", {})
        write_json(
            folder / "config_sentence_transformers.json",
            {
                "model_type": "SentenceTransformer",
                "prompts": {"query": self.query_prompt, "document": self.item_prompt},
                "default_prompt_name": None,
                "similarity_fn_name": "cosine",
            },
        )


def pack(model: Model, attention: Literal["Auto", "Padded", "Packed"]) -> None:
    """Let the towers do what `settings.attention` says. Raises PlanInvalid for towers that cannot be packed."""
    for tower in model.towers():
        if isinstance(tower, Encoder):
            if attention != "Auto":
                tower.pack(attention == "Packed")
        elif attention == "Packed":
            raise PlanInvalid(f"settings.attention: Packed does not know a {type(tower).__name__}; use Auto")


def _check_modules(folder: Path) -> None:
    modules = read_json(folder / "modules.json")
    known = ("Transformer", "Pooling", "Normalize")
    for module in modules if isinstance(modules, list) else []:
        name = str(module.get("type", "")).rsplit(".", 1)[-1]
        if name not in known:
            raise PlanInvalid(
                f"{folder}: module {name!r} is not supported, only {', '.join(known)}; use another base model"
            )


def _pooling(config: dict[str, Any]) -> Pooling:
    """From both ways in which sentence-transformers writes it; a plain transformers folder has mean pooling."""
    mode = config.get("pooling_mode")
    if mode is None:
        on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
        names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        mode = "mean" if not config else "+".join(names.get(key, key) for key in on)
    if mode == "mean":
        return "mean"
    if mode == "cls":
        return "cls"
    raise PlanInvalid(
        f"1_Pooling/config.json: pooling {mode!r} is not supported, only mean and cls; use another base model"
    )


def _window(wanted: int | None, saved: int | None, tokenizer: Any, config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _UNKNOWN_LENGTH
    if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "mpnet", "camembert"):
        positions -= 2  # their first position is the padding id + 1
    limit = min(positions, tokenizer.model_max_length if tokenizer.model_max_length < _UNKNOWN_LENGTH else positions)
    if wanted is not None:
        if wanted > limit:
            raise PlanInvalid(
                f"settings.maxTokens is {wanted}, but the model's window has {limit} tokens; set at most that"
            )
        return wanted
    return min(saved, limit) if saved else min(limit, 512) if limit == _UNKNOWN_LENGTH else limit


def _item_prompt(prompts: dict[str, str]) -> str:
    return next((prompts[name] for name in ("document", "passage", "item") if prompts.get(name)), "")


def read_json(path: Path) -> Any:
    """Content of a JSON file; an empty object if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
