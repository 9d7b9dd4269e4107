"""From names in a manifest to Python objects, with errors that name the field, the value and the alternatives."""

import difflib
import importlib
import importlib.util
from collections.abc import Collection, Mapping
from typing import Any

from bluetune_trainer.errors import PlanInvalid, plugin_failure
from bluetune_trainer.plugin.blame import blaming, made
from bluetune_trainer.plugin.hooks import check_callable, check_hooks
from bluetune_trainer.plugin.method import FineTuningMethod, TextFineTuningMethod, TextImageFineTuningMethod

PLUGINS: Mapping[str, type[FineTuningMethod]] = {
    "TextFineTuningMethod": TextFineTuningMethod,
    "TextImageFineTuningMethod": TextImageFineTuningMethod,
}

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "settings.loss": (
        "ListwiseSoftmaxLoss",
        "InfoNCELoss",
        "MultipleNegativesRankingLoss",
        "CosineProbMarginRankingLoss",
        "ProbMarginRankingLoss",
    ),
    "settings.ranker": ("COSINE_SIMILARITY", "COSINE_DISTANCE", "DOT_PRODUCT", "EUCLIDEAN_DISTANCE"),
    "settings.confidenceCalculator": ("dummy_confidences", "calculate_confidences"),
    "settings.metrics": ("not_irrelevant_dist_shift", "irrelevant_dist_shift", "DistanceShift", "LossMetric"),
}
"""Names that settings may use, by field. They are known here, so that a check needs no torch to judge them."""
DISTANCES = frozenset({"COSINE_DISTANCE", "EUCLIDEAN_DISTANCE"})
"""Built-in rankers whose ranks fall as relevance grows."""


def alternatives(value: str, known: Collection[str]) -> str:
    """`did you mean 'x'? Known are …`, for the end of a message."""
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known are {', '.join(sorted(known))}"


def load_object(path: str, *, field: str, known: Collection[str] = ()) -> Any:
    """Import `package.module:Name`.

    Args:
        path: what the manifest says.
        field: which field says it, for the message.
        known: built-in names, for the message.

    Raises:
        PlanInvalid: there is no such module or name.
        PluginFailed: the module raised while it was imported.
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        raise PlanInvalid(f"{field}: {path!r} is not built in; {alternatives(path, known)}, or package.module:Name")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise PlanInvalid(
                f"{field}: {path!r} cannot be imported, there is no module {error.name!r} here;"
                " install it into the trainer's image, or put its folder on PYTHONPATH"
            ) from error
        raise PlanInvalid(f"{field}: {path!r} cannot be imported: {error}; add what it needs to the image") from error
    except Exception as error:
        raise _import_failure(error, path, module_name, field) from error
    try:
        return getattr(module, name)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise PlanInvalid(f"{field}: {module_name!r} has no {name!r}; {alternatives(name, names)}") from None


def _import_failure(error: Exception, path: str, module_name: str, field: str) -> Exception:
    spec = importlib.util.find_spec(module_name.partition(".")[0])
    origin = (spec.origin or "") if spec else ""
    own = origin.removesuffix("__init__.py") if origin.endswith("__init__.py") else origin
    failure = plugin_failure(error, path, (own,)) if own else None
    if isinstance(error, SyntaxError):
        return PlanInvalid(f"{field}: {path!r} cannot be imported: {error}")
    return failure or PlanInvalid(f"{field}: {path!r} cannot be imported: {type(error).__name__}: {error}")


def load_plugin(name: str) -> FineTuningMethod:
    """The plugin that a method names, made.

    Raises:
        PlanInvalid: there is no such plugin, or it is none.
        PluginFailed: making it raised, or a run could not call one of its hooks.
    """
    cls = PLUGINS.get(name) or load_object(name, field="plugin", known=PLUGINS)
    if not (isinstance(cls, type) and issubclass(cls, FineTuningMethod)):
        raise PlanInvalid(f"plugin: {name!r} is not a subclass of bluetune_trainer.plugin.FineTuningMethod")
    with blaming(name, cls):
        plugin: FineTuningMethod = made(cls, name)
        check_hooks(plugin, name)
        adapted = plugin.adapted()
        check_callable(adapted, name)
        return adapted
