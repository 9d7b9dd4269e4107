"""A plugin with the document's parts, small enough for unit tests; what a test changes it says in a subclass."""

from collections.abc import Sequence
from typing import Any

from bluetune_trainer import (
    ClickstreamSessionConverter,
    CosineProbMarginRankingLoss,
    DatasetFieldsNormalizer,
    ExperimentsManager,
    FineTuningBuilder,
    FineTuningMethod,
    FineTuningSettings,
    ItemMeta,
    PluginMeta,
    SessionWithEvents,
    TextDataLoader,
    TextItemSetManager,
    TextQueryRetriever,
    TrainTestSplitter,
    prepare_data,
)


class Studio(FineTuningMethod):
    """The document's plugin."""

    meta = PluginMeta(name="Studio", version="0.0.1")

    def __init__(self) -> None:
        self.data_loader: Any = TextDataLoader()
        self.retriever: Any = TextQueryRetriever()
        self.sessions_converter: Any = ClickstreamSessionConverter(item_type=ItemMeta)
        self.splitter: Any = TrainTestSplitter()
        self.normalizer = DatasetFieldsNormalizer("item", "item_id")
        self.items_set_manager: Any = TextItemSetManager(self.normalizer)
        self.manager = ExperimentsManager.from_wrapper(main_metric="test_mrr@10", plugin_name="Studio")
        self.settings: Any = FineTuningSettings(loss_func=CosineProbMarginRankingLoss(), num_epochs=3)
        self.initial_params: Any = {"margin": [0.2, 0.5], "examples_order": [[11]]}

    def learned_from(self, clickstream: Sequence[SessionWithEvents]) -> Any:
        """What goes to prepare_data."""
        return clickstream

    def get_fine_tuning_builder(self, clickstream: Sequence[SessionWithEvents]) -> FineTuningBuilder:
        """As the document has it."""
        data = prepare_data(
            self.learned_from(clickstream),
            self.sessions_converter,
            self.splitter,
            self.retriever,
            self.data_loader,
            self.items_set_manager,
        )
        return FineTuningBuilder(
            data_loader=self.data_loader,
            query_retriever=self.retriever,
            clickstream_sessions_converter=self.sessions_converter,
            clickstream_sessions_splitter=self.splitter,
            dataset_fields_normalizer=self.normalizer,
            items_set_manager=self.items_set_manager,
            accumulators=[],
            experiments_manager=self.manager,
            fine_tuning_settings=self.settings,
            initial_params=self.initial_params,
            ranking_data=data,
            initial_max_evals=2,
        )
