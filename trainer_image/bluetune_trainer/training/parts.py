"""The exchangeable parts of a run: what the plugin's hooks return, or else what the settings name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bluetune_api.method import Settings
from bluetune_api.records import Trial
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.loading import DISTANCES
from bluetune_trainer.plugin.method import FineTuningMethod, overridden
from bluetune_trainer.ranking import registry
from bluetune_trainer.ranking.accumulators import MetricsAccumulator
from bluetune_trainer.ranking.confidences import ConfidenceCalculator, dummy_confidences
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.ranking.metrics import MetricCalculator
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.checked import checked_confidences, checked_ranker
from bluetune_trainer.training.model import Model, ReadFile, no_files
from bluetune_trainer.training.opening import open_model, open_served
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts_of_items import ByParts, SplitItem, split_to_fit
from bluetune_trainer.training.variants import Vary


@dataclass(frozen=True)
class Parts:
    """What a run is put together from."""

    files: ReadFile
    """Reads what an item names, below the model's prefix."""
    load: Callable[[Path], Model]
    """Opens the start version, with the run's window and prompts."""
    load_served: Callable[[Path], Model]
    """Opens a version as a server of it does."""
    new_loss: Callable[[], RankingLossInterface]
    """The loss of a trial, before it is told the trial's margin and temperature."""
    ranker: Ranker
    """Of vectors as the tables of this run give them, items in parts included."""
    split_item: SplitItem | None
    """Splits items that are longer than the window; None cuts them."""
    confidence_calculator: ConfidenceCalculator
    metrics: Sequence[MetricCalculator]
    """Beside the built-in ones."""
    accumulators: Sequence[MetricsAccumulator] = ()
    """Templates: each trial has its own ones like these."""
    item_variants: Vary | None = None
    """Makes texts that may stand for an item in training."""
    query_variants: Vary | None = None
    """The same for a query."""
    trial_finished: Callable[[Trial], None] | None = None
    """Told of each trial when its record is in the store."""
    user_code: tuple[Any, ...] = ()
    """What can be blamed if it raises: the objects themselves."""
    again: Callable[[], "Parts"] | None = None
    """Makes the same parts in another process."""

    def __reduce__(self) -> tuple[Callable[[], "Parts"], tuple[()]]:
        if self.again is None:
            raise TypeError("these parts cannot be made again in another process")
        return self.again, ()

    @property
    def weighs_clicks(self) -> bool:
        """Whether confidences are anything but 1."""
        return self.confidence_calculator is not dummy_confidences


def choose_parts(settings: Settings, plugin: FineTuningMethod | None = None, *, files: ReadFile = no_files) -> Parts:
    """Ask the plugin, then the settings. `files` reads what items name.

    Raises:
        PlanInvalid: the settings name what does not exist.
        PluginFailed: a hook returned what it should not.
    """
    method = plugin or FineTuningMethod()
    named = resolve_settings(settings)
    ranker = method.ranker(settings)
    confidence = method.confidence_calculator(settings)
    metrics = method.metrics(settings)
    accumulators = method.accumulators(settings)
    _check_accumulators(accumulators)
    _check_callable("ranker", ranker)
    _check_callable("confidence_calculator", confidence)
    if metrics is not None:
        _check_metrics(metrics)

    def new_loss() -> RankingLossInterface:
        own = method.loss(settings)
        if own is None:
            return registry.loss(named.loss)
        if not isinstance(own, RankingLossInterface):
            raise PluginFailed(f"loss must return a RankingLossInterface or None, it returned {type(own).__name__}")
        return own

    chosen = ranker or registry.ranker(named.ranker)
    _check_direction(chosen, named.is_similarity)
    if chosen not in registry.RANKERS.values():
        chosen = checked_ranker(chosen)
    weigh = confidence or registry.confidence_calculator(named.confidence_calculator)
    if weigh not in registry.CONFIDENCES.values():
        weigh = checked_confidences(weigh)
    splits = named.long_items == "Split"
    loss = new_loss()  # what is wrong with it is said before anything is computed
    return Parts(
        files=files,
        load=lambda folder: open_model(folder, settings, plugin),
        load_served=lambda folder: open_served(folder, settings, plugin),
        new_loss=new_loss,
        ranker=ByParts(chosen, named.parts_rank) if splits else chosen,
        split_item=(overridden(method, "split_item") or split_to_fit) if splits else None,
        confidence_calculator=weigh,
        metrics=list(metrics) if metrics is not None else [registry.metric(name) for name in named.metrics],
        accumulators=tuple(accumulators),
        item_variants=overridden(method, "item_variants"),
        query_variants=overridden(method, "query_variants"),
        trial_finished=overridden(method, "trial_finished"),
        again=partial(choose_parts, settings, plugin, files=files),
        user_code=tuple(
            o
            for o in (*method.user_objects(), loss, ranker, confidence, *(metrics or ()), *accumulators)
            if o is not None
        ),
    )


def _check_direction(ranker: Ranker, is_similarity: bool) -> None:
    """A built-in ranker taken for its opposite would train the model backwards, whoever chose it."""
    name = next((name for name, built_in in registry.RANKERS.items() if built_in is ranker), None)
    if name is not None and is_similarity == (name in DISTANCES):
        kind = "a distance" if name in DISTANCES else "a similarity"
        raise PlanInvalid(
            f"settings.isSimilarity: it is {str(is_similarity).lower()}, and the ranker {name} is {kind}; set it to"
            f" {str(not is_similarity).lower()}"
        )


def _check_callable(hook: str, made: Any) -> None:
    if made is not None and not callable(made):
        raise PluginFailed(f"{hook} must return a callable or None, it returned {type(made).__name__}")


def _check_metrics(made: Any) -> None:
    if not isinstance(made, Sequence) or not all(isinstance(metric, MetricCalculator) for metric in made):
        raise PluginFailed(f"metrics must return a list of MetricCalculator or None, it returned {made!r:.200}")


def _check_accumulators(made: Any) -> None:
    if not isinstance(made, Sequence) or not all(isinstance(each, MetricsAccumulator) for each in made):
        raise PluginFailed(f"accumulators must return a list of MetricsAccumulator, it returned {made!r:.200}")
