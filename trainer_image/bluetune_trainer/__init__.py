"""The trainer: reads a plan, checks a batch of clicks, searches for a better encoder and publishes it as a version.

It knows no Kubernetes: it reads and writes the model's part of the object store, and its exit code says how it ended.

What plugins import lies here by name, the names of the document "How to Configure Fine-Tuning" among them. A name is
imported when it is asked for, so that the package itself costs nothing and needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bluetune_trainer.compat.augmenting import (
        AugmentationsComposition,
        AugmentationWithRandomSelection,
        ChangeCases,
        ItemsSetAugmentationApplier,
        Misspellings,
    )
    from bluetune_trainer.compat.context import ModelDownloader, context
    from bluetune_trainer.compat.convert import (
        ClickstreamSessionConverter,
        DummySessionEventWithImportance,
        FineTuningInput,
        FineTuningInputWithItems,
        SessionEventWithImportance,
    )
    from bluetune_trainer.compat.experiments import ExperimentsManager
    from bluetune_trainer.compat.items import (
        DataLoader,
        DatasetFieldsNormalizer,
        DownloadedItem,
        ItemMeta,
        ItemSetManager,
        TextDataLoader,
        TextItemSetManager,
    )
    from bluetune_trainer.compat.method import FineTuningBuilder, FineTuningMethod
    from bluetune_trainer.compat.params import FineTuningParams
    from bluetune_trainer.compat.preparing import RankingData, prepare_data
    from bluetune_trainer.compat.queries import QueryItem, QueryRetriever, TextQueryItem, TextQueryRetriever
    from bluetune_trainer.compat.request import FineTuningTaskRunRequest
    from bluetune_trainer.compat.sessions import SearchResultItem, SessionEvent, SessionWithEvents
    from bluetune_trainer.compat.settings import FineTuningSettings
    from bluetune_trainer.compat.splitting import (
        DummySentenceSplitter,
        ItemSplitter,
        ItemsSetSplitter,
        NoSplitter,
        TokenGroupTextSplitter,
    )
    from bluetune_trainer.compat.train_test import TrainTestSplitter
    from bluetune_trainer.plugin.method import PluginMeta, TextFineTuningMethod
    from bluetune_trainer.ranking.accumulators import MetricsAccumulator, MetricValue
    from bluetune_trainer.ranking.confidences import calculate_confidences, dummy_confidences
    from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
    from bluetune_trainer.ranking.losses import (
        CosineProbMarginRankingLoss,
        InfoNCELoss,
        ListwiseSoftmaxLoss,
        MatryoshkaLoss,
        ProbMarginRankingLoss,
        RankingLossInterface,
    )
    from bluetune_trainer.ranking.metrics import DistanceShift, LossMetric, MetricCalculator, RankedSessions
    from bluetune_trainer.ranking.rankers import COSINE_DISTANCE, COSINE_SIMILARITY, DOT_PRODUCT, EUCLIDEAN_DISTANCE

_NAMES = {
    "compat.augmenting": (
        "AugmentationWithRandomSelection",
        "AugmentationsComposition",
        "ChangeCases",
        "ItemsSetAugmentationApplier",
        "Misspellings",
    ),
    "compat.context": ("ModelDownloader", "context"),
    "compat.convert": (
        "ClickstreamSessionConverter",
        "DummySessionEventWithImportance",
        "FineTuningInput",
        "FineTuningInputWithItems",
        "SessionEventWithImportance",
    ),
    "compat.experiments": ("ExperimentsManager",),
    "compat.items": (
        "DataLoader",
        "DatasetFieldsNormalizer",
        "DownloadedItem",
        "ItemMeta",
        "ItemSetManager",
        "TextDataLoader",
        "TextItemSetManager",
    ),
    "compat.method": ("FineTuningBuilder", "FineTuningMethod"),
    "compat.params": ("FineTuningParams",),
    "compat.preparing": ("RankingData", "prepare_data"),
    "compat.queries": ("QueryItem", "QueryRetriever", "TextQueryItem", "TextQueryRetriever"),
    "compat.request": ("FineTuningTaskRunRequest",),
    "compat.sessions": ("SearchResultItem", "SessionEvent", "SessionWithEvents"),
    "compat.settings": ("FineTuningSettings",),
    "compat.splitting": (
        "DummySentenceSplitter",
        "ItemSplitter",
        "ItemsSetSplitter",
        "NoSplitter",
        "TokenGroupTextSplitter",
    ),
    "compat.train_test": ("TrainTestSplitter",),
    "plugin.method": ("PluginMeta", "TextFineTuningMethod"),
    "ranking.accumulators": ("MetricValue", "MetricsAccumulator"),
    "ranking.confidences": ("calculate_confidences", "dummy_confidences"),
    "ranking.features": ("ExamplesType", "RankingFeatures"),
    "ranking.losses": (
        "CosineProbMarginRankingLoss",
        "InfoNCELoss",
        "ListwiseSoftmaxLoss",
        "MatryoshkaLoss",
        "ProbMarginRankingLoss",
        "RankingLossInterface",
    ),
    "ranking.metrics": ("DistanceShift", "LossMetric", "MetricCalculator", "RankedSessions"),
    "ranking.rankers": ("COSINE_DISTANCE", "COSINE_SIMILARITY", "DOT_PRODUCT", "EUCLIDEAN_DISTANCE"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "COSINE_DISTANCE",
    "COSINE_SIMILARITY",
    "DOT_PRODUCT",
    "EUCLIDEAN_DISTANCE",
    "AugmentationWithRandomSelection",
    "AugmentationsComposition",
    "ChangeCases",
    "ClickstreamSessionConverter",
    "CosineProbMarginRankingLoss",
    "DataLoader",
    "DatasetFieldsNormalizer",
    "DistanceShift",
    "DownloadedItem",
    "DummySentenceSplitter",
    "DummySessionEventWithImportance",
    "ExamplesType",
    "ExperimentsManager",
    "FineTuningBuilder",
    "FineTuningInput",
    "FineTuningInputWithItems",
    "FineTuningMethod",
    "FineTuningParams",
    "FineTuningSettings",
    "FineTuningTaskRunRequest",
    "InfoNCELoss",
    "ItemMeta",
    "ItemSetManager",
    "ItemSplitter",
    "ItemsSetAugmentationApplier",
    "ItemsSetSplitter",
    "ListwiseSoftmaxLoss",
    "LossMetric",
    "MatryoshkaLoss",
    "MetricCalculator",
    "MetricValue",
    "MetricsAccumulator",
    "Misspellings",
    "ModelDownloader",
    "NoSplitter",
    "PluginMeta",
    "ProbMarginRankingLoss",
    "QueryItem",
    "QueryRetriever",
    "RankedSessions",
    "RankingData",
    "RankingFeatures",
    "RankingLossInterface",
    "SearchResultItem",
    "SessionEvent",
    "SessionEventWithImportance",
    "SessionWithEvents",
    "TextDataLoader",
    "TextFineTuningMethod",
    "TextItemSetManager",
    "TextQueryItem",
    "TextQueryRetriever",
    "TokenGroupTextSplitter",
    "TrainTestSplitter",
    "calculate_confidences",
    "context",
    "dummy_confidences",
    "prepare_data",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
