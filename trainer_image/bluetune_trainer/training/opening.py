"""Open a model's folder: with the plugin's own loader, or as what the folder holds."""

from pathlib import Path

from bluetune_api.method import Settings
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.method import FineTuningMethod
from bluetune_trainer.training.clip import Clip, is_clip
from bluetune_trainer.training.layout import read_modules, read_prompts, read_similarity
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.texts import open_text
from bluetune_trainer.training.two_towers import TwoTowers, is_router


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
    if is_router(folder):
        if settings.towers == "Shared":
            raise PlanInvalid("settings.towers is Shared, but the start version has two towers; use Separate")
        return TwoTowers.load(
            folder,
            max_tokens=settings.max_tokens,
            query_prompt=settings.query_prompt,
            item_prompt=settings.item_prompt,
        )
    if is_clip(folder):
        if settings.towers == "Shared":
            raise PlanInvalid("settings.towers is Shared, but a CLIP model has two towers; use Separate")
        if settings.item_prompt:
            raise PlanInvalid("settings.itemPrompt: items of a CLIP model are pictures; leave it out")
        return Clip.load(folder, max_tokens=settings.max_tokens, query_prompt=settings.query_prompt)
    prompts = read_prompts(folder).replaced(settings.query_prompt, settings.item_prompt)
    encoder = open_text(read_modules(folder), prompts, read_similarity(folder), max_tokens=settings.max_tokens)
    return TwoTowers.of(encoder) if settings.towers == "Separate" else encoder
