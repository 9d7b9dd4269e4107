"""Shorter vectors in a rollout: what pods and servers are told of them, and where their loss is said."""

from typing import Any

import pytest
from pydantic import ValidationError

from bluetune_api import store_layout
from bluetune_api.clickstream import Clickstream
from bluetune_api.index_records import IndexRecall, ShorterVectors
from bluetune_api.index_target import Pgvector, Vectors
from bluetune_operator.core.config import Config
from bluetune_operator.core.digests import digest_of_parts
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS
from bluetune_operator.core.rollout.index import index_job
from bluetune_operator.core.rollout.serving_patch import index_env_of
from bluetune_operator.core.rollout.serving_record import asked_by
from unit.operator_model.scene import ANOTHER, ANOTHER_DIGEST, NEW, OLD, OLD_DIGEST, Scene
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
from unit.operator_model.test_rollout_index import (
    status as ended,
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
    with pytest.raises(ValidationError, match="at most 38"):
        Pgvector.model_validate(DATABASE | {"table": "t" * 39})
    assert Pgvector.model_validate(DATABASE | {"schema": "s" * 40}).db_schema == "s" * 40
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


HALF = SHORT.model_copy(update={"type": "Float16", "scale": None})
SHORTER = PGVECTOR | {"vectors": {"dimensions": 2, "type": "Float16"}}


def loaded(scene: Scene, step: str, *, manifest: bytes) -> None:
    """From its encoding Job to a step behind its loading Job."""
    scene.store.kept[store_layout.index_manifest(NEW)] = manifest
    scene.until("Reindex")
    scene.look(3)
    end(scene, "index")
    scene.until("Load")
    scene.look(3)
    end(scene, "load")
    scene.until(step)


@pytest.mark.parametrize("step", ["Load", "Patch", "Wait"])
def test_an_edit_of_the_index_after_it_was_made_makes_it_anew_before_servers_are_told(step: str) -> None:
    scene = rolling(PGVECTOR)
    if step == "Load":
        scene.store.kept[store_layout.index_manifest(NEW)] = stored()
        end(scene, "index")
        scene.until("Load")
        scene.look(2)
    else:
        loaded(scene, step, manifest=stored())
    tables = [table_of(scene)] if step == "Wait" else []
    scene.edit(index=SHORTER)
    rollout = scene.until("Reindex")
    assert "serving.index was changed" in rollout["message"]
    loaded(scene, "Wait", manifest=stored(vectors=HALF))
    assert [*tables, table_of(scene)] == [f"public.docs_{NEW}", f"public.docs_{NEW}_2h"][-1 - len(tables) :]
    assert scene.rollout.get("undone") is None, "nobody else changed the Deployment"
    plans = [plan_of(job).index for job in scene.jobs()]
    assert {plan.vectors.dimensions for plan in plans if plan and plan.vectors} == {2}
    scene.roll()
    scene.until("Done")


@pytest.mark.parametrize("step", ["Patch", "Wait"])
def test_a_failure_while_the_index_is_made_anew_goes_back_if_the_deployment_was_told(step: str) -> None:
    scene = rolling(PGVECTOR)
    loaded(scene, step, manifest=stored())
    scene.edit(index=SHORTER)
    scene.until("Reindex")
    scene.look(3)
    end(scene, "index", "Failed")
    if step == "Wait":
        scene.until("RollingBack")
        scene.look(2)
        scene.roll()
    scene.until("Failed")
    assert (scene.told(), scene.rollout["reason"]) == (OLD, "JobFailed")


def test_an_edit_of_what_an_index_may_lose_makes_nothing_anew() -> None:
    scene = rolling(SHORTER)
    loaded(scene, "Wait", manifest=stored(vectors=HALF))
    scene.edit(index=SHORTER | {"vectors": SHORTER["vectors"] | {"minRecall": 0.5}})
    scene.roll()
    scene.look()
    assert scene.rollout["step"] == "Promote"


def test_a_rollout_of_an_earlier_release_that_does_not_say_what_it_has_made_goes_on() -> None:
    scene = rolling(PGVECTOR)
    loaded(scene, "Wait", manifest=stored())
    del scene.rollout["index"]
    scene.roll()
    scene.until("Done")


def test_going_back_tells_the_table_that_the_version_before_had_and_not_one_that_was_never_filled() -> None:
    scene = rolling(PGVECTOR)
    loaded(scene, "Wait", manifest=stored())
    scene.roll()
    scene.until("Done")
    scene.edit(index=SHORTER, rollbackTo=ANOTHER)  # no index of the live version is made of shorter vectors
    scene.until("Reindex")
    scene.look(3)
    digest = {"version": ANOTHER, "digest": ANOTHER_DIGEST}
    scene.store.kept[store_layout.index_manifest(ANOTHER)] = stored(vectors=HALF, **digest)
    for work, step in (("index", "Load"), ("load", "Wait")):
        name = f"shop-{work}-{ANOTHER.removeprefix('v')}"
        scene.kube.put(JOBS, scene.kube.objects[JOBS.plural, name] | ended("Complete"))
        scene.until(step)
        scene.look(3)
    assert table_of(scene) == f"public.docs_{ANOTHER}_2h"
    scene.until("RollingBack")  # its pods do not start
    scene.look(2)
    assert (scene.told(), table_of(scene)) == (NEW, f"public.docs_{NEW}")
    scene.roll()
    scene.until("Failed")
    assert (scene.told(), table_of(scene)) == (NEW, f"public.docs_{NEW}")
    assert "toldBefore" not in scene.status["blue"]
    assert scene.status["blue"]["told"]["version"] == NEW
    scene.edit(rollbackTo=NEW)
    scene.until("Reindex")
    assert scene.rollout["to"] == NEW, "the table of shorter vectors is still to be made"


def test_serving_that_is_removed_during_a_rollout_leaves_the_table_that_the_version_before_had() -> None:
    scene = rolling(PGVECTOR)
    loaded(scene, "Wait", manifest=stored())
    scene.roll()
    scene.until("Done")
    scene.edit(rollbackTo=OLD)
    scene.until("Reindex")
    scene.look(3)
    scene.store.kept[store_layout.index_manifest(OLD)] = stored(version=OLD, digest=OLD_DIGEST)
    for work, step in (("index", "Load"), ("load", "Wait")):
        name = f"shop-{work}-{OLD.removeprefix('v')}"
        scene.kube.put(JOBS, scene.kube.objects[JOBS.plural, name] | ended("Complete"))
        scene.until(step)
        scene.look(3)
    assert table_of(scene) == f"public.docs_{OLD}"
    scene.edit(serving=None)
    scene.look()
    assert (scene.told(), table_of(scene)) == (NEW, f"public.docs_{NEW}")


def test_of_a_template_in_a_status_nothing_but_a_table_or_an_alias_of_the_version_is_told() -> None:
    store = spec(PGVECTOR).store

    def told(*env: tuple[str, str]) -> Any:
        variables = [{"name": name, "value": value} for name, value in env]
        return index_env_of({"spec": {"containers": [{"name": "x", "env": variables}]}}, store, NEW)

    uri = {"name": "BLUETUNE_INDEX_URI", "value": store.uri(store_layout.index(NEW))}
    table = {"name": "BLUETUNE_INDEX_TABLE", "value": f"public.docs_{NEW}_2h"}
    assert told(("BLUETUNE_VERSION", NEW)) == []
    assert told(("BLUETUNE_INDEX_URI", "s3://elsewhere/")) == [uri]
    assert told(("BLUETUNE_INDEX_URI", "s3://x/"), ("BLUETUNE_INDEX_TABLE", table["value"])) == [uri, table]
    for other in ("public.secrets", f"public.docs_{OLD}", f"public.docs_{NEW}; drop"):
        assert told(("BLUETUNE_INDEX_URI", "s3://x/"), ("BLUETUNE_INDEX_TABLE", other)) is None
    for alias in (f"docs-{NEW}", f"my-docs-{NEW}-256b", f"docs-{NEW}-256"):
        assert told(("BLUETUNE_INDEX_URI", "s3://x/"), ("BLUETUNE_INDEX_ALIAS", alias)) == [
            uri,
            {"name": "BLUETUNE_INDEX_ALIAS", "value": alias},
        ]
    for other in ("docs", f"docs-{OLD}", f"docs-{NEW},secrets", f"docs-{NEW}-256b/_search", "*"):
        assert told(("BLUETUNE_INDEX_URI", "s3://x/"), ("BLUETUNE_INDEX_ALIAS", other)) is None
