"""Experiments manager and model downloader."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from bluetune_trainer import ExperimentsManager, MetricsAccumulator, context
from bluetune_trainer.errors import PlanInvalid


@pytest.mark.parametrize(
    ("metric", "objective"),
    [
        ("ndcg@10", "ndcg@10"),
        ("test_mrr@10", "mrr@10"),
        ("test_not_irrelevant_dist_shift", None),
        ("test_loss", None),
    ],
)
def test_only_ranking_metrics_judge_trials(metric: str, objective: str | None) -> None:
    assert ExperimentsManager.from_wrapper(main_metric=metric).objective == objective


def test_a_manager_takes_the_wrappers_tracker_and_the_accumulators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    accumulators = [MetricsAccumulator("train_loss")]
    manager = ExperimentsManager.from_wrapper(
        wrapper=context.mlflow_client, main_metric="test_loss", plugin_name="P", accumulators=accumulators
    )
    assert manager.tracking_uri is None
    assert manager.accumulators == accumulators


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="mlflow is installed here")
def test_a_tracker_without_its_package_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    with pytest.raises(ValueError, match="needs the package mlflow; add it to the image"):
        ExperimentsManager.from_wrapper(context.mlflow_client, "test_loss")


class _Model:
    def save_pretrained(self, folder: str) -> None:
        (Path(folder) / "config.json").write_text("{}")


def test_an_initial_model_is_saved_as_a_folder(tmp_path: Path) -> None:
    manager = ExperimentsManager.from_wrapper()
    assert not manager.has_initial_model()
    manager.upload_initial_model(_Model())
    assert manager.has_initial_model()
    manager.save_initial_model(tmp_path)
    assert (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("model", "says"),
    [(None, "did not hand a model"), ("/no/such", "there is no folder"), (5, "neither save_pretrained nor save")],
)
def test_what_is_no_model_is_refused(tmp_path: Path, model: Any, says: str) -> None:
    manager = ExperimentsManager.from_wrapper()
    manager.upload_initial_model(model)
    with pytest.raises(ValueError, match=says):
        manager.save_initial_model(tmp_path)


def test_a_model_is_found_in_a_folder_and_opened(tmp_path: Path) -> None:
    find = context.model_downloader.download_model
    assert find(str(tmp_path)) == tmp_path
    assert find(model_name=str(tmp_path), download_fn=lambda name: ("opened", name)) == ("opened", str(tmp_path))
    assert find("org/name", lambda name: ("by its name", name)) == ("by its name", "org/name")


def test_a_model_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLUETUNE_STORE", raising=False)
    with pytest.raises(PlanInvalid, match="there is no folder /no/such/model"):
        context.model_downloader.download_model("/no/such/model")
    with pytest.raises(PlanInvalid, match="BLUETUNE_STORE is not set"):
        context.model_downloader.download_model("s3://models/minilm")
