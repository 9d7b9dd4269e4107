"""bluetune's own index in a rollout: its Jobs, what is made of how they end, what servers are told."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest, IndexProgress, IndexShard
from bluetune_api.method import FineTuningMethodSpec
from bluetune_api.model import EmbeddingModelSpec, Rollout, Serving
from bluetune_api.objectstore import StoreUnreachable
from bluetune_api.records import Plan
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.state import Trouble
from bluetune_operator.core.kinds import JOBS, METHODS
from bluetune_operator.core.rollout.index import index_job, index_view, progress_words, whole_index
from bluetune_operator.core.rollout.limits import Watched, whole_limit
from bluetune_operator.core.rollout.moves import Action, JobView, Observed, advance
from bluetune_operator.core.rollout.record import index_asked
from bluetune_operator.core.rollout.reindex import ROLLOUT_ANNOTATION
from bluetune_operator.core.rollout.serving_patch import Fetcher, serving_patch
from unit.operator_model.scene import NEW, NEW_DIGEST, OLD, Scene

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = "2026-01-01T00:00:00Z"
DATABASE = {"connectionSecretRef": {"name": "db", "key": "uri"}, "table": "docs"}
PARQUET: dict[str, Any] = {"target": {"type": "Parquet"}, "shards": 3, "timeoutSeconds": 100}
PGVECTOR: dict[str, Any] = PARQUET | {"target": {"type": "Pgvector", "pgvector": DATABASE}}
SEARCH = {"url": "https://search:9200", "index": "docs"}
OPENSEARCH: dict[str, Any] = PARQUET | {"target": {"type": "OpenSearch", "opensearch": SEARCH}}
MODEL = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "EmbeddingModel",
    "metadata": {"name": "m" * 40, "namespace": "ns", "uid": "u"},
}
METHOD = FineTuningMethodSpec.model_validate(
    {
        "image": "mine:1",
        "items": {"textFields": ["name"]},
        "settings": {"maxTokens": 64},
        "initialParams": {"items_lr": {"uniform": {"low": 0.1, "high": 0.2}}},
        "podTemplate": {"resources": {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}}},
    }
)


def spec(index: dict[str, Any]) -> EmbeddingModelSpec:
    return EmbeddingModelSpec.model_validate(
        {
            "base": {"uri": "/models/base"},
            "store": {"endpoint": "s:9000", "bucket": "models", "credentialsSecretRef": {"name": "keys"}},
            "serving": {"deployment": "blue", "container": "server", "index": index},
        }
    )


def serving(index: dict[str, Any]) -> Serving:
    found = spec(index).serving
    assert found is not None
    return found


def at(step: str, **more: Any) -> Rollout:
    fields = {"from": OLD, "to": NEW, "digest": NEW_DIGEST, "step": step, "startedAt": STAMP, "stepStartedAt": STAMP}
    return Rollout.model_validate(fields | more)


def job(step: str = "Reindex", index: dict[str, Any] = PGVECTOR) -> dict[str, Any]:
    declared = serving(index).index
    assert declared is not None
    return index_job(MODEL, spec(index), declared, METHOD, at(step), Config())


def container(made: dict[str, Any]) -> dict[str, Any]:
    (found,) = made["spec"]["template"]["spec"]["containers"]
    return dict(found)


def plan_of(made: dict[str, Any]) -> Plan:
    return Plan.model_validate_json(made["spec"]["template"]["metadata"]["annotations"]["bluetune.dev/plan"])


def test_the_encoding_job_is_indexed_and_every_pod_has_the_whole_plan_with_it() -> None:
    made = job()
    assert (made["spec"]["completionMode"], made["spec"]["completions"], made["spec"]["parallelism"]) == (
        "Indexed",
        3,
        3,
    )
    assert len(made["metadata"]["name"] + "-255") <= 63
    assert made["metadata"]["labels"]["bluetune.dev/job"] == "index"
    assert container(made)["args"] == ["index", "--plan", "/etc/bluetune/plan.json"]
    assert container(made)["image"] == "mine:1"
    assert container(made)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    plan = plan_of(made)
    assert plan.kind == "Index"
    assert plan.index is not None
    assert (plan.index.version, plan.index.digest, plan.index.shards) == (NEW, NEW_DIGEST, 3)
    assert plan.method.items.text_fields == ["name"]
    assert plan.method.settings.max_tokens == 64
    volumes = {volume["name"]: volume for volume in made["spec"]["template"]["spec"]["volumes"]}
    assert volumes["plan"]["downwardAPI"]["items"] == [
        {"path": "plan.json", "fieldRef": {"fieldPath": "metadata.annotations['bluetune.dev/plan']"}}
    ]
    assert "BLUETUNE_INDEX_DATABASE" not in json.dumps(made)


def test_the_pods_of_one_rollout_share_a_catalogue_and_those_of_another_do_not() -> None:
    first, load = plan_of(job()).index, plan_of(job("Load")).index
    later = at("Reindex", startedAt="2026-01-02T00:00:00Z")
    declared = serving(PARQUET).index
    assert declared is not None
    assert first is not None
    assert load is not None
    second = plan_of(index_job(MODEL, spec(PARQUET), declared, METHOD, later, Config())).index
    assert second is not None
    assert first.run == load.run != second.run


def test_the_loading_job_has_the_address_no_gpu_and_no_number() -> None:
    made = job("Load")
    assert "completionMode" not in made["spec"]
    assert made["spec"]["completions"] == 1
    assert container(made)["args"][0] == "load"
    assert "nvidia.com/gpu" not in container(made)["resources"]["limits"]
    env = {variable["name"]: variable for variable in container(made)["env"]}
    assert env["BLUETUNE_INDEX_DATABASE"]["valueFrom"] == {"secretKeyRef": {"name": "db", "key": "uri"}}
    index = plan_of(made).index
    assert index is not None
    assert index.pgvector is not None
    assert index.pgvector.table == "docs"


def test_pods_of_its_own_replace_those_of_the_method() -> None:
    made = job(index=PARQUET | {"podTemplate": {"resources": {"limits": {"memory": "1Gi"}}}})
    assert container(made)["resources"]["limits"] == {"memory": "1Gi"}


def ended(code: int, reason: str, message: str, name: str = "p") -> dict[str, Any]:
    said = {"exitCode": code, "message": json.dumps({"reason": reason, "message": message})}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": STAMP},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": {"terminated": said}}]},
    }


RUNNING = {"metadata": {"name": "a", "uid": "a", "creationTimestamp": STAMP}, "status": {"phase": "Running"}}
WAITING = {
    "metadata": {"name": "b", "uid": "b", "creationTimestamp": "2026-01-01T00:00:09Z"},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}],
    },
}


def status(kind: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", "reason": "R", "message": "m"}]}}


@pytest.mark.parametrize(
    ("more", "pods", "refused", "expected"),
    [
        ({}, [], None, ("Running", "", None)),
        ({}, [], Trouble("PodRefused", "exceeded quota"), ("Running", "exceeded quota", None)),
        ({}, [WAITING], None, ("Running", "no GPU", None)),
        ({}, [RUNNING, WAITING], None, ("Running", "", None)),
        (status("Complete"), [], None, ("Complete", "", None)),
        (
            status("Failed"),
            [ended(10, "DataInvalid", "12 of 20 lines are broken")],
            None,
            ("Failed", "12 of 20 lines are broken", "DataInvalid"),
        ),
        (
            status("Failed"),
            [ended(11, "RecallTooLow", "finds 0.5 of the nearest")],
            None,
            ("Failed", "finds 0.5 of the nearest", "RecallTooLow"),
        ),
        (
            status("Failed"),
            [ended(10, "DataInvalid", "12 of 20 lines are broken"), ended(75, "Stopped", "stopped on request", "z")],
            None,
            ("Failed", "12 of 20 lines are broken", "DataInvalid"),
        ),
    ],
)
def test_what_the_job_says(
    more: dict[str, Any], pods: list[Any], refused: Trouble | None, expected: tuple[str, str, str | None]
) -> None:
    view = index_view(job() | more, pods, at("Reindex"), refused, MODEL, NOW, index_asked(serving(PGVECTOR)))
    assert view is not None
    assert view.of_this_rollout
    assert view.state == expected[0]
    assert expected[1] in view.message
    assert (view.message == "") == (expected[1] == "")
    assert expected[2] is None or view.reason == expected[2]


def test_a_job_of_an_earlier_rollout_is_told_from_this_ones() -> None:
    old = job() | status("Complete")
    view = index_view(
        old, [], at("Reindex", startedAt="2026-01-02T00:00:00Z"), None, MODEL, NOW, index_asked(serving(PGVECTOR))
    )
    assert view is not None
    assert not view.of_this_rollout


def seen(index: dict[str, Any], view: JobView | None, seconds: float = 1.0) -> Observed:
    moment = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)
    return Observed(now=moment, serving=serving(index), watched=Watched(seconds, seconds), job=view)


DONE = JobView("Complete", True)


@pytest.mark.parametrize(
    ("rollout", "look", "step", "action"),
    [
        (at("Reindex"), seen(PARQUET, None), "Reindex", Action.CREATE_REINDEX),
        (at("Reindex"), seen(PARQUET, JobView("Running", True)), "Reindex", None),
        (at("Reindex"), seen(PARQUET, replace(DONE, of_this_rollout=False)), "Reindex", Action.DELETE_REINDEX),
        (at("Reindex"), seen(PARQUET, DONE), "Patch", None),
        (at("Reindex"), seen(PGVECTOR, DONE), "Load", None),
        (at("Reindex"), seen(PARQUET, JobView("Running", True), 101), "Failed", Action.DELETE_REINDEX),
        (at("Load"), seen(PGVECTOR, None), "Load", Action.CREATE_REINDEX),
        (at("Load"), seen(PGVECTOR, DONE), "Patch", None),
        (at("Load"), seen(PGVECTOR, JobView("Running", True), 101), "Failed", Action.DELETE_REINDEX),
        (at("Load"), seen(PARQUET, None), "Patch", None),
        (at("Load"), seen(PGVECTOR, JobView("Failed", True, "r", reason="RecallTooLow")), "Failed", None),
    ],
)
def test_every_move(rollout: Rollout, look: Observed, step: str, action: Action | None) -> None:
    move = advance(rollout, look)
    assert (move.rollout.step, move.action) == (step, action)


def test_the_loading_job_is_no_second_try_of_the_encoding_one() -> None:
    encoded = advance(at("Reindex", actedAt=STAMP, undone=2), seen(PGVECTOR, DONE)).rollout
    assert (encoded.acted_at, encoded.undone) == (None, None)
    move = advance(encoded, seen(PGVECTOR, None))
    assert move.action is Action.CREATE_REINDEX
    assert move.rollout.undone is None


def test_the_whole_rollout_has_time_for_both_jobs() -> None:
    assert whole_limit(at("Reindex"), serving(PGVECTOR)) - whole_limit(at("Reindex"), serving(PARQUET)) == 100


SHARD = IndexShard(shard=0, path="g/p", rows=2, size=1, sha256="0" * 64, precision="FP32", encoded=2)
MANIFEST = IndexManifest(
    version=NEW,
    digest=NEW_DIGEST,
    generation="0" * 12,
    pinned_at=STAMP,
    count=2,
    dimension=2,
    similarity="cosine",
    shards=[SHARD],
)


def stored(**changes: Any) -> bytes:
    return json.dumps(MANIFEST.model_copy(update=changes).wire()).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (stored(), None),
        (None, "there is no _manifest.json"),
        (b"{}", "cannot be read: formatVersion|cannot be read"),
        (stored(version=OLD), f"is of version {OLD}"),
        (stored(digest="sha256:" + "3" * 64), "not of"),
    ],
)
def test_only_a_whole_index_of_the_version_counts(data: bytes | None, words: str | None) -> None:
    found = whole_index(data, at("Reindex"))
    assert isinstance(found, IndexManifest) == (words is None)
    assert isinstance(found, IndexManifest) or any(word in found.message for word in (words or "").split("|"))


def told(**fields: Any) -> IndexProgress:
    return IndexProgress.model_validate({"stage": "Encoding", "updatedAt": STAMP} | fields)


@pytest.mark.parametrize(
    ("progress", "done", "shards", "words"),
    [
        ([], 0, 1, ""),
        ([told(stage="Reading")], 0, 1, "reading the catalogue"),
        ([], 2, 3, "2 of 3 shards done"),
        (
            [told(done=10, total=100, rate=5.0, secondsLeft=18), told(done=30, total=100, rate=7.0, secondsLeft=600)],
            1,
            3,
            "1 of 3 shards done, encoding: 40 of 200 items, 12 a second, 10 min left",
        ),
        ([told(stage="Loading", done=1, total=2, rate=1.0)], 0, 1, "loading: 1 of 2 items, 1 a second"),
        (
            [told(stage="Shortening", done=1, total=2, rate=1.0)],
            1,
            1,
            "shortening the vectors: 1 of 2 items, 1 a second",
        ),
        ([told(stage="Building")], 0, 1, "building the HNSW index"),
    ],
)
def test_how_far_it_is_in_words(progress: list[IndexProgress], done: int, shards: int, words: str) -> None:
    assert progress_words(progress, done, shards) == words


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (PARQUET, {"BLUETUNE_INDEX_URI": f"s3://models/indexes/{NEW}/"}),
        (
            PGVECTOR,
            {"BLUETUNE_INDEX_URI": f"s3://models/indexes/{NEW}/", "BLUETUNE_INDEX_TABLE": f"public.docs_{NEW}"},
        ),
        *(
            (
                OPENSEARCH | {"vectors": vectors},
                {"BLUETUNE_INDEX_URI": f"s3://models/indexes/{NEW}/", "BLUETUNE_INDEX_ALIAS": f"docs-{NEW}{name}"},
            )
            for vectors, name in ((None, ""), ({"dimensions": 256}, "-256"), ({"type": "Int8"}, "-b"))
        ),
        *(
            (
                PGVECTOR | {"vectors": vectors},
                {
                    "BLUETUNE_INDEX_URI": f"s3://models/indexes/{NEW}/",
                    "BLUETUNE_INDEX_TABLE": f"public.docs_{NEW}_{name}",
                },
            )
            for vectors, name in (
                ({"dimensions": 256}, "256"),
                ({"dimensions": 256, "type": "Float16"}, "256h"),
                ({"type": "Float16"}, "h"),
            )
        ),
    ],
)
def test_servers_are_told_where_the_index_is(index: dict[str, Any], expected: dict[str, str]) -> None:
    patch = serving_patch(serving(index), spec(index).store, "ns", NEW, NEW_DIGEST, Fetcher("i"))
    (server,) = patch["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in server["env"]}
    assert {name: value for name, value in env.items() if "INDEX" in name} == expected


@pytest.mark.parametrize(
    ("fields", "secrets"),
    [
        ({}, {}),
        (
            {"credentialsSecretRef": {"name": "keys"}},
            {"BLUETUNE_INDEX_USERNAME": ("keys", "username"), "BLUETUNE_INDEX_PASSWORD": ("keys", "password")},
        ),
        ({"caSecretRef": {"name": "tls"}}, {"BLUETUNE_INDEX_CA": ("tls", "ca.crt")}),
    ],
)
def test_only_the_loading_pod_gets_what_opens_opensearch(
    fields: dict[str, Any], secrets: dict[str, tuple[str, str]]
) -> None:
    index = OPENSEARCH | {"target": {"type": "OpenSearch", "opensearch": SEARCH | fields}}
    for step, expected in (("Reindex", {}), ("Load", secrets)):
        made = container(job(step, index))["env"]
        env = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in made if "BLUETUNE_INDEX" in v["name"]}
        assert {name: (key["name"], key["key"]) for name, key in env.items()} == expected


def test_another_cluster_is_another_index_and_another_demand_on_it_is_not() -> None:
    asked = index_asked(serving(OPENSEARCH))
    for change, same in (({"minRecall": 0.5}, True), ({"url": "https://other:9200"}, False), ({"index": "x"}, False)):
        other = serving(PARQUET | {"target": {"type": "OpenSearch", "opensearch": SEARCH | change}})
        assert (index_asked(other) == asked) is same


def rolling(index: dict[str, Any]) -> Scene:
    """A model whose rollout of the new version has made its encoding Job."""
    scene = Scene(rolloutTimeoutSeconds=60, index=index)
    scene.store.kept[store_layout.index_manifest(OLD)] = json.dumps(
        MANIFEST.model_copy(update={"version": OLD, "digest": "sha256:" + "0" * 64}).wire()
    ).encode()
    scene.edit(rollbackTo=NEW)
    scene.until("Reindex")
    scene.look(2)
    return scene


def end(scene: Scene, work: str, kind: str = "Complete") -> None:
    name = f"shop-{work}-{NEW.removeprefix('v')}"
    scene.kube.put(JOBS, scene.kube.objects[JOBS.plural, name] | status(kind))


def test_a_rollout_encodes_loads_and_then_tells_the_deployment() -> None:
    scene = rolling(PGVECTOR)
    assert scene.told() == OLD
    scene.store.kept[store_layout.index_manifest(NEW)] = stored()
    end(scene, "index")
    scene.until("Load")
    scene.look(2)
    assert scene.told() == OLD
    end(scene, "load")
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    assert scene.told() == NEW
    made = [name for verb, name in scene.kube.written if verb == "create"]
    assert made == [f"shop-{work}-{NEW.removeprefix('v')}" for work in ("index", "load")]


def test_a_method_whose_items_have_parts_is_refused_before_any_pod() -> None:
    scene = Scene(rolloutTimeoutSeconds=60, index=PARQUET)
    model = scene.kube.objects["embeddingmodels", "shop"]
    model["spec"]["methodRef"] = {"name": "text"}
    scene.edit(rollbackTo=NEW)
    scene.until("Reindex")
    scene.look(3)
    assert "FineTuningMethod text (spec.methodRef) does not exist" in scene.rollout["message"]
    method = {"metadata": {"name": "text", "namespace": "ns"}, "spec": {"settings": {"longItems": "Split"}}}
    scene.kube.put(METHODS, method)
    scene.until("Failed")
    assert scene.rollout["reason"] == "ReindexRefused"
    assert "longItems: Truncate" in scene.rollout["message"]
    assert not scene.jobs()


def test_a_job_that_ended_well_without_an_index_ends_the_rollout() -> None:
    scene = rolling(PARQUET)
    end(scene, "index")
    scene.until("Failed")
    assert scene.rollout["reason"] == "IndexMissing"
    assert scene.told() == OLD


def test_a_store_that_is_away_is_waited_for_until_the_timeout() -> None:
    scene = rolling(PARQUET)
    scene.store.kept[store_layout.index_manifest(NEW)] = stored()
    scene.store.away = StoreUnreachable("away")
    end(scene, "index")
    scene.look(3)
    assert scene.rollout["step"] == "Reindex"
    assert "away" in scene.rollout["message"]
    scene.store.away = None
    scene.until("Patch")


def test_how_far_the_pods_are_is_in_the_status() -> None:
    scene = rolling(PARQUET)
    (made,) = scene.jobs()
    plan = plan_of(made).index
    assert plan is not None
    key = store_layout.index_shard_progress(NEW, plan.run, 1)
    scene.store.kept[key] = json.dumps(told(done=5, total=10, rate=2.0, secondsLeft=3).wire()).encode()
    scene.look(12)
    assert scene.rollout["message"] == "0 of 3 shards done, encoding: 5 of 10 items, 2 a second, 3 s left"
    assert made["metadata"]["annotations"][ROLLOUT_ANNOTATION] == scene.rollout["startedAt"]


def test_an_index_that_is_declared_later_is_made_before_the_deployment_is_told_of_it() -> None:
    scene = Scene(rolloutTimeoutSeconds=60)
    scene.look()
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.edit(index=PARQUET)
    scene.until("Reindex")
    template = scene.kube.objects["deployments", "blue"]["spec"]["template"]
    assert "BLUETUNE_INDEX_URI" not in json.dumps(template)
