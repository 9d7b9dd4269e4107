"""A running trial as one file: safetensors for what is a tensor, JSON in its header for the rest, and no pickle.

Lightning decides what belongs into a checkpoint (weights, optimizer, scheduler, loops, callbacks) and asks a
`CheckpointIO` to write it; its own one is `torch.save`, which pickles.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

log = logging.getLogger(__name__)

FORMAT = f"bluetune-trial-1 lightning-{version('pytorch-lightning')} torch-{torch.__version__}"
"""A checkpoint of other versions is not gone on with: nobody says that their loops and optimizers count alike."""
MARK = "$"
"""Key of a dictionary that stands for something that JSON has no word for."""


@dataclass(frozen=True)
class TrialCheckpoint:
    """Where a running trial is kept."""

    path: Path
    """The file. If it is there, the trial goes on from it."""
    keep: Callable[[], None]
    """Called when the file was written: makes it outlive this process."""
    seconds: float
    """Minimum time between two checkpoints that nothing but the time asks for; 0: after each step that can be left."""


class SafetensorsIO(CheckpointIO):
    """Writes whole files or none."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object = None
    ) -> None:
        tensors: dict[str, Tensor] = {}
        state = pack(checkpoint, tensors)
        temporary = Path(path).with_suffix(".part")
        save_file(tensors, temporary, {"format": FORMAT, "state": json.dumps(state)})
        temporary.replace(path)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: object = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            loaded: dict[str, Any] = unpack(state, file.get_tensor)
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        Path(path).unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any] | None:
    """A checkpoint, or None if there is none that this trainer can go on with; what cannot be used is removed."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("format")
        if found == FORMAT:
            return SafetensorsIO().load_checkpoint(path)
        log.warning("the checkpoint is of another version; the trial begins anew", extra={"format": str(found)})
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        log.warning("the checkpoint cannot be read; the trial begins anew", extra={"error": str(error)})
    path.unlink()
    return None


def pack(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """A nested state as JSON; its tensors go into `tensors` and leave their names.

    Raises:
        TypeError: there is something in it that is neither a tensor nor plain data.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {MARK: "tensor", "name": name}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key != MARK for key in value):
            return {key: pack(inner, tensors, f"{name}/{key}") for key, inner in value.items()}
        items = [[pack(key, tensors), pack(inner, tensors, f"{name}/{key}")] for key, inner in value.items()]
        return {MARK: "items", "items": items}
    if isinstance(value, list | tuple):
        items = [pack(inner, tensors, f"{name}/{i}") for i, inner in enumerate(value)]
        return items if isinstance(value, list) else {MARK: "tuple", "items": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain data, and {name} is a {type(value).__name__}")


def unpack(value: Any, tensor: Callable[[str], Tensor]) -> Any:
    """What `pack` was given; `tensor` gives a tensor by its name."""
    if isinstance(value, list):
        return [unpack(inner, tensor) for inner in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(MARK)
    if kind == "tensor":
        return tensor(value["name"])
    if kind == "tuple":
        return tuple(unpack(inner, tensor) for inner in value["items"])
    if kind == "items":
        return {unpack(key, tensor): unpack(inner, tensor) for key, inner in value["items"]}
    return {key: unpack(inner, tensor) for key, inner in value.items()}
