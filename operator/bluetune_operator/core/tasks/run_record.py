"""What a run keeps of its method and model as they were when it began: later edits are for the next run.

The first Job's ConfigMap holds the record beside the plan, and cannot change. The training Job is made from it, so a
method that was edited or deleted meanwhile neither changes a run nor stops it. Its digests stand on the Jobs, so that
an edit is seen without another request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel, Gate
from bluetune_api.plans import method_plan
from bluetune_api.pods import PodTemplate
from bluetune_api.reading import Record, RecordInvalid, read_record
from bluetune_api.store_location import StoreSpec
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.config import Config
from bluetune_operator.core.digests import DIGEST_FORM, digest_of_parts

RECORD = "job.json"
"""Key of the record in the ConfigMap."""
METHOD_DIGEST, MODEL_DIGEST = "bluetune.dev/method-digest", "bluetune.dev/model-digest"
STORE = "bluetune.dev/store"
"""Annotations of the Jobs."""


class RunRecord(Record):
    """What the Jobs of a run are made from."""

    image: str
    """Image of the trainer."""
    pod_template: PodTemplate | None = None
    """The method's."""
    cpu_pod_template: PodTemplate | None = None
    """The same for the check."""
    method_digest: str
    """sha256 of all that the run takes from its method."""
    model_digest: str
    """sha256 of all that the run takes from its model."""
    store: StoreSpec | None = None
    """The model's, which the run uses to its end; absent in older records."""

    def annotations(self) -> dict[str, str]:
        """For the Jobs."""
        digests = {METHOD_DIGEST: self.method_digest, MODEL_DIGEST: self.model_digest}
        return digests | ({STORE: json.dumps(self.store.wire(), sort_keys=True)} if self.store else {})


def run_record(task: FineTuningTask, model: EmbeddingModel, method: FineTuningMethod, config: Config) -> RunRecord:
    """The record of a run that begins now."""
    return RunRecord(
        image=method.spec.image or config.trainer_image,
        pod_template=method.spec.pod_template,
        cpu_pod_template=method.spec.cpu_pod_template,
        method_digest=method_digest(task, method),
        model_digest=model_digest(model),
        store=model.spec.store,
    )


def record_of(config_map: Mapping[str, Any] | None) -> RunRecord | None:
    """The record in a ConfigMap; None if it holds none that can be read. Raises FormatTooNew."""
    try:
        return read_record(RunRecord, ((config_map or {}).get("data") or {}).get(RECORD) or "", "operator")
    except RecordInvalid:
        return None


def store_of_job(job: Mapping[str, Any]) -> StoreSpec | None:
    """The store that a Job of a run works in; None if it does not say."""
    try:
        told = (job["metadata"].get("annotations") or {}).get(STORE)
        return StoreSpec.model_validate_json(told or "", extra="ignore")
    except ValidationError:
        return None


def method_digest(task: FineTuningTask, method: FineTuningMethod) -> str:
    """sha256 of what a run of `task` takes from `method`."""
    plan = method_plan(method.spec, task.spec.overrides)
    return digest_of_parts(plan, method.spec.image, method.spec.pod_template, method.spec.cpu_pod_template)


def model_digest(model: EmbeddingModel) -> str:
    """sha256 of what a run takes from its model; what is chosen under the lock is in the task's status."""
    gate = model.spec.serving.gate if model.spec.serving else Gate()
    return digest_of_parts(model.spec.store.location(), gate)


@dataclass(frozen=True)
class PlanVerdict:
    """Whether a run follows its method and model as they are now."""

    current: bool
    message: str


def plan_verdict(
    job: Mapping[str, Any], task: FineTuningTask, model: EmbeddingModel, method: FineTuningMethod | None
) -> PlanVerdict | None:
    """Compare a run's Job with method (None: gone, or not to be read) and model of now; None if the Job tells nothing.

    What a run does not use (retention, another task's settings) may change without a word.
    """
    began = job["metadata"].get("annotations") or {}
    if not all(began.get(name, "").startswith(DIGEST_FORM) for name in (METHOD_DIGEST, MODEL_DIGEST)):
        return None
    changes = []
    if method is None:
        changes.append("its FineTuningMethod was deleted or cannot be read")
    elif began[METHOD_DIGEST] != method_digest(task, method):
        changes.append(f"FineTuningMethod {method.metadata.name!r} was edited")
    if began[MODEL_DIGEST] != model_digest(model):
        changes.append(f"spec.store or spec.serving.gate of EmbeddingModel {model.metadata.name!r} was edited")
    if not changes:
        return PlanVerdict(True, "method and model are as they were when the run began")
    return PlanVerdict(
        False,
        f"{' and '.join(changes)} after the run began; this run keeps to its plan, the next task follows the edit",
    )
