"""A plugin with a FineTuningBuilder as the hooks that a run calls."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from bluetune_api.method import Items, SearchDimension, SearchSpace, Settings
from bluetune_api.records import Trial
from bluetune_trainer.compat.columns import columns_of
from bluetune_trainer.compat.convert import ClickstreamSessionConverter, is_plain
from bluetune_trainer.compat.experiments import ExperimentsManager
from bluetune_trainer.compat.items import DataLoader, ItemSetManager, TextDataLoader
from bluetune_trainer.compat.method import FineTuningBuilder, FineTuningMethod
from bluetune_trainer.compat.params import as_choices, defaults_of_embedding_studio
from bluetune_trainer.compat.preparing import RankingData
from bluetune_trainer.compat.queries import QueryRetriever, TextQueryItem, TextQueryRetriever
from bluetune_trainer.compat.sessions import Clickstream, ClickstreamNotRead, SessionWithEvents
from bluetune_trainer.compat.settings import FineTuningSettings
from bluetune_trainer.compat.train_test import TrainTestSplitter
from bluetune_trainer.data.splits import held_out_share, place
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin import method as hooks
from bluetune_trainer.ranking.accumulators import MetricsAccumulator
from bluetune_trainer.ranking.confidences import ConfidenceCalculator
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.ranking.metrics import MetricCalculator
from bluetune_trainer.ranking.rankers import Ranker
from bluetune_trainer.training.parameters import check_search_space

PARTS: Mapping[str, type[Any]] = {
    "data_loader": DataLoader,
    "query_retriever": QueryRetriever,
    "clickstream_sessions_converter": ClickstreamSessionConverter,
    "clickstream_sessions_splitter": TrainTestSplitter,
    "items_set_manager": ItemSetManager,
    "experiments_manager": ExperimentsManager,
    "fine_tuning_settings": FineTuningSettings,
    "ranking_data": RankingData,
}
"""What the fields of a builder must be; a splitter may also be any object with `split`."""

REPLACED = (
    *("load_model", "initial_model", "split", "split_item", "item_variants", "query_variants", "trial_finished"),
    *("loss", "ranker", "confidence_calculator", "metrics"),
)
"""Hooks of the plugin's own that stand in the place of the builder's part."""


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
        self._own = {name: own for name in ("item_text", "session", "query") if (own := _overridden(plugin, name))}
        for name in REPLACED:
            if own := _overridden(plugin, name):
                setattr(self, name, own)
        self._waits = False
        try:
            self._builder = self._built()
        except ClickstreamNotRead:
            self._waits = True

    def user_objects(self) -> tuple[Any, ...]:
        """The plugin and its parts: whose code is to blame for what it raises."""
        parts = vars(self._builder).values() if self._builder else vars(self.plugin).values()
        settings = [part for part in parts if isinstance(part, FineTuningSettings)]
        calculators = [c for s in settings for c in (s.metric_calculators or ())]
        functions = [f for s in settings for f in (s.loss_func, s.ranker, s.confidence_calculator) if f is not None]
        known = [part for part in parts if isinstance(part, tuple(PARTS.values())) or hasattr(part, "split")]
        return (self.plugin, *known, *calculators, *functions)

    def waits_for_data(self) -> bool:
        """Whether the plugin looked into the clickstream to make its builder."""
        return self._waits

    def idle(self, hook: str) -> bool:
        """Whether a hook for each session would change nothing."""
        if hook in self._own or hook in vars(self):
            return False
        if hook == "initial_model":
            return type(self.plugin).upload_initial_model is FineTuningMethod.upload_initial_model
        manager, splitter = self._part(ItemSetManager), self._part(TrainTestSplitter)
        if hook == "split_item":
            return manager is None or manager.splitter is None
        if hook == "trial_finished":
            return self._builder is not None and self._builder.experiments_manager.tracking_uri is None
        if hook == "item_variants":
            return manager is None or manager.augmenter is None
        if hook == "query_variants":
            return getattr(splitter, "augmenter", None) is None
        converter = self._part(ClickstreamSessionConverter)
        if hook == "session":
            return converter is None or is_plain(converter)
        plain_query = converter is None or (converter.query_item_type is TextQueryItem and is_plain(converter))
        return hook == "query" and plain_query and type(self._part(QueryRetriever)) in (TextQueryRetriever, type(None))

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """What the loader and the items set manager make of the item; the text fields without a loader of its own."""
        if own := self._own.get("item_text"):
            text: str | None = own(item, items)
            return text
        loader, manager = self._part(DataLoader), self._part(ItemSetManager)
        if loader is None or type(loader) is TextDataLoader:
            return super().item_text(item, items)
        converter = self._part(ClickstreamSessionConverter)
        fields = dict(item)
        item_id = str(fields.pop(items.id_field))
        meta = converter.item_meta(item_id, fields) if converter else fields
        loaded = loader.load([meta])
        if loaded is None or isinstance(loaded, str | bytes) or not hasattr(loaded, "__iter__"):
            raise self._failed(f"load of {type(loader).__name__} must return items, it returned", loaded, loader.load)
        for entry in loaded:
            content = manager.field_normalizer.item(entry) if manager else getattr(entry, "data", entry)
            made: str | None = manager.preprocess(content) if manager else content
            return made
        return None

    def session(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """The session as the converter wants it."""
        record: dict[str, Any] | None = session
        if own := self._own.get("session"):
            record = own(session)
        converter = self._part(ClickstreamSessionConverter)
        if record is None or converter is None or is_plain(converter):
            return record
        try:
            as_logged = SessionWithEvents.model_validate(record)
        except ValueError:
            return record  # the check says what is wrong with it
        made = converter.convert(as_logged)
        if made is None:
            return None
        if not hasattr(made, "input"):
            raise self._failed("convert must return an input with items, or None, it returned", made, converter.convert)
        return {
            **record,
            "search_results": [{"object_id": result} for result in made.input.results],
            "events": [{"object_id": event} for event in made.input.events],
            "is_irrelevant": False,
        }

    def query(self, session: Mapping[str, Any]) -> str | None:
        """What the retriever gives for the session's query."""
        if own := self._own.get("query"):
            query: str | None = own(session)
            return query
        retriever = self._part(QueryRetriever) or TextQueryRetriever()
        converter = self._part(ClickstreamSessionConverter)
        try:
            as_logged = SessionWithEvents.model_validate(session)
        except ValueError:
            return str(session.get("search_query"))  # the check says what is wrong with the session
        text = retriever(converter.query(as_logged) if converter else as_logged.search_query)
        if not isinstance(text, str):
            raise self._failed("the query retriever must give a text, it gave", text, type(retriever)._convert_query)
        return text

    def data_read(self, sessions: Sessions, catalogue: Catalogue) -> None:
        """Now the plugin may look into the clickstream."""
        self._catalogue = catalogue
        self._clickstream.read(sessions, catalogue)
        if self._waits:
            self._builder = self._built()

    def split(self, sessions: Sessions) -> Split:
        """The gate's share of the queries, and of the rest what the builder's splitter says."""
        catalogue = self._catalogue
        assert self._builder is not None  # noqa: S101 - the data were read
        data, splitter = self._builder.ranking_data, self._builder.clickstream_sessions_splitter
        chosen = self._chosen(data, sessions, catalogue)
        begin = 1 - held_out_share(chosen)
        late = {query for query in set(chosen.queries) if place(query) >= begin}
        held_out = np.array([query in late for query in chosen.queries], np.bool_)
        rest = chosen.subset(np.flatnonzero(~held_out))
        test = np.array(self._on_test_side(splitter, rest, catalogue), np.bool_)
        return Split(
            train=rest.subset(np.flatnonzero(~test)),
            validation=rest.subset(np.flatnonzero(test)),
            gate=chosen.subset(np.flatnonzero(held_out)),
        )

    def settings(self, settings: Settings) -> Settings:
        """The builder's settings, and the manifest's where it says something."""
        if self._builder is None:
            return settings
        own = self._builder.fine_tuning_settings.as_settings().model_dump(exclude_none=True)
        if settings.ranker is not None:
            own.pop("is_similarity", None)  # it speaks of the builder's ranker
        if self._builder.items_set_manager.splitter is not None:
            own["long_items"] = "Split"
        objective = self._builder.experiments_manager.objective
        if objective is not None:
            own["objective"] = objective
        return Settings.model_validate({**own, **settings.model_dump(exclude_none=True)})

    def initial_params(self, space: SearchSpace | None) -> SearchSpace | None:
        """The builder's choices, and the manifest's parameters instead of those of the same name.

        A builder that lists parameters is trained as Embedding Studio does, whatever the preset is.
        """
        if self._builder is None:
            return space
        try:
            choices = as_choices(self._builder.initial_params)
            if choices:
                loss = self._builder.fine_tuning_settings.loss_func
                choices = {**defaults_of_embedding_studio(loss), **choices}
            own = {name: SearchDimension(choice=values) for name, values in choices.items()}
            check_search_space(own)
        except (ValueError, PlanInvalid) as error:
            raise PluginFailed(f"{self.meta.name}: {error}{_line(self.plugin.get_fine_tuning_builder)}") from error
        return {**own, **(space or {})} or None

    def initial_max_evals(self, evals: int | None) -> int | None:
        """The builder's, if the manifest says nothing."""
        return evals if evals is not None or self._builder is None else self._builder.initial_max_evals

    def initial_model(self, into: Path) -> None:
        """What the plugin uploads to its experiments manager."""
        manager = self._part(ExperimentsManager)
        self.plugin.upload_initial_model()
        try:
            manager.save_initial_model(into)
        except ValueError as error:
            where = _line(self.plugin.upload_initial_model)
            raise PluginFailed(f"{self.meta.name}: {error}{where}") from error

    def split_item(self, text: str, fits: Callable[[str], bool]) -> list[str]:
        """The parts that the items set manager's splitter makes of an item that does not fit the window."""
        manager: ItemSetManager = self._part(ItemSetManager)
        parts: object = manager.parts(text)
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            splitter = manager.splitter.item_splitter if manager.splitter else manager.parts
            raise self._failed("the items' splitter must return texts, it returned", parts, type(splitter).__call__)
        return parts

    def item_variants(self, text: str) -> list[str]:
        """What the items set manager's augmenter makes of an item."""
        manager: ItemSetManager = self._part(ItemSetManager)
        return manager.variants(text)

    def query_variants(self, text: str) -> list[str]:
        """What the splitter's augmenter makes of a query."""
        splitter: TrainTestSplitter = self._part(TrainTestSplitter)
        return splitter.variants(text)

    def loss(self, settings: Settings) -> RankingLossInterface | None:
        """A copy of the builder's loss."""
        return None if settings.loss else copy.deepcopy(self._settings().loss_func)

    def ranker(self, settings: Settings) -> Ranker | None:
        """The builder's."""
        return None if settings.ranker else self._settings().ranker

    def confidence_calculator(self, settings: Settings) -> ConfidenceCalculator | None:
        """The builder's."""
        return None if settings.confidence_calculator else self._settings().confidence_calculator

    def metrics(self, settings: Settings) -> Sequence[MetricCalculator] | None:
        """The builder's."""
        return None if settings.metrics else self._settings().metric_calculators

    def accumulators(self, settings: Settings) -> Sequence[MetricsAccumulator]:
        """The builder's."""
        return () if self._builder is None else self._builder.accumulators

    def trial_finished(self, trial: Trial) -> None:
        """The experiments manager tells its tracker."""
        if self._builder is not None:
            self._builder.experiments_manager.trial_finished(trial)

    def _settings(self) -> FineTuningSettings:
        assert self._builder is not None  # noqa: S101 - the sessions were split before anything is trained
        return self._builder.fine_tuning_settings

    def _built(self) -> FineTuningBuilder:
        builder = self.plugin.get_fine_tuning_builder(self._clickstream)
        if not isinstance(cast("object", builder), FineTuningBuilder):
            expected = "get_fine_tuning_builder must return a FineTuningBuilder, it returned"
            raise self._failed(expected, builder, self.plugin.get_fine_tuning_builder)
        for name, kind in PARTS.items():
            part = getattr(builder, name)
            if isinstance(part, kind) or (name == "clickstream_sessions_splitter" and hasattr(part, "split")):
                continue
            expected = f"{name} of the builder must be a {kind.__name__}, it is"
            raise self._failed(expected, part, self.plugin.get_fine_tuning_builder)
        return builder

    def _part(self, kind: type[Any]) -> Any:
        """The builder's part of that class; while there is no builder, the plugin's attribute of it, or None."""
        if self._builder is not None:
            name = next(name for name, expected in PARTS.items() if expected is kind)
            return getattr(self._builder, name)
        return next((value for value in vars(self.plugin).values() if isinstance(value, kind)), None)

    def _chosen(self, data: RankingData, sessions: Sessions, catalogue: Catalogue) -> Sessions:
        """The sessions that the plugin wants to learn from."""
        if isinstance(data.sessions, Clickstream):
            positions = data.sessions.positions()
            whole = len(positions) == len(sessions) and positions == range(len(sessions))
            return sessions if whole else sessions.subset(np.array(positions, np.int64))
        inputs = [data.converter.convert(session).input for session in data.sessions]
        return columns_of(inputs, data.retriever, catalogue)

    def _on_test_side(self, splitter: Any, rest: Sessions, catalogue: Catalogue) -> list[bool]:
        if getattr(type(splitter), "split", None) is TrainTestSplitter.split:
            return splitter.on_test_side(rest.queries)  # type: ignore[no-any-return]
        assert self._builder is not None  # noqa: S101 - as in `_settings`
        own = Clickstream()
        own.read(rest, catalogue)
        inputs = [self._builder.clickstream_sessions_converter.convert(session).input for session in own]
        sides = splitter.split(inputs)
        try:
            train, test = list(sides["train"]), list(sides["test"])
        except (TypeError, KeyError):
            raise self._failed(
                'split must return {"train": …, "test": …}, it returned', sides, splitter.split
            ) from None
        known = {id(entry) for entry in inputs}
        if not {id(entry) for entry in (*train, *test)} <= known or len(train) + len(test) != len(inputs):
            raise PluginFailed(
                f"{self.meta.name}: split must put each of the {len(inputs)} inputs on one side; it returned"
                f" {len(train)} and {len(test)}{_line(splitter.split)}"
            )
        chosen = {id(entry) for entry in test}
        return [id(entry) in chosen for entry in inputs]

    def _failed(self, expected: str, found: object, where: Callable[..., Any]) -> PluginFailed:
        return PluginFailed(f"{self.meta.name}: {expected} {type(found).__name__}{_line(where)}")


def _overridden(plugin: FineTuningMethod, hook: str) -> Callable[..., Any] | None:
    own = getattr(type(plugin), hook)
    return None if own in (getattr(hooks.TextFineTuningMethod, hook), None) else getattr(plugin, hook)


def _line(where: Callable[..., Any]) -> str:
    """` (in name, file:line)` of a function of the user's."""
    function = inspect.unwrap(where)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return f" (in {code.co_name}, {code.co_filename}:{code.co_firstlineno})" if code else ""
