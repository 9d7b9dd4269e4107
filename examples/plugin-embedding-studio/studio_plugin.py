"""A plugin as Embedding Studio has them: only the lines that import are others."""

import os
from typing import List  # noqa: UP035 - as it was written

from transformers import AutoTokenizer

from bluetune_trainer import (
    AugmentationsComposition,
    ChangeCases,
    ClickstreamSessionConverter,
    CosineProbMarginRankingLoss,
    DatasetFieldsNormalizer,
    DummySentenceSplitter,
    ExperimentsManager,
    FineTuningBuilder,
    FineTuningMethod,
    FineTuningSettings,
    ItemMeta,
    ItemsSetAugmentationApplier,
    ItemsSetSplitter,
    MetricsAccumulator,
    Misspellings,
    PluginMeta,
    SessionWithEvents,
    TextDataLoader,
    TextItemSetManager,
    TextQueryRetriever,
    TokenGroupTextSplitter,
    TrainTestSplitter,
    context,
    prepare_data,
)

INITIAL_PARAMS = {
    "num_fixed_layers": [0, 1],
    "query_lr": [1e-4, 5e-4],
    "items_lr": [1e-4, 5e-4],
    "query_weight_decay": [0.0, 1e-5],
    "items_weight_decay": [0.0, 1e-5],
    "margin": [0.2, 0.5],
    "not_irrelevant_only": [True],
    "negative_downsampling": [0.5],
    "examples_order": [[11]],  # All examples
}


class StudioFineTuningMethod(FineTuningMethod):
    """Fine-tunes a text encoder with the pairwise loss, on items cut to the window and with variants of them."""

    meta = PluginMeta(name="StudioFineTuningMethod", version="0.0.1", description="A custom fine-tuning plugin")

    def __init__(self):
        # Configure components needed for fine-tuning
        self.model_name = os.environ["STUDIO_MODEL"]  # a folder, or a name of the hub
        self.data_loader = TextDataLoader()
        self.retriever = TextQueryRetriever()
        self.sessions_converter = ClickstreamSessionConverter(item_type=ItemMeta)
        self.splitter = TrainTestSplitter()
        self.normalizer = DatasetFieldsNormalizer("item", "item_id")
        # Set up the item splitter for text
        splitter = TokenGroupTextSplitter(
            tokenizer=AutoTokenizer.from_pretrained(self.model_name),
            blocks_splitter=DummySentenceSplitter(),
            max_tokens=64,
        )
        # Configure item manager with data augmentation
        self.items_set_manager = TextItemSetManager(
            field_normalizer=DatasetFieldsNormalizer("item", "item_id"),
            items_set_splitter=ItemsSetSplitter(splitter),
            augmenter=ItemsSetAugmentationApplier(AugmentationsComposition([ChangeCases(5), Misspellings(5)])),
            do_augment_test=False,
        )
        self.accumulators = [
            MetricsAccumulator("train_loss", calc_mean=True, calc_sliding=True, calc_min=True, calc_max=True),
            MetricsAccumulator("test_loss"),
            MetricsAccumulator("test_not_irrelevant_dist_shift", calc_max=True),
        ]
        self.manager = ExperimentsManager.from_wrapper(
            wrapper=context.mlflow_client,
            main_metric="test_not_irrelevant_dist_shift",
            plugin_name=self.meta.name,
            accumulators=self.accumulators,
        )
        self.initial_params = INITIAL_PARAMS
        self.settings = FineTuningSettings(
            loss_func=CosineProbMarginRankingLoss(),
            step_size=35,
            test_each_n_inputs=0.5,  # Check validation every half epoch
            num_epochs=3,
            batch_size=1,
        )

    def upload_initial_model(self) -> None:
        # Upload initial model to experiment manager
        model = context.model_downloader.download_model(self.model_name)
        self.manager.upload_initial_model(model)

    def get_fine_tuning_builder(self, clickstream: List[SessionWithEvents]) -> FineTuningBuilder:  # noqa: UP006
        # Prepare data and return builder
        ranking_dataset = prepare_data(
            clickstream,
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
            accumulators=self.accumulators,
            experiments_manager=self.manager,
            fine_tuning_settings=self.settings,
            initial_params=self.initial_params,
            ranking_data=ranking_dataset,
            initial_max_evals=2,
        )
