"""A store has an owner and a live version, which outlive the model's status: the reconcilers on servers in memory."""

import json
import random
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.objectstore import NoConditionalWrites, StoreUnreachable
from bluetune_api.records import Result, RunOwner
from bluetune_api.store_identity import TAKE_OVER_ANNOTATION, StoreOwner
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS, MODELS, TASKS, Object, condition
from bluetune_operator.core.rollout.serving_patch import VERSION_ANNOTATION
from bluetune_operator.reconciler.models import live_version as live_version
from unit.operator_lock_model.apiserver import Change, copied
from unit.operator_lock_model.store import published
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import BLUE, MODEL, NAMESPACE

STRANGER = StoreOwner(cluster="elsewhere", namespace="team", name="products", uid="u-1")


class Stage:
    """One operator, one model with a Deployment, and a store."""

    def __init__(self) -> None:
        self.system = System(1, serving=True)
        self.server, self.store = self.system.world.server, self.system.world.store
        self.base, self.base_digest, _ = published("base", None)
        self.patched: list[str] = []
        self.edit(serving={"deployment": BLUE, "container": "server", "gate": {"confidence": 0}})
        self.server.on_change = self._note

    def _note(self, change: Change) -> None:
        if change.kind == DEPLOYMENTS.plural and change.actor.startswith("operator"):
            assert change.after is not None
            self.patched.append(change.after["spec"]["template"]["metadata"]["annotations"][VERSION_ANNOTATION])

    def settle(self) -> None:
        self.system.run_dry(random.Random(0))

    def promoted(self) -> str:
        """A version that a task trained, and that blue serves."""
        self.system.world.add("a", deployAsBlue=True)
        self.settle()
        current = self.status()["current"]["version"]
        assert current != self.base
        assert self.served() == current
        self.patched.clear()
        return str(current)

    def model(self) -> Object:
        found = self.server.get(MODELS, MODEL)
        assert found is not None
        return copied(found)  # type: ignore[no-any-return]

    def status(self) -> dict[str, Any]:
        return self.model().get("status") or {}

    def ready(self) -> tuple[str, str, str]:
        said = condition(self.model(), "Ready")
        assert said is not None
        return said["status"], said["reason"], said["message"]

    def served(self) -> str:
        blue = self.server.get(DEPLOYMENTS, BLUE)
        assert blue is not None
        return str(blue["spec"]["template"]["metadata"]["annotations"][VERSION_ANNOTATION])

    def edit(self, **spec: Any) -> None:
        model = self.model()
        model["spec"] |= spec
        self.server.put("person", MODELS, model)

    def annotate(self, value: str) -> None:
        model = self.model()
        model["metadata"]["annotations"] = {TAKE_OVER_ANNOTATION: value}
        self.server.put("person", MODELS, model)

    def lose_status(self) -> None:
        model = self.model()
        del model["status"]
        self.server.put("person", MODELS, model)
        self.import_base()

    def make_again(self) -> None:
        """Deleted and applied again, as GitOps and restores do: without status, with another uid."""
        spec = self.model()["spec"]
        self.server.remove("person", MODELS, MODEL)
        self.settle()
        body = {"apiVersion": MODELS.api_version, "kind": MODELS.name, "metadata": {"name": MODEL}, "spec": spec}
        self.server.create("person", MODELS, body)
        self.import_base()

    def import_base(self) -> None:
        """The import Job has run again."""
        uid = self.model()["metadata"]["uid"]
        owner = RunOwner(kind="EmbeddingModel", name=MODEL, namespace=NAMESPACE, uid=uid)
        result = Result(kind="Import", owner=owner, version=self.base, digest=self.base_digest, uri="s3://b/v")
        self.store.kept[store_layout.result(uid)] = result.model_dump_json(by_alias=True).encode()

    def owner(self) -> StoreOwner:
        return StoreOwner.model_validate_json(self.store.kept[store_layout.OWNER])


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Whose it is


def test_a_model_claims_its_store(stage: Stage) -> None:
    stage.settle()
    uid = stage.model()["metadata"]["uid"]
    assert stage.owner() == StoreOwner(cluster="cluster", namespace=NAMESPACE, name=MODEL, uid=uid)
    assert stage.status()["deployment"] == BLUE


