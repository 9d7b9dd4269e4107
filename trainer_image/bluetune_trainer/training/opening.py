"""Open a model's folder: with the plugin's own loader, or as what the folder holds."""

from pathlib import Path

from bluetune_api.method import Settings
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.method import FineTuningMethod
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.model import Model


def open_model(folder: Path, settings: Settings, plugin: FineTuningMethod | None = None) -> Model:
    """A model as a run with these settings trains it.

    Raises:
        PlanInvalid: the folder holds no model that can be trained, or the settings do not fit it.
        PluginFailed: the plugin's `load_model` returned what is no model.
    """
    own = plugin.load_model(folder, settings) if plugin is not None else None
    if own is None:
        return Encoder.load(
            folder,
            max_tokens=settings.max_tokens,
            query_prompt=settings.query_prompt,
            item_prompt=settings.item_prompt,
        )
    if not isinstance(own, Model):
        raise PluginFailed(
            f"load_model must return a bluetune_trainer.training.model.Model or None, it returned {type(own).__name__}"
        )
    return own


def open_served(folder: Path, settings: Settings, plugin: FineTuningMethod | None = None) -> Model:
    """A version as a server of it opens it: with its own window and prompts, whatever this run trains with."""
    as_saved = settings.model_copy(update={"max_tokens": None, "query_prompt": None, "item_prompt": None})
    return open_model(folder, as_saved, plugin)
