"""The import: its Job and plan, and which result is believed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_api.method import FineTuningMethodSpec
from bluetune_api.model import EmbeddingModelSpec
from bluetune_api.pods import PodTemplate, Resources
from bluetune_api.records import Manifest, Probe, Result, RunOwner, digest_of, version_of
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import plan_config_map
from bluetune_operator.core.models.base_import import (
    another_plan,
    import_job,
    import_plan,
    import_settings,
    job_problem,
    manifest_problem,
    outdated,
    read_result,
)
from bluetune_operator.core.rollout.moves import Failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = Manifest(files=[], dimension=2, probe=Probe(texts=[], vectors=[])).encode()
DIGEST = digest_of(MANIFEST)
VERSION = version_of(DIGEST)
MODEL = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "EmbeddingModel",
    "metadata": {"name": "shop", "namespace": "ns", "uid": "u", "generation": 3},
}


def spec(uri: str = "/models/base") -> EmbeddingModelSpec:
    return EmbeddingModelSpec.model_validate(
        {
            "base": {"uri": uri},
            "store": {"endpoint": "minio:9000", "bucket": "models", "credentialsSecretRef": {"name": "keys"}},
        }
    )


def made(method: FineTuningMethodSpec | None = None, uri: str = "/models/base") -> dict[str, Any]:
    return import_job(MODEL, import_settings(MODEL, spec(uri), method, Config(trainer_image="trainer:1")))


def test_the_job_runs_the_methods_image_without_its_gpus() -> None:
    limits = {"nvidia.com/gpu": "1", "memory": "4Gi"}
    method = FineTuningMethodSpec(image="mine:2", pod_template=PodTemplate(resources=Resources(limits=limits)))
    container = made(method)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "mine:2"
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert made()["spec"]["template"]["spec"]["containers"][0]["image"] == "trainer:1"
    assert made()["metadata"]["name"] == "shop-import"


@pytest.mark.parametrize(("uri", "offline"), [("/models/base", True), ("hf://org/model@main", False)])
def test_only_a_base_from_the_hub_may_go_online(uri: str, offline: bool) -> None:
    env = made(uri=uri)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert any(v["name"] == "HF_HUB_OFFLINE" for v in env) == offline


@pytest.mark.parametrize("fixed", [True, False])
def test_an_import_names_its_user_unless_the_platform_assigns_one(fixed: bool) -> None:
    job = import_job(MODEL, import_settings(MODEL, spec(), None, Config(fixed_ids=fixed)))
    assert ("runAsUser" in job["spec"]["template"]["spec"]["securityContext"]) is fixed


def test_with_a_queue_kueue_starts_the_import() -> None:
    settings = import_settings(MODEL, spec().model_copy(update={"queue_name": "cpus"}), None, Config())
    job = import_job(MODEL, settings)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cpus"
    assert job["spec"]["suspend"] is True
    assert made()["spec"]["suspend"] is False
    assert job_problem(job, [], datetime(2026, 1, 1, tzinfo=UTC)).reason == "Queued"
    by_others = made() | {"spec": {"suspend": True}}
    assert job_problem(by_others, [], datetime(2026, 1, 1, tzinfo=UTC)).reason == "SuspendedByOthers"


def test_a_plan_left_by_an_earlier_try_is_recognised() -> None:
    settings = import_settings(MODEL, spec(), None, Config())
    plan = import_plan(MODEL, spec(), None)
    assert not another_plan(plan_config_map(settings, plan), plan)
    assert another_plan(plan_config_map(settings, plan), import_plan(MODEL, spec("/models/other"), None))
    assert another_plan({"data": {"plan.json": "broken"}}, plan)


def failed(job: dict[str, Any]) -> dict[str, Any]:
    condition = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "m"}
    return job | {"status": {"conditions": [condition]}}


def test_a_failed_import_is_tried_again_when_the_model_has_changed() -> None:
    changed = MODEL | {"metadata": {**MODEL["metadata"], "generation": 4}}  # type: ignore[dict-item]
    assert not outdated(failed(made()), MODEL)
    assert outdated(failed(made()), changed)
    assert not outdated(made(), changed)
    waits = {**made(), "spec": {"suspend": True}}
    assert outdated(waits, changed)
    assert not outdated(waits, MODEL)
    running = {"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Running"}}
    assert not outdated(waits, changed, [running])


def test_an_import_that_meets_an_outage_is_made_again_when_the_model_was_corrected() -> None:
    changed = MODEL | {"metadata": {**MODEL["metadata"], "generation": 4}}  # type: ignore[dict-item]

    def pod(code: int) -> dict[str, Any]:
        ended = {"name": "trainer", "state": {"terminated": {"exitCode": code}}}
        return {"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Failed", "containerStatuses": [ended]}}

    assert outdated(made(), changed, [pod(13)])
    assert not outdated(made(), MODEL, [pod(13)])
    assert not outdated(made(), changed, [pod(1)])  # that has its retries, and ends


def test_a_failed_import_says_what_the_trainer_said_and_how_to_try_again() -> None:
    said = json.dumps({"reason": "PlanInvalid", "message": "base /models/base: no such folder"})
    ended = {"name": "trainer", "state": {"terminated": {"exitCode": 11, "message": said}}}
    pod = {"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Failed", "containerStatuses": [ended]}}
    problem = job_problem(failed(made()), [pod], NOW)
    assert problem.reason == "PlanInvalid"
    assert "base /models/base: no such folder; correct it, then delete Job shop-import" in problem.message


def test_a_pod_that_does_not_start_is_the_reason_and_an_attempt_that_ended_is_not() -> None:
    waits = {"name": "trainer", "image": "i", "state": {"waiting": {"reason": "ErrImagePull", "message": "no host"}}}
    born = {"name": "p", "uid": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}
    starting = {"metadata": born, "status": {"phase": "Pending", "containerStatuses": [waits]}}
    crashed = {"name": "trainer", "state": {"terminated": {"exitCode": 1, "message": "boom"}}}
    ended = {"metadata": born, "status": {"phase": "Failed", "containerStatuses": [crashed]}}
    assert job_problem(made(), [starting], NOW).reason == "ImagePullBackOff"
    again = job_problem(made(), [ended], NOW)
    assert (again.reason, "boom" in again.message) == ("Importing", True)
    assert job_problem(made(), [], NOW) == Failure("Importing", "the base is being imported")


@pytest.mark.parametrize("reason", ["StoreDenied", "StoreUnreachable", "BaseUnreachable"])
def test_an_outage_is_the_reason_also_while_the_import_runs_into_it_again(reason: str) -> None:
    said = json.dumps({"reason": reason, "message": "no answer"})
    lost = {"name": "trainer", "state": {"terminated": {"exitCode": 13, "message": said}}}
    ended = {"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Failed", "containerStatuses": [lost]}}
    runs = {"metadata": {"name": "q", "uid": "q", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    for pods in ([ended], [ended, runs | {"status": {"phase": "Running"}}]):
        assert job_problem(made(), pods, NOW) == Failure(reason, "no answer; the import is tried again")


def result(**more: Any) -> bytes:
    owner = RunOwner(kind="EmbeddingModel", name="shop", namespace="ns", uid=more.pop("uid", "u"))
    fields = {"kind": "Import", "version": VERSION, "digest": DIGEST, "uri": "s3://x"} | more
    return json.dumps(Result(owner=owner, **fields).wire()).encode()


@pytest.mark.parametrize(
    ("data", "believed"),
    [(result(), True), (result(uid="other"), False), (result(kind="Train"), False), (b"{}", False), (b"\xff", False)],
)
def test_only_this_models_result_is_believed(data: bytes, believed: bool) -> None:
    found = read_result(data, "u")
    assert isinstance(found, Result) == believed
    assert believed or isinstance(found, Failure)


@pytest.mark.parametrize(
    ("manifest", "version", "reason"),
    [
        (MANIFEST, VERSION, None),
        (None, VERSION, "VersionNotFound"),
        (MANIFEST + b" ", VERSION, "VersionInvalid"),
        (MANIFEST, "v000000000001", "VersionInvalid"),
    ],
)
def test_a_version_is_served_only_with_the_manifest_of_its_digest(
    manifest: bytes | None, version: str, reason: str | None
) -> None:
    problem = manifest_problem(manifest, version, DIGEST)
    assert (problem.reason if problem else None) == reason
