"""Copies of trials for an MLflow server, at a bounded cost: the store has them all in any case."""

import logging
import os
import threading
from typing import Any

from bluetune_api.records import Trial

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that a run waits for the server, once: it may hold a GPU, and may be asked to stop meanwhile."""
REQUESTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""MLflow's own limits, which are 120 s and seven retries, where the environment does not say."""


class Tracker:
    """Tells an MLflow server of trials. One that fails or does not answer in time is told of no more in this run.

    Args:
        uri: of the server.
        experiment: name of the experiment, which is made if there is none.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self._given_up = False

    def tell(self, trial: Trial) -> None:
        """Write a finished trial down as a run. A server that does not take it costs a warning, and no exception."""
        if self._given_up:
            return
        for name, value in REQUESTS.items():
            os.environ.setdefault(name, value)
        import mlflow  # optional: only who names a server needs it

        problems: list[str] = []

        def send() -> None:
            try:
                self._send(mlflow, trial)
            except Exception as error:  # whatever MLflow raises
                problems.append(str(error) or type(error).__name__)

        sending = threading.Thread(target=send, name="mlflow", daemon=True)
        sending.start()
        sending.join(PATIENCE)
        if sending.is_alive():
            problems.append(f"no answer within {PATIENCE:g} s")
        if problems:
            self._given_up = True
            log.warning(
                "MLflow does not take the run's trials, and is told of no more; the store has them all",
                extra={"trackingUri": self.uri, "trial": trial.trial, "error": problems[0]},
            )

    def _send(self, mlflow: Any, trial: Trial) -> None:
        client = mlflow.MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment)
        run = client.create_run(experiment, run_name=f"trial {trial.trial}").info.run_id
        for name, value in trial.params.items():
            client.log_param(run, name, value)
        for name, metric in trial.metrics.items():
            client.log_metric(run, name.replace("@", "_at_"), metric)
        client.set_terminated(run, "FINISHED" if trial.status == "ok" else "FAILED")
