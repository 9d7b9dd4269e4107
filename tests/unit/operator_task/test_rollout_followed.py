"""What a task says while its model rolls its version out, or lets it wait for its turn."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from bluetune_api.model import EmbeddingModel
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.tasks.status import Draft
from bluetune_operator.reconciler.tasks.end import promote
from bluetune_operator.reconciler.tasks.run import Run

NEW, DIGEST, STAMP = "v000000000002", "sha256:" + "2" * 64, "2026-01-01T00:00:00Z"


def followed(**rollout: Any) -> Draft:
    """The draft of a task whose model has this rollout for it."""
    raw = {
        "apiVersion": "bluetune.dev/v1alpha1",
        "kind": "FineTuningTask",
        "metadata": {"name": "t", "namespace": "n", "uid": "u"},
        "spec": {"modelRef": {"name": "m"}, "deployAsBlue": True},
        "status": {"bestModelId": NEW, "digest": DIGEST},
    }
    under_way = {"to": NEW, "digest": DIGEST, "taskUid": "u", "startedAt": STAMP, "stepStartedAt": STAMP, **rollout}
    model = EmbeddingModel.model_validate(
        {
            "apiVersion": "bluetune.dev/v1alpha1",
            "kind": "EmbeddingModel",
            "metadata": {"name": "m", "namespace": "n"},
            "spec": {
                "base": {"uri": "/b"},
                "store": {"endpoint": "s", "bucket": "bucket", "credentialsSecretRef": {"name": "k"}},
                "serving": {"deployment": "blue", "container": "server"},
            },
            "status": {"rollout": under_way},
        }
    )
    task = FineTuningTask.model_validate(raw)
    run = Run(cast("Any", None), raw, task, Draft(task, datetime(2026, 1, 1, tzinfo=UTC)))
    run.found(model, None, cast("Any", None))
    asyncio.run(cast("Any", promote(run)))
    run.draft.finished()
    return run.draft


@pytest.mark.parametrize(
    ("rollout", "reason"),
    [
        ({"step": "Wait", "message": "1 of 2 pods are new"}, "Wait"),
        ({"step": "Patch", "queuedSince": STAMP, "reason": "RolloutQueued", "message": "its turn"}, "RolloutQueued"),
    ],
)
def test_it_says_the_step_or_that_the_rollout_waits_for_its_turn(rollout: dict[str, Any], reason: str) -> None:
    draft = followed(**rollout)
    assert (draft.status.phase, draft.reason_of("Ready")) == ("Deploying", reason)
    assert rollout["message"] in (draft.status.message or "")
    assert not draft.holds("Stalled")
