"""What a task refers to, what is missing, and what a person is told."""

from typing import Any

import pytest

from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.records import KeyClaim
from bluetune_api.task import FineTuningTask
from bluetune_operator.core.config import config_from
from bluetune_operator.core.references import Problem, parsed, resolve_method, resolve_model, start_version
from bluetune_operator.core.tasks.key_claim import key_verdict, same_work

BASE, LIVE = "v000000000001", "v000000000002"
STORE = {"endpoint": "s3:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}}


def resource(kind: str, name: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": "bluetune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, **more}


def task(**spec: Any) -> FineTuningTask:
    return FineTuningTask.model_validate(resource("FineTuningTask", "t", {"modelRef": {"name": "m"}, **spec}))


def model(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return resource("EmbeddingModel", "m", {"base": {"uri": "/b"}, "store": STORE, **spec}, status=status or {})


def ready(status: str, reason: str, message: str) -> dict[str, Any]:
    said = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"conditions": [said | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}


CURRENT = {
    "version": LIVE,
    "uri": "s3://b/v",
    "digest": "sha256:" + "0" * 64,
    "promotedAt": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("found", "reason", "part"),
    [
        (None, "ModelNotFound", "EmbeddingModel 'm' does not exist"),
        (model(), "ModelNotReady", "its base is being imported"),
        (
            model(ready("False", "SecretNotFound", "create Secret 's'")),
            "ModelNotReady",
            "SecretNotFound: create Secret",
        ),
        (
            model(ready("False", "AlreadyClaimed", "prefix is n/other's") | {"baseVersion": BASE}),
            "ModelNotReady",
            "prefix is n/other's",
        ),
        (model(retention={"keepVersions": 1}), "ModelInvalid", "spec.retention.keepVersions"),
        (model({"rollout": {"step": "Canary"}}), "ModelNotReady", "upgrade the operator"),
    ],
)
def test_a_model_that_cannot_be_used(found: Any, reason: str, part: str) -> None:
    problem = resolve_model(task(), found)
    assert isinstance(problem, Problem)
    assert problem.reason == reason
    assert part in problem.message


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {"baseVersion": BASE}, BASE),
        ({}, {"baseVersion": BASE, "current": CURRENT}, LIVE),
        ({"startFrom": BASE}, {"baseVersion": BASE, "current": CURRENT}, BASE),
    ],
)
def test_what_training_starts_from(spec: dict[str, Any], status: dict[str, Any], expected: str) -> None:
    found = resolve_model(task(**spec), model(status))
    assert isinstance(found, EmbeddingModel)
    assert start_version(task(**spec), found) == expected


def test_the_method_is_the_tasks_or_else_the_models() -> None:
    plain, with_method = (
        EmbeddingModel.model_validate(model(**spec)) for spec in ({}, {"methodRef": {"name": "text"}})
    )
    method = resource("FineTuningMethod", "text", {})
    assert isinstance(resolve_method(task(), with_method, method), FineTuningMethod)
    for problem, part in (
        (resolve_method(task(), plain, None), "neither spec.methodRef nor"),
        (resolve_method(task(methodRef={"name": "x"}), plain, None), "FineTuningMethod 'x' does not exist"),
    ):
        assert isinstance(problem, Problem)
        assert part in problem.message
    bad = resolve_method(task(), with_method, resource("FineTuningMethod", "text", {"plugin": "a b"}))
    assert isinstance(bad, Problem)
    assert (bad.reason, "spec.plugin" in bad.message) == ("MethodInvalid", True)


def test_what_the_types_do_not_know_names_the_field() -> None:
    problem = parsed(FineTuningTask, resource("FineTuningTask", "t", {"modelRef": {"name": "m"}, "priority": "high"}))
    assert isinstance(problem, Problem)
    assert "spec.priority" in problem.message


CLAIM = KeyClaim(task_uid="first", task="one")


@pytest.mark.parametrize(
    ("uid", "claim", "claimant", "has_result", "action"),
    [
        ("me", None, None, False, "Claim"),
        ("first", CLAIM, "Active", False, "Ours"),
        ("me", CLAIM, "Active", False, "Follow"),
        ("me", CLAIM, "Succeeded", True, "TakeOver"),
        ("me", CLAIM, "Gone", True, "TakeOver"),
        ("me", CLAIM, "Gone", False, "Replace"),
        ("me", CLAIM, "Failed", False, "Replace"),
    ],
)
def test_whose_an_idempotency_key_is(uid: str, claim: Any, claimant: Any, has_result: bool, action: str) -> None:
    assert key_verdict(uid, claim, claimant, has_result).action == action


def test_the_environment_sets_the_operator_up_and_mistakes_name_the_variable() -> None:
    config = config_from({"BLUETUNE_NAMESPACES": "a, b,", "BLUETUNE_HEALTH_PORT": "0", "POD_NAMESPACE": "x"})
    assert (config.namespaces, config.scopes, config.health_port) == (("a", "b"), ("a", "b"), 0)
    assert config_from({}).scopes == (None,)
    assert (config.fixed_ids, config_from({"BLUETUNE_FIXED_IDS": "false"}).fixed_ids) == (True, False)
    wrong = (
        ("BLUETUNE_METRICS_PORT", "x"),
        ("BLUETUNE_LOG_FORMAT", "xml"),
        ("BLUETUNE_FIXED_IDS", "no"),
        ("BLUETUNE_FETCHER_IMAGE_PULL_POLICY", "always"),
        ("BLUETUNE_MAX_ROLLOUTS", "0"),
    )
    assert (config_from({}).max_rollouts, config_from({"BLUETUNE_MAX_ROLLOUTS": "7"}).max_rollouts) == (5, 7)
    for name, value in wrong:
        with pytest.raises(ValueError, match=f"{name}='{value}'"):
            config_from({name: value})


@pytest.mark.parametrize(("one", "other", "expected"), [(None, None, False), ("a", None, False), ("a", "b", False)])
def test_only_the_same_key_is_the_same_work(one: str | None, other: str | None, expected: bool) -> None:
    assert same_work({"spec": {"idempotencyKey": one}}, {"spec": {"idempotencyKey": other}}) is expected
    assert same_work({"spec": {"idempotencyKey": "a"}}, {"spec": {"idempotencyKey": "a"}})
