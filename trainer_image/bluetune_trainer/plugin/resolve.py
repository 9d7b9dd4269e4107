"""The plugin's last word on a plan, and everything of a plan that can be judged without training."""

import inspect
from collections.abc import Collection
from typing import Any

from bluetune_api.method import Settings
from bluetune_api.records import MethodPlan

from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.loading import BUILT_IN, load_object, load_plugin
from bluetune_trainer.plugin.method import FineTuningMethod
from bluetune_trainer.plugin.parameters import check_search_space


def resolve(method: MethodPlan) -> tuple[FineTuningMethod, MethodPlan]:
    """Load the plugin, let it change settings and space, and judge what comes out.

    Raises:
        PlanInvalid: a name or value that cannot be used; the message has the field, the value and the alternatives.
        PluginFailed: the plugin returned what it should not.
    """
    plugin = load_plugin(method.plugin)
    settings = plugin.settings(method.settings)
    if not isinstance(settings, Settings):
        raise PluginFailed(f"{method.plugin}.settings must return Settings, it returned {type(settings).__name__}")
    space = plugin.initial_params(method.initial_params)
    if space is not None and not isinstance(space, dict):
        raise PluginFailed(f"{method.plugin}.initial_params must return a search space or None")
    resolved = method.model_copy(update={"settings": settings, "initial_params": space})
    check_search_space(space or {})
    check_names(settings)
    return plugin, resolved


def check_names(settings: Settings) -> None:
    """Judge the names in settings; those of the user's own code are imported to see that they exist."""
    _check(settings.loss, "settings.loss", BUILT_IN["settings.loss"])
    _check(settings.ranker, "settings.ranker", BUILT_IN["settings.ranker"])
    _check(
        settings.confidence_calculator, "settings.confidenceCalculator", BUILT_IN["settings.confidenceCalculator"]
    )
    for index, name in enumerate(settings.metrics or ()):
        _check(name, f"settings.metrics[{index}]", ())


def _check(name: str | None, field: str, known: Collection[str]) -> None:
    if name is None or name in known:
        return
    found: Any = load_object(name, field=field, known=known)
    if not callable(found):
        raise PlanInvalid(f"{field}: {name!r} is a {type(found).__name__}, and must be a class or a function")


def user_code(plugin: FineTuningMethod, settings: Settings) -> list[Any]:
    """All objects of the run that are the user's: what can be blamed if it raises."""
    named = [settings.loss, settings.ranker, settings.confidence_calculator, *(settings.metrics or ())]
    loaded = [load_object(name, field="settings") for name in named if name and ":" in name]
    return [plugin, *(o for o in loaded if inspect.isclass(o) or inspect.isroutine(o))]
