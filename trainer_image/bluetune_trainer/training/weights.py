"""Weights of a model's folder: safetensors alone, and every one that the architecture asks for."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.store.versions import without_safetensors

_POOLER = re.compile(r"(^|\.)pooler\.")
"""No vector depends on it: sentence-transformers pools by itself, and many checkpoints come without."""
_SHOWN = 6
_HALF = {"F16": torch.float16, "BF16": torch.bfloat16}


def require_safetensors_in(folder: Path) -> None:
    """Raise PlanInvalid where a module's own folder has no safetensors: a pickle is never opened."""
    if any(folder.glob("*.safetensors")):
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    raise without_safetensors(str(folder), names)


def type_of_weights(folder: Path) -> torch.dtype:
    """Type of the first tensor in a module's folder; anything but the half types is float32 here.

    Raises PlanInvalid as `require_safetensors_in` does.
    """
    require_safetensors_in(folder)
    with safe_open(min(folder.glob("*.safetensors")), framework="pt") as opened:
        name = min(opened.keys())
        return _HALF.get(opened.get_slice(name).get_dtype(), torch.float32)


def check_loaded(folder: Path, model: Any, found: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise PlanInvalid for weights that the architecture has and the folder has not, or the other way round.

    Args:
        folder: for the message.
        model: as transformers opened it; what it did not find is random.
        found: transformers' `output_loading_info`.
        config: the folder's config.json.
    """
    missing = sorted(key for key in found["missing_keys"] if not _POOLER.search(key))
    unexpected = sorted(found["unexpected_keys"])
    if missing:
        code = config.get("auto_map")
        why = (
            f" The model comes with code of its own (auto_map: {', '.join(sorted(code))}), which is never run."
            if isinstance(code, dict)
            else ""
        )
        others = f" The folder has {_some(unexpected)} instead." if unexpected else ""
        raise PlanInvalid(
            f"{folder}: weights that a {type(model).__name__} needs are missing: {_some(missing)}. They would be"
            f" random numbers.{others}{why} Save the model again with model.save_pretrained, or use another base model"
        )
    more = _of_other_layers(unexpected, model.state_dict())
    if more:
        raise PlanInvalid(
            f"{folder}: the folder has weights of more layers than its config.json (num_hidden_layers) says:"
            f" {_some(more)} would not be used. Correct config.json, or save the model again with"
            " model.save_pretrained"
        )


def _of_other_layers(unexpected: Iterable[str], known: Collection[str]) -> list[str]:
    """Keys that differ from one that the model has by their numbers only; heads of other tasks do not."""
    shapes = {re.sub(r"\d+", "#", key) for key in known}
    prefixes = ("", *{key.split(".")[0] + "." for key in unexpected})
    found = []
    for key in unexpected:
        bare = {key.removeprefix(prefix) for prefix in prefixes if key.startswith(prefix)}
        if any("#" in shape and shape in shapes for shape in (re.sub(r"\d+", "#", name) for name in bare)):
            found.append(key)
    return found


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
