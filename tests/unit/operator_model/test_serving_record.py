"""An upgrade of bluetune restarts no Deployment: what it was told counts, not what this release would tell it."""

from typing import Any

import pytest

from bluetune_api.model import Serving
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.kinds import DEPLOYMENTS, MODELS, Object
from bluetune_operator.core.rollout.serving_patch import serving_patch
from bluetune_operator.core.rollout.serving_record import asked_by
from bluetune_operator.reconciler.rollout import reconcile as model_rollout
from unit.operator_model.scene import NEW, OLD, Scene

TIMES: dict[str, Any] = {"rolloutTimeoutSeconds": 60}


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Upgrades the operator of a scene to a release that sets one more variable."""

    def later(*args: Any) -> Object:
        patch = serving_patch(*args)
        patch["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "BLUETUNE_LATER", "value": "1"})
        return patch

    def upgraded(scene: Scene) -> None:
        monkeypatch.setattr(model_rollout, "serving_patch", later)
        scene._restarted()

    return upgraded


def variables(scene: Scene) -> list[str]:
    template = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]
    return [variable["name"] for variable in template["spec"]["containers"][0]["env"]]


def at_rest(**serving: Any) -> Scene:
    scene = Scene(**TIMES, **serving)
    scene.look(3)
    return scene


def test_another_rendering_restarts_nothing(upgrade: Any) -> None:
    scene = at_rest()
    upgrade(scene)
    scene.look(20, seconds=600)
    assert (scene.kube.written, scene.conditions[-1][:2]) == ([], ("True", "Serving"))
    assert "rollout" not in scene.status


def test_another_rendering_goes_in_with_the_next_version(upgrade: Any) -> None:
    scene = at_rest()
    upgrade(scene)
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.look(3)
    assert scene.told() == NEW
    assert "BLUETUNE_LATER" in variables(scene)
    assert [verb for verb, _ in scene.kube.written] == ["apply"]
    assert scene.status["blue"]["told"]["version"] == NEW


def test_a_version_that_is_taken_out_is_told_once_as_this_release_says_it(upgrade: Any) -> None:
    scene = at_rest()
    upgrade(scene)
    blue = scene.kube.objects[DEPLOYMENTS.plural, "blue"]
    blue["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = NEW
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.look(20, seconds=600)
    assert scene.told() == OLD
    assert "BLUETUNE_LATER" in variables(scene)
    assert [verb for verb, _ in scene.kube.written] == ["apply"]


def test_a_forged_record_gets_nothing_into_a_deployment() -> None:
    scene = at_rest()
    model = scene.kube.objects[MODELS.plural, "shop"]
    forged = {"spec": {"hostNetwork": True, "containers": [{"name": "server", "image": "evil"}, {}]}}
    model["status"]["blue"]["told"]["template"] = forged
    blue = scene.kube.objects[DEPLOYMENTS.plural, "blue"]
    blue["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = NEW
    scene.until("Wait")
    template = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]
    assert "hostNetwork" not in template["spec"]
    assert "evil" not in str(template)
    assert scene.told() == OLD


@pytest.mark.parametrize("step", ["Patch", "Wait"])
def test_an_upgrade_in_the_middle_of_a_rollout_tells_nothing_twice(upgrade: Any, step: str) -> None:
    scene = at_rest()
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    assert scene.told() == NEW
    if step == "Patch":  # the former operator died before it wrote the next step
        model = scene.kube.objects[MODELS.plural, "shop"]
        model["status"]["rollout"]["step"] = "Patch"
    upgrade(scene)
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.look(3)
    assert [verb for verb, _ in scene.kube.written] == ["apply"]
    assert scene.rollout.get("undone") is None


def test_a_status_of_a_release_without_the_record_goes_on(upgrade: Any) -> None:
    scene = at_rest()
    scene.edit(rollbackTo=NEW)
    scene.until("Wait")
    del scene.kube.objects[MODELS.plural, "shop"]["status"]["blue"]["told"]
    scene._restarted()
    scene.look()
    assert scene.status["blue"]["told"]["version"] == NEW
    upgrade(scene)
    scene.roll()
    scene.until("Done")
    assert [verb for verb, _ in scene.kube.written] == ["apply"]


def test_what_the_spec_asks_for_anew_is_told_as_this_release_says_it(upgrade: Any) -> None:
    scene = at_rest()
    upgrade(scene)
    scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]["spec"]["containers"].append(
        {"name": "api", "env": []}
    )
    scene.edit(container="api")
    scene.until("Wait")
    containers = scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["template"]["spec"]["containers"]
    assert {variable["name"] for variable in containers[1]["env"]} >= {"BLUETUNE_VERSION", "BLUETUNE_LATER"}


STORE = {"endpoint": "s:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}}
SERVING = {"deployment": "blue", "container": "server"}
FETCHED = {**SERVING, "delivery": "InitContainer", "mountPath": "/model"}


@pytest.mark.parametrize(
    ("serving", "store", "same"),
    [
        ({}, {}, True),
        ({"rolloutTimeoutSeconds": 5, "gate": {"minDelta": 0.5}, "rollbackTo": NEW}, {}, True),
        ({"container": "api"}, {}, False),
        ({"mountPath": "/other"}, {}, False),
        ({}, {"endpoint": "t:9000"}, False),
        ({}, {"credentialsSecretRef": {"name": "others"}}, False),
        ({}, {"region": "us-east-1"}, True),
    ],
)
def test_which_edits_ask_for_other_fields(serving: Object, store: Object, same: bool) -> None:
    before = asked_by(Serving.model_validate(FETCHED), StoreSpec.model_validate(STORE))
    after = asked_by(Serving.model_validate({**FETCHED, **serving}), StoreSpec.model_validate({**STORE, **store}))
    assert (before == after) == same


def test_how_the_store_is_reached_is_no_field_of_a_deployment_that_fetches_nothing() -> None:
    serving = Serving.model_validate(SERVING)
    elsewhere = StoreSpec.model_validate({**STORE, "endpoint": "t:9000"})
    assert asked_by(serving, StoreSpec.model_validate(STORE)) == asked_by(serving, elsewhere)
    assert asked_by(serving, elsewhere) != asked_by(serving, elsewhere.model_copy(update={"prefix": "p"}))
