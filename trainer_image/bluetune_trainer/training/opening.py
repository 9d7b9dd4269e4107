"""Open a model's folder: with the plugin's own loader, or as what the folder holds."""

from pathlib import Path
from typing import Any

from bluetune_api.method import Settings
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.method import FineTuningMethod
from bluetune_trainer.training.clip import Clip
from bluetune_trainer.training.encoder import Encoder, read_json
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.two_towers import ROUTER, TwoTowers


def open_model(folder: Path, settings: Settings, plugin: FineTuningMethod | None = None) -> Model:
    """A model as a run with these settings trains it.

    Raises:
        PlanInvalid: the folder holds no model that can be trained, or the settings do not fit it.
        PluginFailed: the plugin's `load_model` returned what is no model.
    """
    own = plugin.load_model(folder, settings) if plugin is not None else None
    if own is None:
        return _by_content(folder, settings)
    if not isinstance(own, Model):
        raise PluginFailed(
            f"load_model must return a bluetune_trainer.training.model.Model or None, it returned {type(own).__name__}"
        )
    return own


def open_served(folder: Path, settings: Settings, plugin: FineTuningMethod | None = None) -> Model:
    """A version as a server of it opens it: with its own window and prompts, whatever this run trains with."""
    as_saved = settings.model_copy(
        update={"max_tokens": None, "query_prompt": None, "item_prompt": None, "towers": None}
    )
    return open_model(folder, as_saved, plugin)


def _by_content(folder: Path, settings: Settings) -> Model:
    options: dict[str, Any] = {
        "max_tokens": settings.max_tokens,
        "query_prompt": settings.query_prompt,
        "item_prompt": settings.item_prompt,
    }
    if (folder / ROUTER).is_file():
        if settings.towers == "Shared":
            raise PlanInvalid("settings.towers is Shared, but the start version has two towers; use Separate")
        return TwoTowers.load(folder, **options)
    if read_json(folder / "config.json").get("model_type") == "clip":
        if settings.towers == "Shared":
            raise PlanInvalid("settings.towers is Shared, but a CLIP model has two towers; use Separate")
        if settings.item_prompt:
            raise PlanInvalid("settings.itemPrompt: items of a CLIP model are pictures; leave it out")
        return Clip.load(folder, max_tokens=settings.max_tokens, query_prompt=settings.query_prompt)
    encoder = Encoder.load(folder, **options)
    return TwoTowers.of(encoder) if settings.towers == "Separate" else encoder
