"""What follows the pooling: Dense, LayerNorm and Normalize modules, as a sentence-transformers folder holds them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.layout import ModuleRef, read_json, write_json
from bluetune_trainer.training.weights import type_of_weights

_VECTORS = "sentence_embedding"
_ACTIVATIONS = ("torch.nn.modules.activation.", "torch.nn.modules.linear.Identity", "torch.nn.Identity")


class Normalize(nn.Module):
    """To unit length."""

    def forward(self, vectors: Tensor) -> Tensor:
        """[n, any] → the same shape."""
        return nn.functional.normalize(vectors, dim=-1)

    def write(self, folder: Path) -> None:
        """Nothing but the folder."""
        write_json(folder / "config.json", {})


class Dense(nn.Module):
    """A linear layer and an activation."""

    def __init__(self, linear: nn.Linear, activation: nn.Module, activation_name: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation
        self.activation_name = activation_name
        self.dtype = dtype
        """Type of the weights in the folder."""

    @classmethod
    def read(cls, folder: Path) -> "Dense":
        """Raises PlanInvalid for what it does beyond that, and for weights that do not fit."""
        dtype = type_of_weights(folder)
        config = read_json(folder / "config.json")
        _only_vectors(folder, config)
        if config.get("use_residual"):
            raise PlanInvalid(f"{folder}: a Dense module with use_residual is not supported; use another base model")
        name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
        kind = getattr(nn, name.rsplit(".", 1)[-1], None) if name.startswith(_ACTIVATIONS) else None
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise PlanInvalid(
                f"{folder}: the Dense module's activation_function {name!r} is not in torch.nn; use another base model"
            )
        linear = nn.Linear(int(config["in_features"]), int(config["out_features"]), bias=bool(config.get("bias", True)))
        dense = cls(linear, kind(), name, dtype)
        _load(dense, folder)
        return dense

    def forward(self, vectors: Tensor) -> Tensor:
        """[n, in] → [n, out] in float32."""
        found: Tensor = self.activation(self.linear(vectors)).float()
        return found

    def write(self, folder: Path) -> None:
        """Configuration and weights, in the type that they were read in."""
        content = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": self.activation_name,
        }
        write_json(folder / "config.json", content)
        _save(self, folder, self.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation of the vector."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dtype = dtype

    @classmethod
    def read(cls, folder: Path) -> "LayerNorm":
        """Raises PlanInvalid for weights that do not fit."""
        dtype = type_of_weights(folder)
        norm = cls(int(read_json(folder / "config.json")["dimension"]), dtype)
        _load(norm, folder)
        return norm

    def forward(self, vectors: Tensor) -> Tensor:
        """[n, width] → the same shape."""
        found: Tensor = self.norm(vectors)
        return found

    def write(self, folder: Path) -> None:
        """Configuration and weights."""
        write_json(folder / "config.json", {"dimension": self.norm.normalized_shape[0]})
        _save(self, folder, self.dtype)


class Head(nn.Sequential):
    """The modules in their order; none leaves the pooled vector as it is."""

    @classmethod
    def read(cls, modules: Sequence[ModuleRef]) -> "Head":
        """Raises PlanInvalid for a module that is none of these, or does what is not supported."""
        return cls(*(_read(module) for module in modules))

    @property
    def unit(self) -> bool:
        """Whether it ends with unit vectors."""
        return bool(len(self)) and isinstance(self[-1], Normalize)

    def dimension(self, pooled: int) -> int:
        """Dimension of the vectors that it gives for pooled ones of this length."""
        widths = [int(module.linear.out_features) for module in self if isinstance(module, Dense)]
        return widths[-1] if widths else pooled

    def write(self, folder: Path, first: int) -> list[tuple[str, str]]:
        """Write each module to a folder of its own, numbered from `first`; their (kind, path)."""
        written = []
        for number, module in enumerate(self, first):
            path = f"{number}_{type(module).__name__}"
            (folder / path).mkdir(parents=True, exist_ok=True)
            module.write(folder / path)  # type: ignore[operator]
            written.append((type(module).__name__, path))
        return written


def _read(module: ModuleRef) -> nn.Module:
    if module.kind == "Normalize":
        _only_vectors(module.folder, read_json(module.folder / "config.json"))
        return Normalize()
    if module.kind == "Dense":
        return Dense.read(module.folder)
    if module.kind == "LayerNorm":
        return LayerNorm.read(module.folder)
    raise PlanInvalid(
        f"{module.folder.parent}: a {module.kind} module after the pooling is not supported; use another base model"
    )


def _only_vectors(folder: Path, config: dict[str, Any]) -> None:
    for key in ("module_input_name", "module_output_name"):
        if (config.get(key) or _VECTORS) != _VECTORS:
            raise PlanInvalid(f"{folder}: {key} {config[key]!r} is not supported; use another base model")


def _load(module: nn.Module, folder: Path) -> None:
    try:
        module.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise PlanInvalid(
            f"{folder}: its weights do not fit its config.json ({error}); save the model again"
        ) from error


def _save(module: nn.Module, folder: Path, dtype: torch.dtype) -> None:
    state = {name: value.detach().cpu().to(dtype).contiguous() for name, value in module.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
