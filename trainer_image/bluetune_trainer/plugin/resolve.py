"""The plugin's last word on a plan, and the names in it, judged without torch."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bluetune_api.method import MAX_EVALS, PRESET_EVALS, SearchDimension, Settings
from bluetune_api.records import MethodPlan
from bluetune_trainer.errors import PlanInvalid, PluginFailed, in_words
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.loading import BUILT_IN, DISTANCES, load_object, load_plugin
from bluetune_trainer.plugin.method import FineTuningMethod, overridden

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """A method that can be followed."""

    plugin: FineTuningMethod
    method: MethodPlan
    """With the settings and the space that the plugin wants."""
    user_code: tuple[Any, ...]
    """The plugin, and every object that settings name by import path: what can be blamed if it raises."""


def resolve(method: MethodPlan, plugin: FineTuningMethod | None = None) -> Resolved:
    """Let the plugin change settings and space, and judge the names that come out.

    Args:
        method: as it was planned.
        plugin: the method's, if it was loaded before.

    Raises:
        PlanInvalid: a name that cannot be used; the message has the field, the value and the alternatives.
        PluginFailed: the plugin raised, or returned what it should not.
    """
    plugin = plugin or load_plugin(method.plugin)
    with blaming(method.plugin, *plugin.user_objects()):
        settings = plugin.settings(method.settings)
        space = plugin.initial_params(method.initial_params)
        evals = plugin.initial_max_evals(method.initial_max_evals)
    settings = _checked_settings(settings, method.plugin)
    _check_space(space, method.plugin)
    if evals is not None and (type(evals) is not int or not 1 <= evals <= MAX_EVALS):
        raise PluginFailed(f"{method.plugin}.initial_max_evals must be 1 to {MAX_EVALS}, it is {evals!r}")
    if method.clickstream.event_types is not None and plugin.decides_clicks():
        raise PlanInvalid(
            f"clickstream.eventTypes: the sessions' converter of {method.plugin} says which events count, and does not"
            " go by it; leave it out, or weigh the types in the converter's event_type"
        )
    if overridden(plugin, "ranker") is None:  # another one may be either
        _check_direction(settings)
    if settings.propensity is not None and settings.position_bias != "IPS":
        raise PlanInvalid(
            f"settings.propensity: positionBias {settings.position_bias or 'None'} does not use it; set positionBias:"
            " IPS, or leave it out"
        )
    if settings.parts_rank is not None and settings.long_items != "Split":
        raise PlanInvalid(
            f"settings.partsRank: longItems {settings.long_items or 'Truncate'} does not use it; set longItems: Split,"
            " or leave it out"
        )
    if settings.long_items != "Split" and overridden(plugin, "split_item") is not None:
        log.warning(
            "split_item of the plugin is not asked: settings.longItems is not Split, and long items are cut",
            extra={"plugin": method.plugin},
        )
    update = {"settings": settings, "initial_params": space, "initial_max_evals": evals or PRESET_EVALS}
    return Resolved(plugin, method.model_copy(update=update), (*plugin.user_objects(), *_named(settings)))


def _checked_settings(settings: object, plugin: str) -> Settings:
    """What the hook returned, judged as a manifest's: a copy of settings takes any field and value without a word."""
    if not isinstance(settings, Settings):
        raise PluginFailed(f"{plugin}.settings must return Settings, it returned {type(settings).__name__}")
    try:
        return Settings.model_validate(dict(vars(settings)))
    except ValidationError as error:
        raise PluginFailed(
            f"{plugin}.settings returned settings that no manifest can have: {in_words(error)}"
        ) from error


def _check_space(space: object, plugin: str) -> None:
    if space is None or (
        isinstance(space, dict) and space and all(isinstance(d, SearchDimension) for d in space.values())
    ):
        return
    found = type(space).__name__
    if isinstance(space, dict):
        odd = [
            f"{name}: {type(value).__name__}" for name, value in space.items() if not isinstance(value, SearchDimension)
        ]
        found = f"a dictionary with {', '.join(odd)}" if odd else "an empty one"
    raise PluginFailed(
        f"{plugin}.initial_params must return a search space of SearchDimension by name, or None, it returned {found}"
    )


def _named(settings: Settings) -> list[Any]:
    """Judge the names in settings, and import those that are not built in."""
    fields = [
        ("settings.loss", settings.loss, BUILT_IN["settings.loss"]),
        ("settings.ranker", settings.ranker, BUILT_IN["settings.ranker"]),
        (
            "settings.confidenceCalculator",
            settings.confidence_calculator,
            BUILT_IN["settings.confidenceCalculator"],
        ),
        *(
            (f"settings.metrics[{index}]", name, BUILT_IN["settings.metrics"])
            for index, name in enumerate(settings.metrics or ())
        ),
    ]
    return [_load(name, field, known) for field, name, known in fields if name is not None and name not in known]


def _check_direction(settings: Settings) -> None:
    """A built-in ranker taken for its opposite would train the model backwards."""
    ranker = settings.ranker or "COSINE_SIMILARITY"
    if settings.is_similarity is None or ranker not in BUILT_IN["settings.ranker"]:
        return
    if settings.is_similarity == (ranker in DISTANCES):
        kind = "a distance" if ranker in DISTANCES else "a similarity"
        raise PlanInvalid(
            f"settings.isSimilarity: {str(settings.is_similarity).lower()} contradicts settings.ranker {ranker}, which"
            f" is {kind}; leave isSimilarity out"
        )


def _load(name: str, field: str, known: Collection[str]) -> Any:
    found = load_object(name, field=field, known=known)
    if not callable(found):
        raise PlanInvalid(f"{field}: {name!r} is a {type(found).__name__}, and must be a class or a function")
    return found
