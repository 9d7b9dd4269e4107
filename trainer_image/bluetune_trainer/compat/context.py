"""`context`: the services that a plugin of the document takes from the application."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluetune_api.store_location import StoreLocation
from bluetune_trainer.compat.experiments import TRACKING_URI
from bluetune_trainer.store.bases import HF, fetch_model
from bluetune_trainer.store.environment import location_of_environment


class ModelDownloader:
    """Finds models by name: a local folder, `s3://bucket/path`, `hf://org/name@revision`, or `org/name` of the hub."""

    def download_model(self, model_name: str, download_fn: Callable[[str], Any] | None = None) -> Any:
        """Get a model.

        Args:
            model_name: see above. `s3://` wants the store of BLUETUNE_STORE and its keys.
            download_fn: opens it: gets a folder, if the model was found as one, or else the name as it is; default:
                the folder itself is returned.

        Returns:
            What `download_fn` returns, or the folder, a Path.

        Raises:
            PlanInvalid: there is no such model, or its weights are pickles.
            StoreFailed: it could not be fetched.
        """
        folder = Path(model_name)
        if not folder.is_dir():
            if download_fn is not None and "://" not in model_name:
                return download_fn(model_name)
            folder = self._fetched(model_name)
        return folder if download_fn is None else download_fn(str(folder))

    def _fetched(self, model_name: str) -> Path:
        uri = model_name
        if "://" not in uri and HF.fullmatch(f"hf://{uri}"):
            uri = f"hf://{uri}"
        return fetch_model(uri, location_of_environment(), Path(tempfile.mkdtemp(prefix="bluetune-model-")), _open)


def _open(location: StoreLocation) -> Any:
    from bluetune_api.s3 import store_from_environment

    return store_from_environment(location)


@dataclass(frozen=True)
class MLflowClient:
    """Which MLflow server to tell about trials, if any."""

    tracking_uri: str | None = None


@dataclass(frozen=True)
class Context:
    """The services."""

    model_downloader: ModelDownloader = field(default_factory=ModelDownloader)
    """Finds models."""

    @property
    def mlflow_client(self) -> MLflowClient:
        """The server that MLFLOW_TRACKING_URI names."""
        return MLflowClient(os.environ.get(TRACKING_URI) or None)


context = Context()
"""What plugins import."""
