"""What a sentence-transformers folder says about its model: modules, prompts, similarity. No torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from bluetune_trainer.errors import PlanInvalid

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
"""How a folder says that its vectors are to be compared (`similarity_fn_name`)."""

OWN_CODE = "sentence_transformers."
"""Modules of this library are known; any other class is code that comes with the model."""
FIRST = ("Transformer", "StaticEmbedding", "CLIPModel", "Router")
"""Modules that turn texts into states or vectors."""
HEADS = ("Dense", "LayerNorm", "Normalize")
"""Modules that turn a vector into another one."""
KNOWN = (*FIRST, "Pooling", *HEADS)

ITEM_PROMPTS = ("document", "passage", "corpus", "item")
"""Names under which a folder's prompt of items is looked for, in this order."""

_MODEL = "config_sentence_transformers.json"
_TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_OF_MODEL = frozenset({"attn_implementation", "dtype", "torch_dtype", "add_pooling_layer"})
_OF_TOKENIZER = frozenset({"model_max_length", "padding_side", "use_fast"})
_HARMLESS = {
    **dict.fromkeys(("model_args", "model_kwargs"), _OF_MODEL),
    **dict.fromkeys(("tokenizer_args", "processor_kwargs"), _OF_TOKENIZER),
    **dict.fromkeys(("config_args", "config_kwargs"), frozenset({"use_cache"})),
}
"""Arguments of transformers that a folder may name: no vector depends on them here."""
_TEXT_STATES = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclass(frozen=True)
class ModuleRef:
    """One module of a folder."""

    kind: str
    """Last part of its class's name, one of KNOWN."""
    folder: Path
    """Where its configuration and weights are."""


@dataclass(frozen=True)
class Prompts:
    """A folder's prompts. All names are kept, also those that the trainer does not use."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts by name."""
    default: str | None = None
    """Name of the prompt that `encode` uses when it is told no name."""

    @property
    def query(self) -> str:
        """Put before each query."""
        return self.texts.get("query", "")

    @property
    def item(self) -> str:
        """Put before each item: the first of ITEM_PROMPTS that says something."""
        return next((self.texts[name] for name in ITEM_PROMPTS if self.texts.get(name)), "")

    def replaced(self, query: str | None, item: str | None) -> "Prompts":
        """With other prompts of queries and items; None keeps the folder's."""
        texts = dict(self.texts)
        if query is not None:
            texts["query"] = query
        if item is not None:
            texts.update({name: item for name in ITEM_PROMPTS if name in texts}, document=item)
        return replace(self, texts=texts)

    def unused(self) -> list[str]:
        """Names of prompts that are put before neither queries nor items."""
        return [name for name, text in self.texts.items() if text and name != "query" and name not in ITEM_PROMPTS]

    def wire(self) -> dict[str, str]:
        """As the folder's JSON has them; `encode_query` and `encode_document` look for the first two."""
        others = {name: text for name, text in self.texts.items() if name not in ("query", "document")}
        return {"query": self.query, "document": self.item, **others}


def read_json(path: Path) -> Any:
    """Content of a JSON file; an empty object if there is none. Raises PlanInvalid for what is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PlanInvalid(f"{path} is no JSON ({error}); fetch or save the model again") from error


def write_json(path: Path, content: object) -> None:
    """Write a JSON file that people can read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_modules(folder: Path) -> list[ModuleRef]:
    """The modules of a folder in order; a plain transformers folder is a Transformer with mean pooling.

    Raises PlanInvalid for a module that is not known, for one whose code comes with the model, and for a path that
    leaves the folder.
    """
    listed = read_json(folder / "modules.json")
    if not listed:
        return [ModuleRef("Transformer", folder), ModuleRef("Pooling", folder / "1_Pooling")]
    if not isinstance(listed, list) or not all(isinstance(module, dict) for module in listed):
        raise PlanInvalid(f"{folder / 'modules.json'} must be a list of modules; save the model again")
    found = [_module(folder, str(module.get("type", "")), str(module.get("path", ""))) for module in listed]
    if found[0].kind not in FIRST:
        raise PlanInvalid(
            f"{folder}: its first module is a {found[0].kind}, and must be one of {', '.join(FIRST)};"
            " use another base model"
        )
    return found


