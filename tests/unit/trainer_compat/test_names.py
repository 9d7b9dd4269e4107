"""Every name of the document: importable, described, with its signature and defaults."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

import bluetune_trainer

REQUIRED: Any = inspect.Parameter.empty

NAMES = [
    *("FineTuningParams", "FineTuningSettings", "ExamplesType", "RankingLossInterface", "ProbMarginRankingLoss"),
    *("CosineProbMarginRankingLoss", "MetricCalculator", "DistanceShift", "LossMetric", "MetricsAccumulator"),
    *("COSINE_SIMILARITY", "dummy_confidences", "calculate_confidences", "FineTuningMethod", "PluginMeta"),
    *("FineTuningBuilder", "SessionWithEvents", "ClickstreamSessionConverter", "QueryRetriever", "TextQueryRetriever"),
    *("DataLoader", "TextDataLoader", "ItemMeta", "TrainTestSplitter", "DatasetFieldsNormalizer", "prepare_data"),
    *("TokenGroupTextSplitter", "DummySentenceSplitter", "ItemsSetSplitter", "TextItemSetManager", "ItemSetManager"),
    *("ItemsSetAugmentationApplier", "AugmentationsComposition", "ChangeCases", "Misspellings", "ExperimentsManager"),
    *("context", "FineTuningTaskRunRequest"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_document_is_importable_and_described(name: str) -> None:
    found = getattr(bluetune_trainer, name)
    assert name in bluetune_trainer.__all__
    assert name in dir(bluetune_trainer)
    assert (inspect.getdoc(found) or "").strip()
    if inspect.isclass(found):
        assert found.__doc__, f"{name} inherits its docstring"


def test_the_page_for_people_from_embedding_studio_speaks_of_every_name() -> None:
    page = (Path(__file__).parents[3] / "docs" / "coming-from-embedding-studio.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in page and f"`{name}." not in page] == []


def test_every_exported_name_exists_and_an_unknown_one_is_an_attribute_error() -> None:
    assert all(getattr(bluetune_trainer, name) is not None for name in bluetune_trainer.__all__)
    with pytest.raises(AttributeError, match="no attribute 'FineTuningMethd'"):
        _ = bluetune_trainer.FineTuningMethd  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, bluetune_trainer\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'transformers', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "FineTuningParams",
            {
                "num_fixed_layers": REQUIRED,
                "query_lr": REQUIRED,
                "items_lr": REQUIRED,
                "query_weight_decay": REQUIRED,
                "items_weight_decay": REQUIRED,
                "margin": REQUIRED,
                "not_irrelevant_only": REQUIRED,
                "negative_downsampling": REQUIRED,
                "min_abs_difference_threshold": 0.0,
                "max_abs_difference_threshold": 1.0,
                "examples_order": [11],
            },
        ),
        (
            "FineTuningSettings",
            {
                "loss_func": REQUIRED,
                "metric_calculators": None,
                "ranker": bluetune_trainer.COSINE_SIMILARITY,
                "is_similarity": True,
                "confidence_calculator": bluetune_trainer.dummy_confidences,
                "step_size": 500,
                "gamma": 0.9,
                "num_epochs": 10,
                "batch_size": 1,
                "test_each_n_inputs": -1,
            },
        ),
    ],
)
def test_a_model_has_the_documents_fields_in_order_with_its_defaults(name: str, expected: dict[str, Any]) -> None:
    model: type[BaseModel] = getattr(bluetune_trainer, name)
    assert issubclass(model, BaseModel)
    fields = {
        key: f.default if f.default is not PydanticUndefined else REQUIRED for key, f in model.model_fields.items()
    }
    assert list(fields.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TrainTestSplitter", {"test_size_ratio": 0.2, "shuffle": True, "random_state": None}),
        ("DatasetFieldsNormalizer", {"item_field_name": REQUIRED, "id_field_name": REQUIRED}),
        ("ClickstreamSessionConverter", {"item_type": REQUIRED}),
        (
            "TokenGroupTextSplitter",
            {"tokenizer": REQUIRED, "blocks_splitter": REQUIRED, "max_tokens": None, "split_sentences": True},
        ),
        ("ItemsSetSplitter", {"item_splitter": REQUIRED}),
        ("ItemsSetAugmentationApplier", {"augmentation": REQUIRED}),
        ("AugmentationsComposition", {"augmentations": REQUIRED, "selection_size": 1.0}),
        ("ChangeCases", {"selection_size": 1.0}),
        ("Misspellings", {"selection_size": 1.0, "error_rates": None}),
        (
            "TextItemSetManager",
            {
                "field_normalizer": REQUIRED,
                "id_field_name": None,
                "items_set_splitter": None,
                "augmenter": None,
                "do_augment_test": False,
                "do_augmentation_before_preprocess": True,
            },
        ),
        (
            "MetricsAccumulator",
            {
                "name": REQUIRED,
                "calc_mean": False,
                "calc_sliding": False,
                "calc_min": False,
                "calc_max": False,
                "window_size": 10,
            },
        ),
        (
            "ExperimentsManager",
            {
                "tracking_uri": REQUIRED,
                "main_metric": REQUIRED,
                "plugin_name": REQUIRED,
                "accumulators": REQUIRED,
                "is_loss": False,
                "n_top_runs": 10,
                "requirements": None,
                "retry_config": None,
            },
        ),
        ("PluginMeta", {"name": REQUIRED, "version": "1.0.0"}),
        (
            "FineTuningBuilder",
            {
                "data_loader": REQUIRED,
                "query_retriever": REQUIRED,
                "clickstream_sessions_converter": REQUIRED,
                "clickstream_sessions_splitter": REQUIRED,
                "dataset_fields_normalizer": REQUIRED,
                "items_set_manager": REQUIRED,
                "accumulators": REQUIRED,
                "experiments_manager": REQUIRED,
                "fine_tuning_settings": REQUIRED,
                "initial_params": REQUIRED,
                "ranking_data": REQUIRED,
                "initial_max_evals": 100,
            },
        ),
        (
            "FineTuningTaskRunRequest",
            {
                "embedding_model_id": REQUIRED,
                "batch_id": None,
                "metadata": None,
                "idempotency_key": None,
                "deploy_as_blue": None,
                "wait_on_conflict": None,
            },
        ),
    ],
)
def test_a_constructor_begins_with_the_documents_parameters(name: str, expected: dict[str, Any]) -> None:
    parameters = inspect.signature(getattr(bluetune_trainer, name)).parameters
    found = {key: parameter.default for key, parameter in parameters.items()}
    assert dict(list(found.items())[: len(expected)]) == expected
    assert all(default is not REQUIRED for default in list(found.values())[len(expected) :])


def test_prepare_data_takes_the_documents_six_arguments() -> None:
    assert list(inspect.signature(bluetune_trainer.prepare_data).parameters) == [
        "fine_tuning_inputs",
        "converter",
        "clickstream_splitter",
        "query_retriever",
        "loader",
        "items_set_manager",
    ]


def _params(**changes: Any) -> dict[str, Any]:
    return {
        "num_fixed_layers": 1,
        "query_lr": 1e-4,
        "items_lr": 1e-4,
        "query_weight_decay": 0.0,
        "items_weight_decay": 0.0,
        "margin": 0.2,
        "not_irrelevant_only": True,
        "negative_downsampling": 0.5,
        **changes,
    }


def test_params_read_back_what_they_were_written_as() -> None:
    params = bluetune_trainer.FineTuningParams(**_params(examples_order=[2, 11]))
    assert bluetune_trainer.FineTuningParams.model_validate_json(params.model_dump_json()) == params
    assert bluetune_trainer.FineTuningParams(**_params(examples_order="2,11")) == params


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_fixed_layers", -1),
        ("items_lr", 0.0),
        ("query_weight_decay", -0.1),
        ("margin", -1.0),
        ("negative_downsampling", 1.5),
        ("examples_order", [12]),
    ],
)
def test_params_refuse_a_value_and_name_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        bluetune_trainer.FineTuningParams(**_params(**{field: value}))


def test_thresholds_that_leave_no_pair_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be below"):
        bluetune_trainer.FineTuningParams(**_params(min_abs_difference_threshold=1.0))


@pytest.mark.parametrize(("given", "sessions"), [(-1, 1e9), (0, 1e9), (0.5, 0.5), (35, 35.0), (None, None)])
def test_validation_every_n_inputs_counts_sessions_or_is_a_share_or_once_an_epoch(given: Any, sessions: Any) -> None:
    settings = bluetune_trainer.FineTuningSettings(
        loss_func=bluetune_trainer.CosineProbMarginRankingLoss(), test_each_n_inputs=given
    )
    assert settings.as_settings().test_each_n_inputs == sessions


def test_a_ranker_taken_for_its_opposite_is_refused() -> None:
    from bluetune_trainer import COSINE_DISTANCE, FineTuningSettings, ProbMarginRankingLoss

    loss = ProbMarginRankingLoss()
    with pytest.raises(ValueError, match="is_similarity: True contradicts the ranker COSINE_DISTANCE; set it to False"):
        FineTuningSettings(loss_func=loss, ranker=COSINE_DISTANCE)
    assert FineTuningSettings(loss_func=loss, ranker=COSINE_DISTANCE, is_similarity=False).is_similarity is False
