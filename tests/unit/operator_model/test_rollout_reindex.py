"""The reindex Job, from the user's template, and what its state means for a rollout."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_api.base import ObjectReference
from bluetune_api.model import Reindex, Rollout
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.rollout.reindex import job_view, reindex_job, reindex_name, template_problem

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


def test_with_a_queue_kueue_starts_the_reindex_job() -> None:
    queued = reindex_job(MODEL, Reindex(template=TEMPLATE), STORE, ROLLOUT, queue_name="cpus")
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cpus"
    assert queued["spec"]["suspend"] is True
    assert not job()["spec"].get("suspend")
    view = job_view(queued, [], ROLLOUT, None, MODEL)
    assert view is not None
    assert "waits to be admitted by its queue" in view.message
    view = job_view(job() | {"spec": {"suspend": True}}, [], ROLLOUT, None, MODEL)
    assert view is not None
    assert "spec.queueName" in view.message


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


@pytest.mark.parametrize(("asked", "kept"), [(None, 86400), (0, 300), (299, 300), (600, 600)])
def test_an_ended_job_is_kept_until_its_end_was_seen(asked: int | None, kept: int) -> None:
    template = TEMPLATE if asked is None else TEMPLATE | {"ttlSecondsAfterFinished": asked}
    made = reindex_job(MODEL, Reindex(template=template), STORE, ROLLOUT)
    assert made["spec"]["ttlSecondsAfterFinished"] == kept


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (TEMPLATE, None),
        ({}, "template.template, the pod of the Job, is missing"),
        ({"template": "x"}, "template.template must be a map of fields, not a text"),
        ({"template": {"metadata": [], "spec": {}}}, "template.metadata must be a map of fields, not a list"),
        ({"template": {"metadata": {"labels": ["a"]}, "spec": {}}}, "metadata.labels must be a map"),
        ({"template": {"spec": None}}, "template.spec must be a map of fields, not null"),
        ({"template": {"spec": {}}}, "spec.containers is missing"),
        ({"template": {"spec": {"containers": {"name": "x"}}}}, "containers must be a list (each entry begins"),
        ({"template": {"spec": {"containers": ["x"]}}}, "containers[0] must be a map of fields, not a text"),
        ({"template": {"spec": {"containers": [{"env": {"A": 1}}]}}}, "containers[0].env must be a list"),
        ({"template": {"spec": {"containers": [{}], "initContainers": 1}}}, "initContainers must be a list"),
        ({"template": {"spec": {"containers": [{}], "volumes": {"a": {}}}}}, "volumes must be a list"),
    ],
)
def test_a_slip_in_the_template_is_named_with_its_place(template: dict[str, Any], words: str | None) -> None:
    problem = template_problem(template)
    assert (problem is None) == (words is None), problem
    assert (words or "") in (problem or "")


slips = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["x", ""]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["template", "metadata", "labels", "spec", "containers", "env", "volumes", "name"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(["template", "ttlSecondsAfterFinished"]), slips, max_size=2))
def test_any_template_is_a_job_or_has_a_problem_with_a_name(template: dict[str, Any]) -> None:
    if (problem := template_problem(template)) is None:
        reindex_job(MODEL, Reindex(template=template), STORE, ROLLOUT)
    else:
        assert problem.startswith("serving.reindex.template")


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ({"kind": "EmbeddingModel", "name": "shop", "uid": "u"}, "Model"),
        ({"kind": "EmbeddingModel", "name": "shop", "uid": "earlier"}, "Gone"),
        ({"kind": "CronJob", "name": "shop", "uid": "c"}, "Other"),
    ],
)
def test_whose_the_job_is(owner: dict[str, Any], expected: str) -> None:
    found = job()
    found["metadata"]["ownerReferences"] = [owner]
    view = job_view(found, [], ROLLOUT, None, MODEL)
    assert view is not None
    assert view.owner == expected
    assert view.of_this_rollout == (expected == "Model")
