"""A run uses the store that it began with, to its end: its Jobs, and the operator that reads its result."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bluetune_api.store_location import StoreSpec
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.store import StoreProblem
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import trainer_job
from bluetune_operator.core.kinds import JOBS
from bluetune_operator.core.tasks.jobs import train_job, with_record
from bluetune_operator.core.tasks.run_record import run_record, store_of_job
from bluetune_operator.reconciler.tasks.run import Run
from bluetune_operator.reconciler.tasks.store import store_of
from unit.operator_task.test_jobs import parts

KEYS = {"credentialsSecretRef": {"name": "keys"}}
BEGAN = StoreSpec.model_validate({"endpoint": "old:9000", "bucket": "models", "prefix": "p", **KEYS})
NOW = {"endpoint": "new:9000", "bucket": "models", "prefix": "p", "credentialsSecretRef": {"name": "newer"}}


def job_that_began() -> dict[str, Any]:
    """The training Job of a run whose model was edited since."""
    raw, task, model, method = parts(BEGAN.wire())
    record = run_record(task, model, method, Config())
    edited = model.model_copy(update={"spec": model.spec.model_copy(update={"store": StoreSpec.model_validate(NOW)})})
    return trainer_job(with_record(train_job(raw, task, edited, record, Config(), check=None), record))


def opened(job: dict[str, Any] | None, *, gone: bool = False) -> list[StoreSpec]:
    """Which stores the operator opens for a run."""
    asked: list[StoreSpec] = []

    async def open_store(model: Any, store: StoreSpec | None = None, *, fresh: bool = False) -> None:
        spec = store or StoreSpec.model_validate(model["spec"]["store"])
        asked.append(spec)
        if gone and spec.credentials_secret_ref is not None and spec.credentials_secret_ref.name == "keys":
            raise StoreProblem("SecretNotFound", "gone")

    cache = ObjectCache()
    if job is not None:
        job["metadata"] |= {"uid": "j", "name": "t-train", "ownerReferences": [{"uid": "u"}]}
        cache.put(JOBS, job)
    context = SimpleNamespace(cache=cache, stores=SimpleNamespace(open=open_store))
    namespace = job["metadata"]["namespace"] if job else "ns"
    raw = {"metadata": {"name": "t", "namespace": namespace, "uid": "u"}}
    run = Run(cast("Any", context), raw, cast("Any", None), cast("Any", None))
    asyncio.run(store_of(run, {"spec": {"store": NOW}}))
    return asked


def test_the_jobs_of_a_run_work_where_it_began() -> None:
    job = job_that_began()
    env = {each["name"]: each for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert '"endpoint": "old:9000"' in env["BLUETUNE_STORE"]["value"]
    assert env["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == "keys"
    assert store_of_job(job) == BEGAN


def test_the_operator_reads_where_the_run_began() -> None:
    assert opened(job_that_began()) == [BEGAN]


def test_a_task_without_jobs_and_one_from_before_go_by_the_model() -> None:
    before = job_that_began()
    before["metadata"]["annotations"] = {}
    for job in (None, before):
        assert [spec.endpoint for spec in opened(job)] == ["new:9000"]


def test_keys_that_are_gone_are_replaced_by_those_of_now() -> None:
    first, second = opened(job_that_began(), gone=True)
    assert first == BEGAN
    assert (second.endpoint, second.credentials_secret_ref) == (
        "old:9000",
        StoreSpec.model_validate(NOW).credentials_secret_ref,
    )


@pytest.mark.parametrize("text", [None, "", "{", '{"endpoint": 1}'])
def test_an_annotation_that_is_none_names_no_store(text: str | None) -> None:
    assert (
        store_of_job({"metadata": {"annotations": {"bluetune.dev/store": text} if text is not None else None}}) is None
    )
