"""A plugin with a FineTuningBuilder as the hooks that a run calls."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bluetune_api.method import Items, SearchDimension, SearchSpace, Settings
from bluetune_api.records import Trial
from bluetune_trainer.compat.building import PARTS, READING, built, check_what_was_read, part_of
from bluetune_trainer.compat.called_as_before import confidences_of, metric_of, ranker_of
from bluetune_trainer.compat.convert import ClickstreamSessionConverter, is_plain
from bluetune_trainer.compat.experiments import ExperimentsManager
from bluetune_trainer.compat.items import (
    DataLoader,
    DownloadedItem,
    ItemMeta,
    ItemSetManager,
    TextDataLoader,
    TextItemSetManager,
)
from bluetune_trainer.compat.method import FineTuningBuilder, FineTuningMethod
from bluetune_trainer.compat.params import as_choices, defaults_of_embedding_studio
from bluetune_trainer.compat.queries import TextQueryRetriever
from bluetune_trainer.compat.reading import as_logged, as_record, asked, converted, retrieved, weighed
from bluetune_trainer.compat.sessions import Clickstream, ClickstreamNotRead
from bluetune_trainer.compat.settings import FineTuningSettings
from bluetune_trainer.compat.sides import split_as
from bluetune_trainer.compat.train_test import TrainTestSplitter
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin import method as hooks
from bluetune_trainer.plugin.blame import line
from bluetune_trainer.plugin.method import own_of_class
from bluetune_trainer.ranking.accumulators import MetricsAccumulator
from bluetune_trainer.ranking.confidences import ConfidenceCalculator
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.ranking.metrics import MetricCalculator
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.parameters import check_search_space

REPLACED = (
    *("load_model", "initial_model", "split", "split_item", "item_variants", "query_variants", "trial_finished"),
    *("loss", "ranker", "confidence_calculator", "metrics", "accumulators"),
)
"""Hooks of the plugin's own that stand in the place of the builder's part."""
WRAPPED = ("item_text", "session", "query", "data_read", "settings", "initial_params", "initial_max_evals")
"""Hooks of the plugin's own that are asked beside the builder's parts, and have the last word."""

_STOCK = ClickstreamSessionConverter(item_type=ItemMeta)


class BuilderMethod(hooks.TextFineTuningMethod):
    """The hooks, by a plugin's builder.

    The builder is asked for when the plan is judged, with a clickstream that is not read yet. A plugin that looks into
    it is asked again when the sessions are there, and until then the parts that it keeps as attributes are used.
    """

    def __init__(self, plugin: FineTuningMethod) -> None:
        self.plugin = plugin
        self.meta = plugin.meta  # type: ignore[misc]
        self._clickstream = Clickstream()
        self._builder: FineTuningBuilder | None = None
        self._own = {name: own for name in WRAPPED if (own := own_of_class(plugin, name, hooks.TextFineTuningMethod))}
        for name in REPLACED:
            if own := own_of_class(plugin, name, hooks.TextFineTuningMethod):
                setattr(self, name, own)
        self._waits = False
        try:
            self._builder = built(plugin, self._clickstream)
        except ClickstreamNotRead:
            self._waits = True

    def user_objects(self) -> tuple[Any, ...]:
        """The plugin and its parts: whose code is to blame for what it raises."""
        parts = vars(self._builder).values() if self._builder else vars(self.plugin).values()
        known = [part for part in parts if isinstance(part, tuple(PARTS.values())) or hasattr(part, "split")]
        of_parts = [used for part in known for used in getattr(part, "__dict__", {}).values() if used is not None]
        settings = [part for part in known if isinstance(part, FineTuningSettings)]
        calculators = [c for s in settings for c in (s.metric_calculators or ())]
        return (*self.plugin.user_objects(), *known, *of_parts, *calculators)

    def waits_for_data(self) -> bool:
        """Whether the plugin looked into the clickstream to make its builder."""
        return self._waits or self.plugin.waits_for_data()

    def decides_clicks(self) -> bool:
        """Whether the plugin's own converter says which events count."""
        return not is_plain(self._part("clickstream_sessions_converter") or _STOCK)

    def idle(self, hook: str) -> bool:
        """Whether a hook would change nothing."""
        if hook in self._own or hook in vars(self):
            return self.plugin.idle(hook)
        if hook == "initial_model":
            return type(self.plugin).upload_initial_model is FineTuningMethod.upload_initial_model
        if hook == "query":
            return True  # `session` retrieves it, as the converter may change what is asked
        manager: ItemSetManager | None = self._part("items_set_manager")
        if hook == "split_item":
            return manager is None or not manager.splits
        if hook == "item_variants":
            return manager is None or not manager.varies
        if hook == "query_variants":
            splitter = self._part("clickstream_sessions_splitter")
            own = isinstance(splitter, TrainTestSplitter) and splitter.varies
            return not own
        tracker: ExperimentsManager | None = self._part("experiments_manager")
        return hook == "trial_finished" and tracker is not None and not tracker.tracks

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """What the loader and the items set manager make of the item; the text fields by the loader of texts."""
        if own := self._own.get("item_text"):
            text: str | None = own(item, items)
            return text
        loader: DataLoader = self._part("data_loader") or TextDataLoader()
        manager: ItemSetManager | None = self._part("items_set_manager")
        converter: ClickstreamSessionConverter = self._part("clickstream_sessions_converter") or _STOCK
        stock_meta = (
            converter.item_type is ItemMeta and type(converter).item_meta is ClickstreamSessionConverter.item_meta
        )
        if type(loader) is TextDataLoader and stock_meta and (manager is None or type(manager) is TextItemSetManager):
            return super().item_text(item, items)
        fields = dict(item)
        meta = converter.item_meta(str(fields.pop(items.id_field)), fields)
        if type(loader) is TextDataLoader:
            known = meta if isinstance(meta, Mapping) else dict(meta) if isinstance(meta, BaseModel) else vars(meta)
            content = super().item_text({**item, **known}, items)
            loaded: Any = [DownloadedItem(id=str(item[items.id_field]), data=content, meta=meta)]
        else:
            loaded = loader.load([meta])
        if loaded is None or isinstance(loaded, str | bytes) or not hasattr(loaded, "__iter__"):
            raise self._failed(f"load of {type(loader).__name__} must return items, it returned", loaded, loader.load)
        found = list(loaded)
        if len(found) > 1:
            raise self._failed(
                f"load of {type(loader).__name__} must return one item for one meta, {len(found)} came in a",
                loaded,
                loader.load,
            )
        if not found:
            return None
        made: str | None = manager.text(found[0]) if manager else getattr(found[0], "data", found[0])
        return made

    def session(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """The session as converter and retriever want it."""
        record: dict[str, Any] | None = session
        if own := self._own.get("session"):
            record = own(session)
        converter = self._part("clickstream_sessions_converter") or _STOCK
        retriever = self._part("query_retriever") or TextQueryRetriever()
        if not isinstance(record, dict):
            return record
        if is_plain(converter):
            changed = weighed(record)
            if type(retriever) is TextQueryRetriever and not isinstance(record.get("search_query"), Mapping):
                return changed
            query = asked(as_logged(record), converter)
        else:
            logged = as_logged(record)
            made = converted(logged, converter)
            if made is None:
                return None
            changed, query = as_record(record, logged, made.input), made.input.query
        return changed if "query" in self._own else {**changed, "search_query": retrieved(query, retriever)}

    def query(self, session: Mapping[str, Any]) -> str | None:
        """What the plugin's own hook says; without one, `session` has asked the retriever."""
        own = self._own.get("query")
        query: str | None = own(session) if own else session["search_query"]
        return query

    def data_read(self, sessions: Sessions, catalogue: Catalogue) -> None:
        """Now the plugin may look into the clickstream."""
        self._catalogue = catalogue
        self._clickstream.read(sessions, catalogue)
        if own := self._own.get("data_read"):
            own(sessions, catalogue)
        if self._waits:
            used = {name: self._part(name) for name in READING}
            self._builder = built(self.plugin, self._clickstream)
            check_what_was_read(self.plugin, used, self._builder)

    def split(self, sessions: Sessions) -> Split:
        """The gate's tenth of the queries, and of the rest what the builder's splitter says."""
        assert self._builder is not None  # noqa: S101 - the data were read
        data, splitter = self._builder.ranking_data, self._builder.clickstream_sessions_splitter
        return split_as(data, splitter, sessions, self._catalogue)

    def settings(self, settings: Settings) -> Settings:
        """The builder's settings, and the manifest's where it says something."""
        if self._builder is not None:
            own = self._builder.fine_tuning_settings.as_settings().model_dump(exclude_none=True)
            if settings.ranker is not None:
                own.pop("is_similarity", None)  # it speaks of the builder's ranker
            if self._builder.items_set_manager.splits:
                own["long_items"] = "Split"
            objective = self._builder.experiments_manager.objective
            if objective is not None:
                own["objective"] = objective
            settings = Settings.model_validate({**own, **settings.model_dump(exclude_none=True)})
        changed: Settings = self._own["settings"](settings) if "settings" in self._own else settings
        return changed

    def initial_params(self, space: SearchSpace | None) -> SearchSpace | None:
        """The builder's choices, and the manifest's parameters instead of those of the same name.

        A builder that lists parameters is trained as Embedding Studio does, whatever the preset is.
        """
        if self._builder is not None:
            try:
                choices = as_choices(self._builder.initial_params)
                if choices:
                    loss = self._builder.fine_tuning_settings.loss_func
                    choices = {**defaults_of_embedding_studio(loss), **choices}
                own = {name: SearchDimension(choice=values) for name, values in choices.items()}
                check_search_space(own)
            except (ValueError, PlanInvalid) as error:
                raise PluginFailed(f"{self.meta.name}: {error}{line(self.plugin.get_fine_tuning_builder)}") from error
            space = {**own, **(space or {})} or None
        changed: SearchSpace | None = self._own["initial_params"](space) if "initial_params" in self._own else space
        return changed

    def initial_max_evals(self, evals: int | None) -> int | None:
        """The builder's, if the manifest says nothing."""
        if evals is None and self._builder is not None:
            evals = self._builder.initial_max_evals
        own = self._own.get("initial_max_evals")
        changed: int | None = own(evals) if own else evals
        return changed

    def initial_model(self, into: Path) -> None:
        """What the plugin uploads to its experiments manager."""
        manager: ExperimentsManager | None = self._part("experiments_manager")
        where = line(self.plugin.upload_initial_model)
        if manager is None:
            raise PluginFailed(f"{self.meta.name}: no attribute of the plugin is an ExperimentsManager{where}")
        self.plugin.upload_initial_model()
        try:
            manager.save_initial_model(into)
        except ValueError as error:
            raise PluginFailed(f"{self.meta.name}: {error}{where}") from error

    def split_item(self, text: str, fits: Callable[[str], bool]) -> list[str]:
        """The parts that the items set manager's splitter makes of an item that does not fit the window."""
        manager: ItemSetManager = self._part("items_set_manager")
        parts: object = manager.parts(text)
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            splitter = manager.splitter.item_splitter if manager.splitter else manager.parts
            raise self._failed("the items' splitter must return texts, it returned", parts, type(splitter).__call__)
        return parts

    def item_variants(self, text: str) -> list[str]:
        """What the items set manager's augmenter makes of an item."""
        manager: ItemSetManager = self._part("items_set_manager")
        return manager.variants(text)

    def query_variants(self, text: str) -> list[str]:
        """What the splitter's augmenter makes of a query."""
        splitter: TrainTestSplitter = self._part("clickstream_sessions_splitter")
        return splitter.variants(text)

    def loss(self, settings: Settings) -> RankingLossInterface | None:
        """A copy of the builder's loss."""
        return None if settings.loss else copy.deepcopy(self._settings().loss_func)

    def ranker(self, settings: Settings) -> Ranker | None:
        """The builder's."""
        own = self._settings().ranker
        return None if settings.ranker or own is None else ranker_of(own)

    def confidence_calculator(self, settings: Settings) -> ConfidenceCalculator | None:
        """The builder's."""
        calculate = self._settings().confidence_calculator
        return None if settings.confidence_calculator or calculate is None else confidences_of(calculate)

    def metrics(self, settings: Settings) -> Sequence[MetricCalculator] | None:
        """The builder's."""
        own = self._settings().metric_calculators
        return None if settings.metrics or own is None else [metric_of(calculator) for calculator in own]

    def accumulators(self, settings: Settings) -> Sequence[MetricsAccumulator]:
        """The builder's, and its experiments manager's."""
        if self._builder is None:
            return ()
        given = (*self._builder.accumulators, *self._builder.experiments_manager.accumulators)
        return [each for at, each in enumerate(given) if all(each is not other for other in given[:at])]

    def trial_finished(self, trial: Trial) -> None:
        """The experiments manager tells its tracker."""
        if self._builder is not None:
            self._builder.experiments_manager.trial_finished(trial)

    def _settings(self) -> FineTuningSettings:
        assert self._builder is not None  # noqa: S101 - the sessions were split before anything is trained
        return self._builder.fine_tuning_settings

    def _part(self, name: str) -> Any:
        return part_of(self.plugin, self._builder, name)

    def _failed(self, expected: str, found: object, where: Callable[..., Any]) -> PluginFailed:
        return PluginFailed(f"{self.meta.name}: {expected} {type(found).__name__}{line(where)}")
