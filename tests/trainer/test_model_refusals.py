"""Models that would be changed or trained wrongly are refused, and whole ones are not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from bluetune_api.method import Settings
from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.bases import require_safetensors
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.layout import write_json
from bluetune_trainer.training.opening import open_model
from trainer.model_table import BERT, REFUSED
from trainer.tiny_models import byte_tokenizer, write_tokenizer, write_transformer

WEIGHTS = "model.safetensors"
CONFIGS: dict[str, dict[str, Any]] = {
    "bart": {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4},
    "convbert": {**BERT, "embedding_size": 32, "head_ratio": 2},
    "fnet": BERT,
    "siglip": {},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "plain"
    Encoder.load(write_transformer(folder, "bert", BERT)).save(folder.parent / "saved")
    return folder.parent / "saved"


@pytest.fixture
def base(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "base"))


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    change(content)
    write_json(path, content)


def rename_weights(folder: Path, rename: Callable[[str], str]) -> None:
    weights = {rename(name): value for name, value in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def other_names(base: Path) -> None:
    rename_weights(base, lambda name: name.replace("encoder.layer.0.", "encoder.block.0."))


def prefixed(base: Path) -> None:
    rename_weights(base, lambda name: f"inner.model.{name}")


def own_code(base: Path) -> None:
    rename_weights(base, lambda name: name.replace("encoder.layer.", "encoder.layers."))
    change_json(base / "config.json", lambda config: config.update(auto_map={"AutoModel": "mine.Mine"}))


def fewer_layers(base: Path) -> None:
    change_json(base / "config.json", lambda config: config.update(num_hidden_layers=2))


def own_module(base: Path) -> None:
    change_json(base / "modules.json", lambda modules: modules[0].update(type="mine.Transformer"))


def own_normalize(base: Path) -> None:
    change_json(base / "modules.json", lambda modules: modules.append({"path": "2", "type": "my_modules.Normalize"}))


def word_weights(base: Path) -> None:
    change_json(
        base / "modules.json",
        lambda modules: modules[1].update(type="sentence_transformers.models.WordWeights"),
    )


def dense_without_weights(base: Path) -> None:
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    change_json(base / "modules.json", lambda modules: modules.insert(2, dense))


def dense_of_own_code(base: Path) -> None:
    dense_without_weights(base)
    (base / "2_Dense").mkdir()
    write_json(
        base / "2_Dense" / "config.json", {"in_features": 32, "out_features": 8, "activation_function": "mine.F"}
    )
    save_file({"linear.weight": torch.ones(8, 32), "linear.bias": torch.ones(8)}, base / "2_Dense" / WEIGHTS)


def pickled_dense(base: Path) -> None:
    dense_of_own_code(base)
    (base / "2_Dense" / WEIGHTS).rename(base / "2_Dense" / "pytorch_model.bin")


def pickle_beside_safetensors_of_something_else(base: Path) -> None:
    (base / "onnx").mkdir()
    (base / WEIGHTS).rename(base / "onnx" / WEIGHTS)
    (base / "pytorch_model.bin").write_bytes(b"\x80\x02.")


def prompt_left_out(base: Path) -> None:
    change_json(base / "1_Pooling" / "config.json", lambda config: config.update(include_prompt=False))
    change_json(base / "config_sentence_transformers.json", lambda config: config.update(prompts={"query": "q: "}))


def own_arguments(base: Path) -> None:
    edit = {"model_args": {"dtype": "float32", "rotary_base": 10}}
    change_json(base / "sentence_bert_config.json", lambda config: config.update(edit))


def states_of_another_kind(base: Path) -> None:
    edit = {"modality_config": {"text": {"method": "get_text_features", "method_output_name": "pooler_output"}}}
    change_json(base / "sentence_bert_config.json", lambda config: config.update(edit))


def unknown_pooling(base: Path) -> None:
    write_json(base / "1_Pooling" / "config.json", {"pooling_mode": "attention"})


def sparse(base: Path) -> None:
    change_json(base / "config_sentence_transformers.json", lambda config: config.update(model_type="SparseEncoder"))


def adapter(base: Path) -> None:
    (base / "adapter_config.json").write_text("{}")


def quantized(base: Path) -> None:
    change_json(base / "config.json", lambda config: config.update(quantization_config={"quant_method": "gptq"}))


def no_padding_token(base: Path) -> None:
    change_json(base / "tokenizer_config.json", lambda config: config.pop("pad_token"))


def damaged_weights(base: Path) -> None:
    (base / WEIGHTS).write_bytes((base / WEIGHTS).read_bytes()[:1000])


def damaged_json(base: Path) -> None:
    (base / "modules.json").write_text("[{")


def needs_a_package(base: Path) -> None:
    (base / "tokenizer.json").unlink()
    (base / "sentencepiece.bpe.model").write_bytes(b"\n")
    write_json(base / "tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_names, r"needs are missing: encoder\.layer\.0\..* and 10 more.*encoder\.block\.0\..* instead"),
        (prefixed, r"needs are missing: embeddings\.LayerNorm"),
        (own_code, r"encoder\.layer\.0.*code of its own \(auto_map: AutoModel\), which is never run"),
        (fewer_layers, r"more layers than its config.json \(num_hidden_layers\) says: encoder\.layer\.2\."),
        (own_module, r"'mine.Transformer' is code that comes with the model"),
        (own_normalize, r"'my_modules.Normalize' is code"),
        (word_weights, r"'WordWeights' is not supported, only Transformer, .*use another base"),
        (dense_without_weights, r"2_Dense has no \*\.safetensors file; it has no weights"),
        (dense_of_own_code, r"activation_function 'mine.F'"),
        (pickled_dense, r"2_Dense .*its weights are a pickle \(pytorch_model.bin\)"),
        (pickle_beside_safetensors_of_something_else, r"its weights are a pickle \(pytorch_model.bin\)"),
        (prompt_left_out, r"include_prompt false is not supported with prompts.*settings.queryPrompt"),
        (own_arguments, r"model_args.rotary_base is not supported; remove it"),
        (states_of_another_kind, r"modality_config .*get_text_features.* is not supported"),
        (unknown_pooling, r"pooling 'attention' is not supported, only cls, max, mean"),
        (sparse, r"a SparseEncoder of sentence-transformers, not an embedding model"),
        (adapter, r"an adapter \(adapter_config.json\).*merge_and_unload"),
        (quantized, r"its weights are quantized"),
        (no_padding_token, r"no padding token \(pad_token\)"),
        (damaged_weights, r"its weights cannot be read"),
        (damaged_json, r"modules.json is no JSON"),
        (needs_a_package, r"XLMRobertaTokenizer needs a Python package that is not installed here: .*sentencepiece"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_model_that_is_not_what_it_says_is_refused(damage: Callable[[Path], None], said: str, base: Path) -> None:
    damage(base)
    with pytest.raises(PlanInvalid, match=said):
        open_model(base, Settings())


def head_of_another_task(base: Path) -> None:
    model = BertForMaskedLM(BertConfig(vocab_size=byte_tokenizer().get_vocab_size(), pad_token_id=1, **BERT))
    model.load_state_dict(
        {**model.state_dict(), **{f"bert.{k}": v for k, v in load_file(base / WEIGHTS).items()}}, strict=False
    )
    model.save_pretrained(base)


def saved_positions(base: Path) -> None:
    weights = {**load_file(base / WEIGHTS), "embeddings.position_ids": torch.arange(64)[None]}
    save_file(weights, base / WEIGHTS, metadata={"format": "pt"})


def no_pooler(base: Path) -> None:
    weights = {name: value for name, value in load_file(base / WEIGHTS).items() if "pooler" not in name}
    save_file(weights, base / WEIGHTS, metadata={"format": "pt"})


def shards(base: Path) -> None:
    encoder = Encoder.load(base)
    (base / WEIGHTS).unlink()
    encoder.backbone.save_pretrained(base, max_shard_size="50KB")  # type: ignore[operator]
    assert len(list(base.glob("*.safetensors"))) > 1


def new_names_of_modules(base: Path) -> None:
    path = base / "modules.json"
    path.write_text(path.read_text().replace("sentence_transformers.models.", "sentence_transformers.base.modules.x."))


@pytest.mark.parametrize("change", [head_of_another_task, saved_positions, no_pooler, shards, new_names_of_modules])
def test_a_whole_model_is_opened_however_it_was_saved(change: Callable[[Path], None], base: Path) -> None:
    expected = Encoder.load(base).encode(["a lamp", "?"])
    change(base)
    np.testing.assert_allclose(Encoder.load(base).encode(["a lamp", "?"]), expected, atol=1e-6)


@pytest.mark.parametrize("kind", REFUSED)
def test_an_architecture_that_cannot_be_trained_well_is_refused(kind: str, tmp_path: Path) -> None:
    if kind == "siglip":
        write_json(tmp_path / "config.json", {"model_type": kind, "text_config": {}, "vision_config": {}})
        write_tokenizer(tmp_path)
    else:
        write_transformer(tmp_path, kind, CONFIGS[kind])
    with pytest.raises(PlanInvalid, match=f"{kind}.*{REFUSED[kind][1]}.*use another base model"):
        open_model(tmp_path, Settings())


def test_a_pickle_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PlanInvalid, match=r"its weights are a pickle \(pytorch_model.bin\)"):
        require_safetensors(tmp_path, "hf://acme/old", ["README.md", "pytorch_model.bin"])
