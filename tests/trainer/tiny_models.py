"""Tiny random models of every family, in the folders that sentence-transformers itself writes."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling, StaticEmbedding
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast, T5EncoderModel

from trainer.model_table import Family

LENGTH = 64
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}


def byte_tokenizer() -> Tokenizer:
    """Bytes are its tokens; each text is put between <s> and </s>."""
    entries = [*SPECIAL.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({entry: number for number, entry in enumerate(entries)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def write_tokenizer(folder: Path, padding_side: str = "right") -> None:
    """As transformers saves it."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer(), model_max_length=LENGTH, padding_side=padding_side, **SPECIAL
    )
    tokenizer.save_pretrained(folder)


def write_transformer(folder: Path, kind: str, config: dict[str, Any], *, padding_side: str = "right") -> Path:
    """A random model of this type, whose vectors of different texts are far apart, and a tokenizer."""
    torch.manual_seed(0)
    made = AutoConfig.for_model(
        kind, vocab_size=byte_tokenizer().get_vocab_size(), pad_token_id=1, bos_token_id=0, eos_token_id=2, **config
    )
    model = T5EncoderModel(made) if kind == "t5" else AutoModel.from_config(made)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    write_tokenizer(folder, padding_side)
    return folder


def head(names: tuple[str, ...], width: int) -> list[torch.nn.Module]:
    """Modules after the pooling; Dense halves the width once."""
    found: list[torch.nn.Module] = []
    for number, name in enumerate(names):
        if name == "Dense":
            activation = torch.nn.Tanh() if names.count("Dense") == 1 else torch.nn.Identity()
            found.append(Dense(width, width * (2 if number else 1) // 1, bias=False, activation_function=activation))
            width = found[-1].out_features
        else:
            found.append(Normalize() if name == "Normalize" else LayerNorm(width))
    return found


def write_family(folder: Path, family: Family) -> Path:
    """A model of one line of the table."""
    plain = write_transformer(folder / "plain", family.type, dict(family.config), padding_side=family.padding_side)
    transformer = Transformer(str(plain))
    pooling = Pooling(transformer.get_embedding_dimension(), family.pooling)
    modules = [transformer, pooling, *head(family.head, pooling.get_embedding_dimension())]
    similarity: Any = family.similarity
    model = SentenceTransformer(
        modules=modules, device="cpu", prompts=dict(family.prompts), similarity_fn_name=similarity
    )
    model.save(str(folder / "base"), create_model_card=False)
    return folder / "base"


def write_static(folder: Path, *, normalize: bool = True) -> Path:
    """Static embeddings."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    embedding = StaticEmbedding(tokenizer, embedding_weights=torch.randn(tokenizer.get_vocab_size(), 16))
    modules = [embedding, Normalize()] if normalize else [embedding]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def write_router(folder: Path, query: Path, document: Path) -> Path:
    """A static encoder of queries beside a transformer for documents, both folders of sentence-transformers."""
    routes = [list(SentenceTransformer(str(path), device="cpu")) for path in (query, document)]
    router = Router.for_query_document(routes[0], routes[1])
    model = SentenceTransformer(modules=[router], device="cpu", prompts={"query": "query: "})
    model.save(str(folder), create_model_card=False)
    return folder