def module_of(folder: Path, kind: str, path: str) -> ModuleRef:
    """A module by its class and its path in the folder; raises PlanInvalid as `read_modules` does."""
    return _module(folder, kind, path)


def _module(folder: Path, kind: str, path: str) -> ModuleRef:
    name = kind.rsplit(".", 1)[-1]
    if not kind.startswith(OWN_CODE):
        raise PlanInvalid(
            f"{folder}: module {kind!r} is code that comes with the model, which is never run;"
            " use a base model without own modules"
        )
    if name not in KNOWN:
        raise PlanInvalid(
            f"{folder}: module {name!r} is not supported, only {', '.join(KNOWN)}; use another base model"
        )
    where = folder / path
    if not where.resolve().is_relative_to(folder.resolve()):
        raise PlanInvalid(f"{folder}: module {name!r} leaves the model's folder: {path}")
    return ModuleRef(name, where)


def read_prompts(folder: Path) -> Prompts:
    """The prompts of a folder."""
    config = _model_config(folder)
    texts = {str(name): str(text or "") for name, text in (config.get("prompts") or {}).items()}
    return Prompts(texts, config.get("default_prompt_name"))


def read_similarity(folder: Path) -> Similarity:
    """How a folder's vectors are to be compared; `cosine` where it says nothing.

    Raises PlanInvalid for a name that is not known.
    """
    name = _model_config(folder).get("similarity_fn_name") or "cosine"
    if name not in get_args(Similarity):
        raise PlanInvalid(
            f"{folder / _MODEL}: similarity_fn_name {name!r} is not known, only {', '.join(get_args(Similarity))}"
        )
    return cast("Similarity", name)


def write_model_config(folder: Path, prompts: Prompts, similarity: Similarity) -> None:
    """Write what concerns the whole model."""
    content = {
        "model_type": "SentenceTransformer",
        "prompts": prompts.wire(),
        "default_prompt_name": prompts.default,
        "similarity_fn_name": similarity,
    }
    write_json(folder / _MODEL, content)


def _model_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = read_json(folder / _MODEL)
    kind = config.get("model_type") or "SentenceTransformer"
    if kind != "SentenceTransformer":
        raise PlanInvalid(
            f"{folder}: this is a {kind} of sentence-transformers, not an embedding model (SentenceTransformer);"
            " use another base model"
        )
    return config


def read_transformer_config(folder: Path) -> dict[str, Any]:
    """What sentence-transformers keeps of a Transformer module: `max_seq_length`, `do_lower_case` and more.

    Raises PlanInvalid for what would change vectors and is not supported.
    """
    path = next((folder / name for name in _TRANSFORMER if (folder / name).is_file()), folder / _TRANSFORMER[0])
    config: dict[str, Any] = read_json(path)
    for key, plain in (("transformer_task", "feature-extraction"), ("module_output_name", "token_embeddings")):
        if config.get(key, plain) != plain:
            raise PlanInvalid(f"{path}: {key} {config[key]!r} is not supported, only {plain}; use another base model")
    states = (config.get("modality_config") or {"text": _TEXT_STATES}).get("text")
    if states != _TEXT_STATES:
        raise PlanInvalid(f"{path}: modality_config {states!r} of texts is not supported; use another base model")
    for key in ("processing_kwargs", "query_length", "document_length", "query_expansion"):
        if config.get(key):
            raise PlanInvalid(f"{path}: {key} is not supported; remove it, or use another base model")
    for key, harmless in _HARMLESS.items():
        if others := sorted(set(config.get(key) or ()) - harmless - {"trust_remote_code"}):
            raise PlanInvalid(f"{path}: {key}.{others[0]} is not supported; remove it, or use another base model")
    return config


def write_transformer_config(folder: Path, known: Mapping[str, Any], *, max_tokens: int, lower: bool) -> None:
    """Write it again: with all that the base's said, and this window."""
    write_json(folder / _TRANSFORMER[0], {**known, "max_seq_length": max_tokens, "do_lower_case": lower})


def write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    """Write modules.json from (kind, path) of each module."""
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
