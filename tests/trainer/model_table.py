"""The models that are supported, and how: what the tests build tiny ones of, and docs/models.md is written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Attention = Literal["packed", "padded", "own"]
"""Texts one after the other; texts padded, with attention of the trainer's; padded, with that of the model."""

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
BERT = {**SIZES, "max_position_embeddings": 64}
ROBERTA = {**SIZES, "max_position_embeddings": 66}
DECODER = {**BERT, "num_key_value_heads": 2, "head_dim": 8}


@dataclass(frozen=True)
class Family:
    """One line of the table: an architecture, as some models of it are published."""

    type: str
    """What transformers calls it (`model_type`)."""
    models: str
    """Models of it that people use."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of a tiny one."""
    attention: Attention = "padded"
    """How texts are computed on a processor."""
    cut: bool = True
    """Whether what frozen layers compute is remembered; else they are computed in each step, without a gradient."""
    fixed: bool = True
    """Whether layers can be frozen at all."""
    pooling: str | tuple[str, ...] = "mean"
    head: tuple[str, ...] = ("Normalize",)
    """Modules after the pooling."""
    similarity: str = "cosine"
    padding_side: Literal["left", "right"] = "right"
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """For the test's name."""
        pooling = self.pooling if isinstance(self.pooling, str) else "+".join(self.pooling)
        return "-".join([self.type, pooling, *self.head, self.similarity])


E5 = {"query": "query: ", "passage": "passage: "}

FAMILIES: tuple[Family, ...] = (
    Family("bert", "all-MiniLM, bge (en), gte (v1), e5 (en), mxbai, multi-qa-MiniLM", BERT, "packed"),
    Family("bert", "bge, mxbai, snowflake-arctic-embed", BERT, "packed", pooling="cls"),
    Family("bert", "LaBSE", BERT, "packed", pooling="cls", head=("Dense", "Normalize")),
    Family("bert", "multi-qa-MiniLM-L6-dot, msmarco-bert-base-dot", BERT, "packed", head=(), similarity="dot"),
    Family("distilbert", "multi-qa-distilbert, msmarco-distilbert", {**BERT, "hidden_dim": 48}, "packed"),
    Family(
        "distilbert",
        "TAS-B, msmarco-distilbert-dot",
        {**BERT, "hidden_dim": 48},
        "packed",
        pooling="cls",
        head=(),
        similarity="dot",
    ),
    Family("distilbert", "distiluse", {**BERT, "hidden_dim": 48}, "packed", head=("Dense",)),
    Family("roberta", "all-roberta, all-distilroberta", ROBERTA, "packed"),
    Family("xlm-roberta", "multilingual-e5", ROBERTA, "packed", prompts=E5),
    Family("xlm-roberta", "bge-m3 (dense), snowflake-arctic-embed-l-v2.0", ROBERTA, "packed", pooling="cls"),
    Family("xlm-roberta", "paraphrase-multilingual", ROBERTA, "packed", head=()),
    Family("camembert", "sentence-camembert", ROBERTA, "packed", head=()),
    Family("mpnet", "all-mpnet-base-v2, paraphrase-mpnet", ROBERTA, "own"),
    Family("mpnet", "multi-qa-mpnet-base-dot", ROBERTA, "own", pooling="cls", head=(), similarity="dot"),
    Family("deberta", "deberta", {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    Family(
        "deberta-v2",
        "deberta-v3",
        {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    ),
    Family("albert", "paraphrase-albert", {**BERT, "embedding_size": 16}, fixed=False, head=()),
    Family("electra", "electra", {**BERT, "embedding_size": 16}, "packed"),
    Family(
        "modernbert",
        "gte-modernbert, modernbert-embed, granite-embedding-r2",
        {**BERT, "local_attention": 16, "global_attn_every_n_layers": 2},
        pooling="cls",
        prompts={"query": "search_query: ", "document": "search_document: "},
    ),
    Family("nomic_bert", "nomic-embed-text-v1.5", {**BERT, "head_dim": 8}, head=("LayerNorm", "Normalize")),
    Family("gte", "gte-multilingual as transformers has it (alibaba-nlp-community)", BERT, pooling="cls"),
    Family("eurobert", "EuroBERT", {**DECODER, "num_key_value_heads": 4}),
    Family(
        "gemma3_text",
        "EmbeddingGemma",
        {**DECODER, "use_bidirectional_attention": True, "sliding_window": 8},
        head=("Dense", "Dense", "Normalize"),
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
    ),
    Family(
        "qwen3",
        "Qwen3-Embedding",
        DECODER,
        pooling="lasttoken",
        padding_side="left",
        prompts={"query": "Instruct: find what answers the query\nQuery:", "document": ""},
    ),
    Family("mistral", "e5-mistral", DECODER, pooling="lasttoken"),
    Family("gpt2", "SGPT", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}, pooling="weightedmean"),
    Family(
        "t5",
        "sentence-t5, gtr-t5",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4},
        cut=False,
        head=("Dense", "Normalize"),
    ),
    Family("rembert", "rembert", {**BERT, "input_embedding_size": 16, "output_embedding_size": 16}, "own"),
    Family("roformer", "roformer", {**BERT, "embedding_size": 32}, "own"),
    Family("megatron-bert", "megatron-bert", BERT, "own"),
    Family("ernie", "ernie", BERT),
    Family("bert", "several poolings at once", BERT, "packed", pooling=("max", "mean_sqrt_len_tokens", "lasttoken")),
)

REFUSED: Mapping[str, tuple[str, str]] = {
    "bart": ("encoder-decoders other than T5, mT5 and UMT5", "encoder-decoder"),
    "siglip": ("models of pictures or sound other than CLIP", "reads more than texts"),
    "convbert": ("models that do not keep padding apart from a text", "when others are in its batch"),
    "fnet": ("the same", "when others are in its batch"),
}
"""By `model_type`: what it stands for in the documentation, and words of the message."""

OTHERS: Mapping[str, str] = {
    "static embeddings": "potion and other Model2Vec models, static-retrieval-mrl: `StaticEmbedding`, also in"
    " Model2Vec's own layout. It has no layers to freeze and no window.",
    "Router": "a model with the routes `query` and `document`, each an encoder of texts with weights of its own.",
    "CLIP": "queries are texts, items are pictures: a transformers folder, or sentence-transformers' `Transformer` or"
    " `CLIPModel` (clip-ViT-B-32).",
}
"""Models that are not a transformer of texts and its pooling."""
