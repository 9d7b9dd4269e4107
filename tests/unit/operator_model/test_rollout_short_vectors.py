"""Shorter vectors in a rollout: what pods and servers are told of them, and where their loss is said."""

from typing import Any

from bluetune_api import store_layout
from bluetune_api.clickstream import Clickstream
from bluetune_api.index_records import IndexRecall, ShorterVectors
from bluetune_api.index_target import Pgvector, Vectors
from bluetune_operator.core.config import Config
from bluetune_operator.core.digests import digest_of_parts
from bluetune_operator.core.kinds import DEPLOYMENTS
from bluetune_operator.core.rollout_index import index_job
from bluetune_operator.core.serving_record import asked_by
from unit.operator_model.scene import NEW, Scene
from unit.operator_model.test_rollout_index import (
    DATABASE,
    METHOD,
    MODEL,
    PARQUET,
    PGVECTOR,
    SHARD,
    at,
    end,
    plan_of,
    rolling,
    serving,
    spec,
    stored,
)


def test_pods_are_told_of_shorter_vectors_and_those_that_encode_of_how_clicks_are_read() -> None:
    method = METHOD.model_copy(update={"clickstream": Clickstream(max_results=7)})
    for vectors in (None, {"dimensions": 256, "type": "Float16"}):
        asked = PGVECTOR | ({"vectors": vectors} if vectors else {})
        declared = serving(asked).index
        assert declared is not None
        index, load = (
            plan_of(index_job(MODEL, spec(asked), declared, method, at(step), Config())) for step in ("Reindex", "Load")
        )
        assert index.index is not None
        assert load.index is not None
        assert index.index.vectors == load.index.vectors == declared.vectors
        assert (index.method.clickstream.max_results == 7) == (vectors is not None)
        assert load.method.clickstream == Clickstream()


def test_the_longest_name_of_a_table_that_is_being_filled_fits_into_postgresql() -> None:
    target = Pgvector.model_validate(DATABASE | {"table": "t" * 38})
    assert len(target.table_of(NEW, Vectors(dimensions=4000, type="Float16")) + "_load") == 63


def test_an_edit_of_the_vectors_is_a_reason_to_look_what_servers_are_told_and_their_absence_changes_nothing() -> None:
    store = spec(PGVECTOR).store
    plain, short, half = (
        asked_by(serving(PGVECTOR | more), store)
        for more in ({}, {"vectors": {"dimensions": 256}}, {"vectors": {"dimensions": 256, "type": "Float16"}})
    )
    assert len({plain, short, half}) == 3
    target = serving(PGVECTOR).index
    assert target is not None
    assert plain == digest_of_parts("server", "Env", None, store.uri(), None, target.target)


LOSS = IndexRecall(recall=0.94, queries=200, searched="ClickedQueries")
SHORT = ShorterVectors(
    type="Int8", full_dimension=4, unit=True, scale=0.1, loss=LOSS, full_generation="1" * 12, full_shards=[SHARD]
)


def test_what_shorter_vectors_lose_is_in_the_rollouts_status_to_its_end() -> None:
    scene = rolling(PARQUET | {"vectors": {"type": "Int8"}})
    scene.store.kept[store_layout.index_manifest(NEW)] = stored(vectors=SHORT)
    end(scene, "index")
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    rollout = scene.kube.objects["embeddingmodels", "shop"]["status"]["rollout"]
    assert rollout["indexLoss"] == {"recall": 0.94, "queries": 200, "searched": "ClickedQueries"}


def table_of(scene: Scene) -> Any:
    """The table that blue is told."""
    template = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]
    env = {variable["name"]: variable.get("value") for variable in template["spec"]["containers"][0]["env"]}
    return env["BLUETUNE_INDEX_TABLE"]


def through(scene: Scene, *, manifest: bytes) -> None:
    """From its encoding Job to its end."""
    scene.until("Reindex")
    scene.look(2)
    scene.store.kept[store_layout.index_manifest(NEW)] = manifest
    end(scene, "index")
    scene.until("Load")
    scene.look(2)
    end(scene, "load")
    scene.until("Wait")
    scene.roll()
    scene.until("Done")


def test_servers_are_told_of_another_table_once_the_vectors_are_edited_and_it_is_filled() -> None:
    scene = rolling(PGVECTOR)
    through(scene, manifest=stored())
    assert table_of(scene) == f"public.docs_{NEW}"
    half = SHORT.model_copy(update={"type": "Float16", "scale": None})
    scene.edit(index=PGVECTOR | {"vectors": {"dimensions": 2, "type": "Float16"}})
    scene.until("Reindex")
    assert table_of(scene) == f"public.docs_{NEW}"
    for work in ("index", "load"):
        scene.kube.objects.pop(("jobs", f"shop-{work}-{NEW.removeprefix('v')}"), None)
    through(scene, manifest=stored(vectors=half))
    assert table_of(scene) == f"public.docs_{NEW}_2h"
