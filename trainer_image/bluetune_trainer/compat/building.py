"""A plugin's builder: asked for, and judged part by part."""

from collections.abc import Mapping
from typing import Any, cast

from bluetune_trainer.compat.convert import ClickstreamSessionConverter, is_plain
from bluetune_trainer.compat.experiments import ExperimentsManager
from bluetune_trainer.compat.items import (
    DataLoader,
    DatasetFieldsNormalizer,
    ItemSetManager,
    TextDataLoader,
    TextItemSetManager,
)
from bluetune_trainer.compat.method import FineTuningBuilder, FineTuningMethod
from bluetune_trainer.compat.preparing import RankingData
from bluetune_trainer.compat.queries import QueryRetriever, TextQueryRetriever
from bluetune_trainer.compat.sessions import Clickstream
from bluetune_trainer.compat.settings import FineTuningSettings
from bluetune_trainer.compat.train_test import TrainTestSplitter
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.blame import line

PARTS: Mapping[str, type[Any]] = {
    "data_loader": DataLoader,
    "query_retriever": QueryRetriever,
    "clickstream_sessions_converter": ClickstreamSessionConverter,
    "clickstream_sessions_splitter": TrainTestSplitter,
    "dataset_fields_normalizer": DatasetFieldsNormalizer,
    "items_set_manager": ItemSetManager,
    "experiments_manager": ExperimentsManager,
    "fine_tuning_settings": FineTuningSettings,
    "ranking_data": RankingData,
}
"""What the fields of a builder must be; a splitter may also be any object with `split`."""
READING = ("data_loader", "query_retriever", "clickstream_sessions_converter", "items_set_manager")
"""Parts that sessions and items are read with."""
SAID_TWICE = {
    "converter": "clickstream_sessions_converter",
    "splitter": "clickstream_sessions_splitter",
    "retriever": "query_retriever",
    "loader": "data_loader",
    "manager": "items_set_manager",
}
"""Parts of the ranking data, and the fields of the builder that name them again."""


def built(plugin: FineTuningMethod, clickstream: Clickstream) -> FineTuningBuilder:
    """The plugin's builder.

    Raises:
        PluginFailed: it is none, one of its parts is not what it must be, or two of its parts contradict each other.
        ClickstreamNotRead: the plugin looks into the clickstream, and it is not read yet.
    """
    where = plugin.get_fine_tuning_builder
    builder = where(clickstream)
    if not isinstance(cast("object", builder), FineTuningBuilder):
        raise failed(plugin, "get_fine_tuning_builder must return a FineTuningBuilder, it returned", builder)
    for name, kind in PARTS.items():
        part = getattr(builder, name)
        if isinstance(part, kind) or (name == "clickstream_sessions_splitter" and hasattr(part, "split")):
            continue
        raise failed(plugin, f"{name} of the builder must be a {kind.__name__}, it is", part)
    for in_data, name in SAID_TWICE.items():
        if not _same(getattr(builder.ranking_data, in_data), getattr(builder, name)):
            raise PluginFailed(
                f"{plugin.meta.name}: prepare_data got another {in_data} than the builder's {name}; give both the same"
                f"{line(where)}"
            )
    if not _same(builder.dataset_fields_normalizer, builder.items_set_manager.field_normalizer):
        raise PluginFailed(
            f"{plugin.meta.name}: dataset_fields_normalizer of the builder is not the items_set_manager's"
            f" field_normalizer, by which a run goes; give both the same{line(where)}"
        )
    return builder


def part_of(plugin: FineTuningMethod, builder: FineTuningBuilder | None, name: str) -> Any:
    """A part of the builder; while there is none, the plugin's attribute of its class, or None."""
    if builder is not None:
        return getattr(builder, name)
    return next((value for value in vars(plugin).values() if isinstance(value, PARTS[name])), None)


def check_what_was_read(plugin: FineTuningMethod, parts: Mapping[str, Any], builder: FineTuningBuilder) -> None:
    """Sessions and items were read with the plugin's attributes, as its builder had to wait for them.

    Args:
        plugin: the plugin.
        parts: what they were read with.
        builder: its builder.

    Raises:
        PluginFailed: the builder has another part than that, which would have read them in another way.
    """
    for name in READING:
        used, wanted = parts[name], getattr(builder, name)
        if not (_same(used, wanted) or (used is None and _is_stock(wanted))):
            raise PluginFailed(
                f"{plugin.meta.name}: {name} of the builder is not the one that the batch was read with: as"
                f" get_fine_tuning_builder looks into the clickstream, its only {PARTS[name].__name__} must be an"
                f" attribute that __init__ sets{line(plugin.get_fine_tuning_builder)}"
            )


def failed(plugin: FineTuningMethod, expected: str, found: object) -> PluginFailed:
    """The failure of a builder that is not as expected."""
    return PluginFailed(f"{plugin.meta.name}: {expected} {type(found).__name__}{line(plugin.get_fine_tuning_builder)}")


def _same(one: Any, other: Any) -> bool:
    """Whether two parts do the same: they are one object, or of one class with equal attributes."""
    return one is other or (type(one) is type(other) and vars(one) == vars(other))


def _is_stock(part: Any) -> bool:
    """Whether it reads as a run without it does."""
    if isinstance(part, ClickstreamSessionConverter):
        return is_plain(part)
    return type(part) in (TextDataLoader, TextQueryRetriever, TextItemSetManager, ItemSetManager)
