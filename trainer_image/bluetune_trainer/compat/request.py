"""`FineTuningTaskRunRequest`: a run, asked for from Python. It is a FineTuningTask in other words."""

import hashlib
import json
import subprocess
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bluetune_api import GROUP, VERSION
from bluetune_api.task import FineTuningTask

KUBECTL_SECONDS = 60


class FineTuningTaskRunRequest(BaseModel):
    """Asks for a run of the operator."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    embedding_model_id: str = Field(min_length=1)
    """Name of the EmbeddingModel to fine-tune."""
    batch_id: str | None = None
    """Clickstream batch; None: the newest one that the model has not learned from."""
    metadata: dict[str, Any] | None = None
    """Copied into the result and the model card; values become texts."""
    idempotency_key: str | None = None
    """A second request with the same key and model does no work."""
    deploy_as_blue: bool | None = None
    """Roll the new version out, if the gate lets it pass; None: no."""
    wait_on_conflict: bool | None = None
    """Queue behind another run of the model (None: yes), or end as Refused at once."""

    def manifest(self, name: str | None = None, namespace: str | None = None) -> dict[str, Any]:
        """The FineTuningTask, as `kubectl apply` takes it.

        Args:
            name: of the task; default: taken from the idempotency key, so that a repeated request is the same task, or
                else left to the cluster (`generateName`, which wants `kubectl create`).
            namespace: default: the current one.

        Raises:
            pydantic.ValidationError: a value that no task can have; it names the field.
        """
        spec: dict[str, Any] = {"modelRef": {"name": self.embedding_model_id}}
        optional = {
            "batchId": self.batch_id,
            "idempotencyKey": self.idempotency_key,
            "deployAsBlue": self.deploy_as_blue,
            "waitOnConflict": self.wait_on_conflict,
            "metadata": {key: _text(value) for key, value in self.metadata.items()} if self.metadata else None,
        }
        spec.update({field: value for field, value in optional.items() if value is not None})
        about: dict[str, Any] = {"namespace": namespace} if namespace else {}
        prefix = self.embedding_model_id[:40].rstrip("-.")
        chosen = name or self._name(prefix)
        about |= {"name": chosen} if chosen else {"generateName": f"{prefix}-"}
        task = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "FineTuningTask", "metadata": about, "spec": spec}
        FineTuningTask.model_validate({**task, "metadata": {**about, "name": chosen or f"{prefix}-aaaaa"}})
        return task

    def submit(self, name: str | None = None, namespace: str | None = None) -> str:
        """Create the task with kubectl, in the current context. Returns `finetuningtask.bluetune.dev/<name>`.

        Raises:
            RuntimeError: there is no kubectl, or it refused; the message has what it said.
        """
        manifest = self.manifest(name, namespace)
        verb = "apply" if "name" in manifest["metadata"] else "create"
        command = ["kubectl", verb, "-o", "name", "-f", "-"]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(manifest),
                capture_output=True,
                text=True,
                check=False,
                timeout=KUBECTL_SECONDS,
            )
        except FileNotFoundError as error:
            raise RuntimeError(
                "kubectl is not installed here; install it, or apply what manifest() returns in another way"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"kubectl {verb}: the cluster did not answer within {KUBECTL_SECONDS} s") from error
        if done.returncode:
            raise RuntimeError(f"kubectl {verb}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _name(self, prefix: str) -> str | None:
        if self.idempotency_key is None:
            return None
        return f"{prefix}-{hashlib.sha256(self.idempotency_key.encode()).hexdigest()[:8]}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
