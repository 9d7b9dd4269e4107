"""`ExperimentsManager`: what is written down about trials. The store has it all; MLflow can have it, too."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bluetune_api.records import Trial
from bluetune_trainer.compat.tracking import Tracker
from bluetune_trainer.ranking.accumulators import MetricsAccumulator

TRACKING_URI = "MLFLOW_TRACKING_URI"


class ExperimentsManager:
    """Names the metrics to follow, takes the initial model, and tells MLflow about trials if there is one.

    Trials, their parameters and metrics are always in the store (`runs/<uid>/trials`), and the best model is published
    as a version. MLflow gets a copy where `tracking_uri` names a server; the package `mlflow` is imported then.

    Args:
        tracking_uri: of an MLflow server; None or empty: no MLflow.
        main_metric: ndcg@10, mrr@10 or recall@10 (also with `test_` before it) is what trials are judged by. Any other
            metric is only reported: trials are judged by ndcg@10 then, because a distance shift or a loss also gets
            better when everything moves nearer.
        plugin_name: name of the experiment.
        accumulators: metrics to follow.
        is_loss: whether less of `main_metric` is better; for the trackers.
        n_top_runs: kept for old plugins; a run starts from at most 10 parameter sets of the model's lineage.
        requirements: kept for old plugins; versions are no pickles and need none.
        retry_config: kept for old plugins; a server that does not answer is not asked again in a run.
    """

    def __init__(
        self,
        tracking_uri: str | None,
        main_metric: str,
        plugin_name: str,
        accumulators: Sequence[MetricsAccumulator],
        is_loss: bool = False,
        n_top_runs: int = 10,
        requirements: Any = None,
        retry_config: Any = None,
    ) -> None:
        if not main_metric:
            raise ValueError(f"main_metric: the name of a metric is expected, this is {main_metric!r}")
        if tracking_uri and importlib.util.find_spec("mlflow") is None:
            raise ValueError(
                f"tracking_uri: {tracking_uri} needs the package mlflow; add it to the image, or leave it out"
            )
        self.tracking_uri = tracking_uri or None
        self._tracker = Tracker(tracking_uri, plugin_name) if tracking_uri else None
        self.main_metric = main_metric
        self.plugin_name = plugin_name
        self.accumulators = list(accumulators)
        self.is_loss = is_loss
        self.n_top_runs = n_top_runs
        self.initial_model: Any = None

    @classmethod
    def from_wrapper(
        cls,
        wrapper: Any = None,
        main_metric: str = "ndcg@10",
        plugin_name: str = "plugin",
        accumulators: Sequence[MetricsAccumulator] = (),
        is_loss: bool = False,
        n_top_runs: int = 10,
    ) -> "ExperimentsManager":
        """A manager that tells the tracker of a wrapper: `context.mlflow_client`, or any object with `tracking_uri`."""
        uri = getattr(wrapper, "tracking_uri", None)
        return cls(uri, main_metric, plugin_name, accumulators, is_loss, n_top_runs)

    @property
    def objective(self) -> str | None:
        """The objective of the search that `main_metric` asks for; None for one that nothing should be judged by."""
        name = self.main_metric.removeprefix("test_")
        return name if name in ("ndcg@10", "mrr@10", "recall@10") else None

    @property
    def tracks(self) -> bool:
        """Whether anybody is told of trials."""
        own = type(self).trial_finished is not ExperimentsManager.trial_finished
        return own or self.tracking_uri is not None

    def upload_initial_model(self, model: Any) -> None:
        """Take the model that a first version is to be made of: a folder, or what can be saved as one."""
        self.initial_model = model

    def has_initial_model(self) -> bool:
        """Whether there is one."""
        return self.initial_model is not None

    def save_initial_model(self, folder: Path) -> None:
        """Write the initial model down as a folder of files.

        Raises:
            ValueError: there is none, or it cannot be saved.
        """
        model = self.initial_model
        if model is None:
            raise ValueError("upload_initial_model of the plugin did not hand a model to its ExperimentsManager")
        if isinstance(model, str | os.PathLike):
            if not Path(model).is_dir():
                raise ValueError(f"the initial model must be a model or its folder; there is no folder {model}")
            shutil.copytree(model, folder, dirs_exist_ok=True)
            return
        save = getattr(model, "save_pretrained", None) or getattr(model, "save", None)
        if not callable(save):
            raise ValueError(f"the initial model has neither save_pretrained nor save; it is a {type(model).__name__}")
        save(str(folder))

    def trial_finished(self, trial: Trial) -> None:
        """Write a finished trial to MLflow, if there is one. A server that fails costs a warning, and not the run."""
        if self._tracker is not None:
            self._tracker.tell(trial)
