"""`FineTuningMethod` and `FineTuningBuilder` as the document has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_trainer.compat.convert import ClickstreamSessionConverter
from bluetune_trainer.compat.experiments import ExperimentsManager
from bluetune_trainer.compat.items import DataLoader, DatasetFieldsNormalizer, ItemSetManager
from bluetune_trainer.compat.preparing import RankingData
from bluetune_trainer.compat.queries import QueryRetriever
from bluetune_trainer.compat.sessions import SessionWithEvents
from bluetune_trainer.compat.settings import FineTuningSettings
from bluetune_trainer.compat.splitting import ItemSplitter, NoSplitter
from bluetune_trainer.compat.train_test import TrainTestSplitter
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.method import FineTuningMethod as Hooks
from bluetune_trainer.plugin.method import TextFineTuningMethod
from bluetune_trainer.ranking.accumulators import MetricsAccumulator

NEVER_CALLED = (
    *("get_query_retriever", "get_items_splitter", "get_data_loader", "get_manager", "get_inference_client_factory"),
    *("get_embedding_model_info", "get_search_index_info", "get_vectors_adjuster", "get_vectordb_optimizations"),
)
"""Methods of the document that a run does not call."""


@dataclass
class FineTuningBuilder:
    """The parts of a run, as a plugin wants them. What a method or a task says in its manifest goes before it."""

    data_loader: DataLoader
    """Gives items' contents."""
    query_retriever: QueryRetriever
    """Gives the encoder's input for a query."""
    clickstream_sessions_converter: ClickstreamSessionConverter
    """Makes inputs of sessions."""
    clickstream_sessions_splitter: TrainTestSplitter
    """Says which sessions judge the trials."""
    dataset_fields_normalizer: DatasetFieldsNormalizer
    """Names the field with an item's content."""
    items_set_manager: ItemSetManager
    """Makes texts of items, with parts and variants."""
    accumulators: Sequence[MetricsAccumulator]
    """Metrics to follow over a trial."""
    experiments_manager: ExperimentsManager
    """Takes the initial model, and tells other trackers."""
    fine_tuning_settings: FineTuningSettings
    """How trials train."""
    initial_params: Mapping[str, Sequence[Any]]
    """Choices of each hyperparameter."""
    ranking_data: RankingData
    """What to learn from: what `prepare_data` returned."""
    initial_max_evals: int = 100
    """Trials of the search."""


class FineTuningMethod(TextFineTuningMethod):
    """A plugin: how clicks and items become training data, and how the run is set up.

    There are two ways to write one. As the document does: override `get_fine_tuning_builder`, and the parts that it
    names become the run's. Or override single hooks (`item_text`, `session`, `settings`, …), and leave it alone. Hooks
    that a plugin of the first kind overrides go before its builder's parts.

    The other methods of the document are optional: a run has no use for them, or has a manifest's field for it.
    """

    def upload_initial_model(self) -> None:
        """Hand the model that a first version is made of to the ExperimentsManager.

        Called where the EmbeddingModel says `base.uri: plugin://initial`, once, before its first run.
        """

    def get_fine_tuning_builder(self, clickstream: Sequence[SessionWithEvents]) -> FineTuningBuilder:
        """The parts of the run.

        Args:
            clickstream: the batch's sessions, made one at a time when they are looked at. A plugin that only hands
                it to `prepare_data` has its settings checked before the batch is read.
        """
        raise PluginFailed(f"{type(self).__name__} does not define get_fine_tuning_builder")

    def get_query_retriever(self) -> QueryRetriever | None:
        """The retriever; the builder's counts in a run."""
        return None

    def get_items_splitter(self) -> ItemSplitter:
        """What cuts items into parts; the items set manager's counts in a run."""
        return NoSplitter()

    def get_data_loader(self) -> DataLoader | None:
        """The loader; the builder's counts in a run."""
        return None

    def get_manager(self) -> ExperimentsManager | None:
        """The experiments manager; the builder's counts in a run."""
        return None

    def get_inference_client_factory(self) -> Any:
        """Not called: a version is served by what `EmbeddingModel.spec.serving` names."""
        return None

    def get_embedding_model_info(self, id: str) -> Any:  # noqa: A002 - the document's name
        """Name and id of a model."""
        return {"name": self.meta.name, "id": id}

    def get_search_index_info(self) -> Any:
        """Not called: the index is built by `EmbeddingModel.spec.serving.reindex`."""
        return None

    def get_vectors_adjuster(self) -> Any:
        """Not called: vectors are what the published model gives."""
        return None

    def get_vectordb_optimizations(self) -> list[Any]:
        """Not called: the index is built by `EmbeddingModel.spec.serving.reindex`."""
        return []

    def never_called(self) -> tuple[str, ...]:
        """What a builder has, a manifest's field stands for, or nobody asks."""
        return NEVER_CALLED

    def adapted(self) -> Hooks:
        """The plugin as a run calls it."""
        if type(self).get_fine_tuning_builder is FineTuningMethod.get_fine_tuning_builder:
            return self
        from bluetune_trainer.compat.adapter import BuilderMethod

        return BuilderMethod(self)