def test_a_store_of_another_is_not_written_and_its_tasks_wait(stage: Stage) -> None:
    stage.store.kept[store_layout.OWNER] = STRANGER.encode()
    before = dict(stage.store.kept)
    stage.edit(retention={"keepVersions": 2})
    stage.system.world.add("a", idempotencyKey="k", deployAsBlue=True)
    stage.settle()
    status, reason, message = stage.ready()
    assert (status, reason) == ("False", "AlreadyClaimed")
    assert "team/products (uid u-1) of cluster elsewhere" in message
    assert f"{TAKE_OVER_ANNOTATION}=team/products/u-1" in message
    assert stage.store.kept == before
    assert stage.server.get(JOBS, "a-check") is None
    assert stage.patched == []


def test_a_store_that_is_taken_over_during_a_run_keeps_its_keys_as_they_are(stage: Stage) -> None:
    stage.settle()
    stage.store.kept[store_layout.OWNER] = STRANGER.encode()  # the model's condition is as before for a minute
    before = dict(stage.store.kept)
    stage.system.world.add("a", idempotencyKey="k")
    stage.settle()
    assert stage.store.kept == before
    task = stage.server.get(TASKS, "a")
    assert task is not None
    assert condition(task, "Ready")["reason"] == "AlreadyClaimed"  # type: ignore[index]
    assert stage.server.get(JOBS, "a-check") is None


def test_an_annotation_that_names_the_owner_takes_over(stage: Stage) -> None:
    stage.store.kept[store_layout.OWNER] = STRANGER.encode()
    stage.settle()
    stage.annotate("team/products/u-2")
    stage.settle()
    assert stage.owner() == STRANGER
    assert "now it names 'team/products/u-2'" in stage.ready()[2]
    stage.annotate(STRANGER.reference())
    stage.settle()
    assert stage.owner().uid == stage.model()["metadata"]["uid"]
    assert stage.ready()[:2] == ("True", "Serving")


def test_a_model_of_the_same_name_in_another_cluster_does_not_take_over(stage: Stage) -> None:
    twin = StoreOwner(cluster="staging", namespace=NAMESPACE, name=MODEL, uid="u-1")
    stage.store.kept[store_layout.OWNER] = twin.encode()
    stage.settle()
    assert stage.owner() == twin
    assert stage.ready()[1] == "AlreadyClaimed"


def test_the_cluster_is_added_once_it_can_be_told(stage: Stage) -> None:
    uid = stage.model()["metadata"]["uid"]
    stage.store.kept[store_layout.OWNER] = StoreOwner(namespace=NAMESPACE, name=MODEL, uid=uid).encode()
    stage.settle()
    assert stage.owner() == StoreOwner(cluster="cluster", namespace=NAMESPACE, name=MODEL, uid=uid)


def test_an_endpoint_that_leads_to_another_store_is_not_claimed(stage: Stage) -> None:
    stage.store.kept.clear()  # what the new address holds
    stage.settle()
    assert stage.store.kept == {}
    assert stage.ready()[1] == "VersionNotFound"
    assert "correct spec.store.endpoint" in stage.ready()[2]


def test_a_store_without_conditional_writes_is_said_with_what_is_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignores() -> None:
        raise NoConditionalWrites("s3://bucket/m")

    monkeypatch.setattr(stage.store, "require_conditional_writes", ignores)
    stage.settle()
    said = condition(stage.model(), "StoreUnsafe")
    assert said is not None
    assert (said["status"], said["reason"]) == ("True", "NoConditionalWrites")
    assert "two tasks of one idempotencyKey may both work" in said["message"]


def test_a_store_with_conditional_writes_is_asked_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def has_them() -> None:
        asked.append(1)

    monkeypatch.setattr(stage.store, "require_conditional_writes", has_them)
    stage.settle()
    assert condition(stage.model(), "StoreUnsafe")["status"] == "False"  # type: ignore[index]
    stage.promoted()
    assert asked == [1]


# What is live


