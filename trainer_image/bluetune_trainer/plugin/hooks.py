"""A plugin's hooks, judged when it is loaded: nothing that its author defined is passed over without a word."""

import difflib
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.blame import OURS, line
from bluetune_trainer.plugin.method import FineTuningMethod, PluginMeta, own_of_class

log = logging.getLogger(__name__)

SIMILAR = 0.85
"""Likeness, from 0 to 1, of a method's name to a hook's from which on it may be a slip."""
HOOKS = tuple(name for name in vars(FineTuningMethod) if not name.startswith("_") and name != "meta")
"""What a run may call."""
MACHINERY = ("waits_for_data", "decides_clicks", "never_called", "adapted", "user_objects", "idle")
"""Methods that stand between plugins of two kinds, and that no author of a plugin writes."""


def check_hooks(plugin: FineTuningMethod, name: str) -> None:
    """Judge what a plugin defines, and say of what looks like a hook that it is none.

    Args:
        plugin: as its author wrote it.
        name: what the method calls it, for messages.

    Raises:
        PluginFailed: it does not define what every plugin must, or a hook cannot be called as a run calls it.
    """
    if not isinstance(plugin.meta, PluginMeta):
        raise PluginFailed(f"{name}: meta must be a PluginMeta, it is {type(plugin.meta).__name__}")
    if own_of_class(plugin, "item_text", FineTuningMethod) is None and not callable(vars(plugin).get("item_text")):
        raise PluginFailed(
            f"{name} does not define item_text(item, items), the text that stands for an item; define it, or subclass"
            " TextFineTuningMethod, which joins the text fields"
        )
    for hook in HOOKS:
        if (own := own_of_class(plugin, hook, FineTuningMethod)) is not None:
            _check_arguments(own, hook, name)
    for method, hook in near_misses(plugin):
        log.warning(
            "a method of the plugin is not called: its name is no hook's",
            extra={"plugin": name, "method": method, "didYouMean": hook},
        )
    if uncalled := [method for method in plugin.never_called() if _is_the_users(getattr(plugin, method))]:
        log.info("methods of the plugin that a run does not call", extra={"plugin": name, "methods": uncalled})


def check_callable(plugin: FineTuningMethod, name: str) -> None:
    """Raises PluginFailed if an attribute of the plugin, as a run calls it, lies before a hook of its name."""
    for hook in HOOKS:
        found = getattr(plugin, hook)
        if not callable(found):
            raise PluginFailed(
                f"{name}: the attribute {hook} is a {type(found).__name__}, and {hook} is a hook: give the attribute"
                " another name, or define the method"
            )


def near_misses(plugin: FineTuningMethod) -> Iterator[tuple[str, str]]:
    """Methods of the user's whose names are all but a hook's, with the hook's name."""
    known = dir(FineTuningMethod)
    hooks = [hook for hook in HOOKS if hook not in MACHINERY]
    for method in dir(type(plugin)):
        if method.startswith("_") or method in known or not _is_the_users(getattr(type(plugin), method)):
            continue
        close = difflib.get_close_matches(method, hooks, n=1, cutoff=SIMILAR)
        if close and not any(method == name for name in plugin.never_called()):
            yield method, close[0]


def _is_the_users(function: Any) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return code is not None and not code.co_filename.startswith(OURS)


def _check_arguments(own: Callable[..., Any], hook: str, name: str) -> None:
    expected = list(inspect.signature(getattr(FineTuningMethod, hook)).parameters)[1:]
    try:
        inspect.signature(own).bind(*expected)
    except TypeError as error:
        raise PluginFailed(f"{name}: {hook} is called with ({', '.join(expected)}): {error}{line(own)}") from error
    except ValueError:
        return  # a compiled function does not say what it takes
