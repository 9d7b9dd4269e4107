"""Open the transformer of a folder, and its tokenizer: whole, without code of its own, and never from a pickle."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.layout import read_json
from bluetune_trainer.training.weights import check_loaded, require_safetensors_in, type_of_weights

_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Encoder-decoders of which sentence-transformers takes the encoder."""
_PACKAGES = (
    *("sentencepiece", "tiktoken", "fugashi", "unidic_lite", "unidic", "ipadic", "sudachipy", "sudachidict_core"),
    *("rhoknp", "jieba", "sacremoses", "pythainlp", "underthesea", "blobfile"),
)
"""What tokenizers need beside transformers."""
_UNKNOWN_LENGTH = 1_000_000
"""Tokenizers without a limit say 1e30."""
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "mpnet", "camembert")
"""Their first position is the padding id + 1."""


@dataclass(frozen=True)
class Backbone:
    """A transformer that is ready to encode, in float32."""

    model: nn.Module
    tokenizer: Any
    dtype: torch.dtype
    """Of the weights in the folder, and of those that are published."""


def open_backbone(folder: Path) -> Backbone:
    """Open a transformers folder.

    Raises PlanInvalid for a model that is no text encoder, is not whole, is quantized, comes as a pickle or needs code
    of its own, and for a tokenizer that cannot be opened here.
    """
    _refuse_what_is_no_encoder(folder)
    require_safetensors_in(folder)
    said = read_json(folder / "config.json")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:  # without the argument transformers would ask on a terminal whether to run the folder's code
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError as error:
        raise _unknown(folder, said) from error
    tokenizer = _tokenizer(folder)
    model = _model(folder, config, said)
    return Backbone(model, tokenizer, _dtype(folder, config))


def _refuse_what_is_no_encoder(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise PlanInvalid(
            f"{folder} is an adapter (adapter_config.json), not a model; merge it into its base with"
            " merge_and_unload(), save that and use it"
        )
    if not (folder / "config.json").is_file():
        raise PlanInvalid(f"{folder} is no model folder: config.json is missing")
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if "quantization_config" in config:
        raise PlanInvalid(f"{folder}: its weights are quantized, and such are not trained; use the original model")
    if other := sorted(key for key in ("vision_config", "audio_config") if key in config):
        raise PlanInvalid(
            f"{folder}: a model of the type {kind!r} reads more than texts ({', '.join(other)}); of these only clip is"
            " supported, so use another base model"
        )
    if config.get("is_encoder_decoder") and kind not in _ENCODERS:
        raise PlanInvalid(
            f"{folder}: a model of the type {kind!r} is an encoder-decoder; of these only {', '.join(_ENCODERS)} are"
            " supported (their encoder), so use another base model"
        )


def _unknown(folder: Path, config: dict[str, Any]) -> PlanInvalid:
    return PlanInvalid(
        f"{folder}: transformers has no model or tokenizer of the type {config.get('model_type')!r}, and code that"
        " comes with a model is never run; use another base model"
    )


def _model(folder: Path, config: Any, said: dict[str, Any]) -> nn.Module:
    encoder = _ENCODERS.get(config.model_type)
    opener = getattr(transformers, encoder) if encoder else AutoModel
    try:
        model, found = opener.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: shapes that do not fit
        raise PlanInvalid(
            f"{folder}: its weights cannot be read ({error!s:.300}); fetch or save the model again"
        ) from error
    except ValueError as error:
        raise _unknown(folder, said) from error
    check_loaded(folder, model, found, said)
    opened: nn.Module = model
    return opened


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, ImportError, OSError) as error:
        kind = read_json(folder / "tokenizer_config.json").get("tokenizer_class") or "tokenizer"
        if packages := _missing_packages(folder, str(error)):
            raise PlanInvalid(
                f"{folder}: its {kind} needs a Python package that is not installed here: {' or '.join(packages)}."
                " Save the tokenizer where it is installed, with tokenizer.save_pretrained, so that the folder has a"
                " tokenizer.json; or add the package to the trainer's image"
            ) from error
        raise PlanInvalid(
            f"{folder}: its {kind} cannot be opened ({error!s:.300}); code that comes with a model is never run."
            " Save the tokenizer again, or use another base model"
        ) from error
    if tokenizer.pad_token_id is None:
        raise PlanInvalid(
            f"{folder}: its tokenizer has no padding token (pad_token), so neither sentence-transformers nor the"
            " trainer can put texts into a batch; set tokenizer.pad_token, save it and use that"
        )
    return tokenizer


def _missing_packages(folder: Path, error: str) -> list[str]:
    """Of those that an error speaks of, or the folder's files ask for, what is not installed."""
    words = set(re.findall(r"[a-z_]+", error.lower()))
    if any(folder.glob("*.model")):
        words = {"sentencepiece"}
    return [name for name in _PACKAGES if name in words and importlib.util.find_spec(name) is None]


def _dtype(folder: Path, config: Any) -> torch.dtype:
    """What sentence-transformers opens the folder in: what config.json says, or else the weights' own."""
    said = getattr(config, "dtype", None)
    if isinstance(said, str):
        said = getattr(torch, said)
    if isinstance(said, torch.dtype):
        return said
    return type_of_weights(folder)


def window(wanted: int | None, saved: int | None, tokenizer: Any, config: Any) -> int:
    """Tokens of the longest text: `wanted`, or what the folder saved, or what tokenizer and positions allow.

    Raises PlanInvalid for a `wanted` that is beyond these.
    """
    positions = getattr(config, "max_position_embeddings", None) or _UNKNOWN_LENGTH
    if positions < 0:  # XLNet says -1
        positions = _UNKNOWN_LENGTH
    if getattr(config, "model_type", "") in _POSITIONS_AFTER_PADDING:
        positions -= 2
    of_tokenizer = min(tokenizer.model_max_length, _UNKNOWN_LENGTH)
    limit = min(positions, max(of_tokenizer, saved or 0))  # sentence-transformers sets the tokenizer's to the saved
    if wanted is not None:
        if wanted > limit:
            raise PlanInvalid(
                f"settings.maxTokens is {wanted}, but the model's window has {limit} tokens; set at most that"
            )
        return wanted
    return min(saved, positions) if saved else min(limit, 512) if limit == _UNKNOWN_LENGTH else limit