def test_each_promotion_is_written_down(stage: Stage) -> None:
    stage.settle()
    assert json.loads(stage.store.kept[store_layout.CURRENT])["version"] == stage.base
    live = stage.promoted()
    record = json.loads(stage.store.kept[store_layout.CURRENT])
    assert (record["version"], record["digest"]) == (live, stage.status()["current"]["digest"])
    assert record["promotedAt"] == stage.status()["current"]["promotedAt"]
    assert [each["version"] for each in record["history"]] == [stage.base]


def test_a_record_that_another_operator_wrote_late_is_put_right(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settle()
    late = stage.store.kept[store_layout.CURRENT]
    live = stage.promoted()
    stage.store.kept[store_layout.CURRENT] = late
    monkeypatch.setattr(live_version, "BELIEVED_SECONDS", 0.0)
    stage.edit(retention={"keepVersions": 9})
    stage.settle()
    assert json.loads(stage.store.kept[store_layout.CURRENT])["version"] == live


@pytest.mark.parametrize("how", ["make_again", "lose_status"])
@pytest.mark.parametrize("kept", ["current.json", "the Deployment"])
def test_a_model_without_status_keeps_what_is_live(stage: Stage, how: str, kept: str) -> None:
    live = stage.promoted()
    before, jobs = copied(stage.server.get(DEPLOYMENTS, BLUE)), len(stage.server.all(JOBS))
    if kept == "the Deployment":
        del stage.store.kept[store_layout.CURRENT]
    getattr(stage, how)()
    stage.settle()
    assert stage.status()["current"]["version"] == live
    assert stage.ready()[:2] == ("True", "Serving")
    assert stage.patched == []
    assert stage.server.get(DEPLOYMENTS, BLUE) == before
    assert len(stage.server.all(JOBS)) <= jobs
    if kept == "current.json":
        assert [each["version"] for each in stage.status()["history"]] == [stage.base]
    assert json.loads(stage.store.kept[store_layout.CURRENT])["version"] == live


@pytest.mark.parametrize("damage", ["manifest gone", "another manifest", "record cannot be read"])
def test_where_the_store_does_not_confirm_what_is_live_a_person_decides(stage: Stage, damage: str) -> None:
    live = stage.promoted()
    if damage == "manifest gone":
        del stage.store.kept[store_layout.manifest(live)]
    elif damage == "another manifest":
        stage.store.kept[store_layout.manifest(live)] = b"{}"
    else:
        stage.store.kept[store_layout.CURRENT] = b"{"
        del stage.store.kept[store_layout.manifest(live)]
    stage.make_again()
    stage.settle()
    stage.system.world.add("b")
    stage.settle()
    assert stage.server.get(JOBS, "b-check") is None, "it would start from the base"
    status, reason, message = stage.ready()
    assert (status, reason) == ("False", "VersionNotFound" if damage == "manifest gone" else "VersionInvalid")
    assert "spec.serving.rollbackTo" in message
    assert (stage.patched, stage.served()) == ([], live)
    stage.edit(serving={**stage.model()["spec"]["serving"], "rollbackTo": stage.base})
    stage.settle()
    assert stage.served() == stage.base
    assert stage.server.get(JOBS, "b-check") is not None


def test_while_the_store_is_away_nothing_is_rolled_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    live = stage.promoted()
    stage.make_again()
    kept = stage.store.get_or_none

    async def away(key: str) -> bytes | None:
        if key == store_layout.CURRENT:
            raise StoreUnreachable("no answer")
        return await kept(key)

    monkeypatch.setattr(stage.store, "get_or_none", away)
    stage.settle()
    assert stage.ready()[:2] == ("False", "StoreUnreachable")
    assert (stage.patched, stage.served()) == ([], live)
    monkeypatch.undo()
    stage.settle()
    assert stage.status()["current"]["version"] == live


def test_a_deployment_that_served_another_store_gets_this_models_base(stage: Stage) -> None:
    stage.promoted()
    blue = copied(stage.server.get(DEPLOYMENTS, BLUE))
    env = blue["spec"]["template"]["spec"]["containers"][0]["env"]
    next(each for each in env if each["name"] == "BLUETUNE_URI")["value"] = "s3://bucket/other/versions/v/"
    stage.server.put("person", DEPLOYMENTS, blue)
    del stage.store.kept[store_layout.CURRENT]
    stage.make_again()
    stage.settle()
    assert stage.served() == stage.base


# Every patch


def test_a_version_that_the_store_lost_is_not_patched_in_again(stage: Stage) -> None:
    live = stage.promoted()
    del stage.store.kept[store_layout.manifest(live)]
    blue = copied(stage.server.get(DEPLOYMENTS, BLUE))
    blue["spec"]["template"]["metadata"]["annotations"] = {VERSION_ANNOTATION: stage.base}
    stage.server.put("person", DEPLOYMENTS, blue)
    stage.settle()
    assert stage.patched == []
    assert stage.ready()[:2] == ("False", "VersionNotFound")
    assert live in stage.ready()[2]


def test_a_version_that_is_lost_during_its_rollout_is_not_patched_in(stage: Stage) -> None:
    stage.settle()
    stage.patched.clear()
    note = stage.server.on_change

    def lose(change: Change) -> None:
        note(change)
        rollout = ((change.after or {}).get("status") or {}).get("rollout") or {}
        if change.kind == MODELS.plural and rollout.get("step") == "Patch" and rollout["to"] != stage.base:
            stage.store.kept.pop(store_layout.manifest(rollout["to"]), None)

    stage.server.on_change = lose
    stage.system.world.add("a", deployAsBlue=True)
    stage.settle()
    assert (stage.patched, stage.served()) == ([], stage.base)
    task = stage.server.get(TASKS, "a")
    assert task is not None
    assert "VersionNotFound" in condition(task, "Promoted")["message"]  # type: ignore[index]


def test_a_version_that_was_compared_with_another_than_blue_serves_is_not_rolled_out(stage: Stage) -> None:
    stage.settle()
    stage.patched.clear()
    other, digest, manifest = published("other", None)
    stage.store.kept[store_layout.manifest(other)] = manifest
    note = stage.server.on_change

    def replace(change: Change) -> None:
        """Somebody has made the model again, with another version, when the task asks."""
        note(change)
        asks = change.after is not None and (condition(change.after, "Promoted") or {}).get("status") == "Unknown"
        if change.kind == TASKS.plural and asks and stage.status()["current"]["version"] == stage.base:
            model = stage.model()
            model["status"]["current"] |= {"version": other, "digest": digest}
            stage.server.put("person", MODELS, model)

    stage.server.on_change = replace
    stage.system.world.add("a", deployAsBlue=True)
    stage.settle()
    task = stage.server.get(TASKS, "a")
    assert task is not None
    assert condition(task, "Promoted")["reason"] == "GateStale"  # type: ignore[index]
    assert set(stage.patched) <= {other}


def test_a_task_whose_start_version_is_gone_ends_and_frees_the_lock(stage: Stage) -> None:
    live = stage.promoted()
    del stage.store.kept[store_layout.manifest(live)]
    stage.system.world.add("b", batchId=None)
    stage.settle()
    task = stage.server.get(TASKS, "b")
    assert task is not None
    assert condition(task, "Failed")["reason"] == "VersionNotFound"  # type: ignore[index]
    assert stage.status().get("lock") is None


def test_a_version_that_the_store_lost_is_not_reindexed(stage: Stage) -> None:
    model = stage.model()
    stage.store.kept[store_layout.OWNER] = StoreOwner(
        namespace=NAMESPACE, name=MODEL, uid=model["metadata"]["uid"]
    ).encode()
    del stage.store.kept[store_layout.manifest(stage.base)]
    del model["status"]["current"]
    model["spec"]["serving"]["reindex"] = {
        "template": {"backoffLimit": 0, "template": {"spec": {"containers": [{"name": "r", "image": "r"}]}}}
    }
    stage.server.put("person", MODELS, model)
    stage.settle()
    assert stage.server.all(JOBS) == []
    assert stage.ready()[:2] == ("False", "VersionNotFound")
    stage.store.kept[store_layout.manifest(stage.base)] = published("base", None)[2]
    stage.edit(retention={"keepVersions": 9})  # a change of the model is worth another try at once
    stage.settle()
    assert [job["metadata"]["labels"]["bluetune.dev/job"] for job in stage.server.all(JOBS)] == ["reindex"]
