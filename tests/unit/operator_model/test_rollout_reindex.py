"""The reindex Job, from the user's template, and what its state means for a rollout."""

from typing import Any

import pytest

from bluetune_api.base import ObjectReference
from bluetune_api.model import Reindex, Rollout
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.job_state import Trouble
from bluetune_operator.core.rollout_reindex import job_view, reindex_job, reindex_name

V, D = "v0123456789ab", "sha256:" + "1" * 64
STORE = StoreSpec(
    endpoint="minio:9000",
    bucket="models",
    secure=True,
    credentials_secret_ref=ObjectReference(name="keys"),
    ca_secret_ref=ObjectReference(name="ca"),
)
MODEL = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "EmbeddingModel",
    "metadata": {"name": "shop", "namespace": "ns", "uid": "u"},
}
TEMPLATE = {
    "backoffLimit": 0,
    "template": {
        "metadata": {"labels": {"team": "search"}},
        "spec": {
            "initContainers": [{"name": "wait", "image": "w"}],
            "containers": [
                {
                    "name": "index",
                    "image": "i",
                    "env": [
                        {"name": "BLUETUNE_VERSION", "value": "mine"},
                        {"name": "K", "value": "$(BLUETUNE_VERSION)"},
                    ],
                }
            ],
        },
    },
}
ROLLOUT = Rollout(
    to=V, digest=D, step="Reindex", started_at="2026-01-01T00:00:00Z", step_started_at="2026-01-01T00:00:00Z"
)


def job() -> dict[str, Any]:
    return reindex_job(MODEL, Reindex(template=TEMPLATE), STORE, ROLLOUT)


def test_every_container_gets_the_version_and_the_store() -> None:
    made = job()
    assert made["metadata"]["name"] == reindex_name("shop", V) == "shop-reindex-0123456789ab"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    pod = made["spec"]["template"]
    assert pod["metadata"]["labels"] == {
        "team": "search",
        "app.kubernetes.io/managed-by": "bluetune",
        "bluetune.dev/model": "shop",
        "bluetune.dev/job": "reindex",
    }
    assert pod["spec"]["restartPolicy"] == "Never"
    for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
        env = {v["name"]: v for v in container["env"]}
        assert env["BLUETUNE_VERSION"]["value"] == V
        assert env["BLUETUNE_DIGEST"]["value"] == D
        assert env["BLUETUNE_URI"]["value"] == f"s3://models/versions/{V}/"
        assert "minio:9000" in env["BLUETUNE_STORE"]["value"]
        assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
            "name": "keys",
            "key": "AWS_SECRET_ACCESS_KEY",
        }
        assert container["volumeMounts"][0]["mountPath"] == "/etc/bluetune-ca"
    assert pod["spec"]["containers"][0]["env"][-1]["name"] == "K"


def test_the_template_in_the_model_is_left_as_it_is() -> None:
    job()
    assert TEMPLATE["template"]["spec"]["initContainers"] == [{"name": "wait", "image": "w"}]  # type: ignore[index]


def condition(kind: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", "reason": "R", "message": "m"}]}}


POD = {
    "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:01Z"},
    "status": {
        "phase": "Failed",
        "containerStatuses": [{"name": "index", "state": {"terminated": {"exitCode": 4, "message": "disk full"}}}],
    },
}


@pytest.mark.parametrize(
    ("status", "rollout", "expected"),
    [
        ({}, ROLLOUT, ("Running", True, "")),
        (condition("Complete"), ROLLOUT, ("Complete", True, "")),
        (condition("FailureTarget"), ROLLOUT, ("Running", True, "")),
        (condition("Failed"), ROLLOUT, ("Failed", True, "R: m; container index: exit code 4: disk full")),
        (
            condition("Complete"),
            ROLLOUT.model_copy(update={"started_at": "2026-02-01T00:00:00Z"}),
            ("Complete", False, ""),
        ),
    ],
)
def test_what_the_job_says(status: dict[str, Any], rollout: Rollout, expected: tuple[str, bool, str]) -> None:
    view = job_view(job() | status, [POD], rollout, None, MODEL)
    assert view is not None
    assert (view.state, view.of_this_rollout, view.message) == expected


def test_no_job_says_nothing() -> None:
    assert job_view(None, [], ROLLOUT, None, MODEL) is None


def test_a_job_whose_pod_is_refused_says_why() -> None:
    view = job_view(job(), [], ROLLOUT, Trouble("PodRefused", "exceeded quota"), MODEL)
    assert view is not None
    assert (view.state, view.message) == ("Running", "exceeded quota")
