"""spec.serving.promote: what is decided, by tables, and what the reconciler makes of it."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from bluetune_api import store_layout
from bluetune_api.base import Condition
from bluetune_api.model import EmbeddingModelSpec, EmbeddingModelStatus, Rollout, Serving
from bluetune_api.objectstore import StoreUnreachable
from bluetune_api.promote import Promote, PromoteStatus
from bluetune_api.reading import read_spec
from bluetune_operator.core.kinds import DEPLOYMENTS, MODELS
from bluetune_operator.core.models.promote import due, recorded, said_of, settled, version_of_store
from bluetune_operator.core.models.retention import in_use
from bluetune_operator.core.models.verdict import news
from bluetune_operator.core.notify import happened
from bluetune_operator.core.rollout.choice import Target, choose, lost_right
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.times import stamp
from bluetune_operator.reconciler.models.reconcile import REFUSED_SECONDS
from unit.operator_model.scene import ANOTHER, NEW, NEW_DATA, NEW_DIGEST, OLD, OLD_DATA, Scene, manifest
from unit.operator_model.test_rollout_choice import NOW, PINNED, PLAIN, SERVED, V1, V2, V3, current, rollout, target

ASKED = Promote(version=V2, replaces=V1)
ASKING = PLAIN.model_copy(update={"promote": ASKED})
BOTH = PINNED.model_copy(update={"promote": ASKED})


def record(outcome: str, version: str = V2, replaces: str = V1) -> PromoteStatus:
    return PromoteStatus.model_validate(
        {"version": version, "replaces": replaces, "outcome": outcome, "time": stamp(NOW), "message": "as it was"}
    )


def status(
    version: str | None = V1, said: PromoteStatus | None = None, last: Rollout | None = None
) -> EmbeddingModelStatus:
    return EmbeddingModelStatus(current=current(version) if version else None, promote=said, rollout=last)


@pytest.mark.parametrize(
    ("case", "before", "serving", "outcome", "reason", "rolls"),
    [
        ("nothing is asked for", status(), PLAIN, None, None, False),
        ("it replaces what is current", status(), ASKING, None, None, True),
        ("no longer what is current", status(V3), ASKING, "PassedOver", "PromoteStale", False),
        ("it is current", status(V2), ASKING, "Promoted", "AlreadyCurrent", False),
        ("no status: it may have been carried out", status(None), ASKING, "PassedOver", "PromoteUnknown", False),
        ("carried out, and another promoted since", status(V3, record("Promoted")), ASKING, "Promoted", None, False),
        ("carried out, and gone back since", status(V1, record("Promoted")), ASKING, "Promoted", None, False),
        ("failed", status(V1, record("Failed")), ASKING, "Failed", None, False),
        ("passed over, and it would fit now", status(V1, record("PassedOver")), ASKING, "PassedOver", None, False),
        ("another one was carried out", status(V1, record("Promoted", V3, V1)), ASKING, None, None, True),
        ("removed, so that it can be asked for again", status(V1, record("Promoted")), PLAIN, None, None, False),
        ("pinned: it waits", status(), BOTH, None, None, False),
        ("pinned elsewhere: it is judged once that is over", status(V3), BOTH, None, None, False),
        ("another rollout is under way", status(last=rollout(V3, "Wait")), ASKING, None, None, False),
        ("its own rollout is", status(V1, record("Started"), rollout(V2, "Wait")), ASKING, "Started", None, False),
        ("removed during it", status(V1, record("Started"), rollout(V2, "Wait")), PLAIN, "Started", None, False),
    ],
)
def test_what_is_recorded_and_whether_it_is_to_be_rolled_out(
    case: str, before: EmbeddingModelStatus, serving: Serving, outcome: str | None, reason: str | None, rolls: bool
) -> None:
    after = recorded(before, serving, NOW)
    found = after.promote
    assert (found.outcome if found else None, found.reason if found else None) == (outcome, reason), case
    assert (due(after, serving) is not None) == rolls, case
    assert recorded(after, serving, NOW) == after, "once more it says the same"


def test_a_field_that_is_gone_leaves_no_condition() -> None:
    said = Condition(type="Promoted", status="True", last_transition_time=stamp(NOW), reason="Promoted")
    before = status(V1, record("Promoted")).model_copy(update={"conditions": [said]})
    assert recorded(before, None, NOW).conditions == []
    assert recorded(before, ASKING, NOW).conditions == [said]


@pytest.mark.parametrize(
    ("case", "last", "outcome", "reason"),
    [
        ("it goes on", rollout(V2, "Verify"), "Started", None),
        ("it succeeded", rollout(V2, "Done"), "Promoted", "Promoted"),
        ("it failed", rollout(V2, "Failed").model_copy(update={"reason": "VerifyFailed"}), "Failed", "VerifyFailed"),
        ("it is gone", None, "Failed", "RolloutFailed"),
    ],
)
def test_what_its_rollout_came_to(case: str, last: Rollout | None, outcome: str, reason: str | None) -> None:
    found = settled(status(V1, record("Started"), last), NOW).promote
    assert found is not None
    assert (found.outcome, found.reason) == (outcome, reason), case


@pytest.mark.parametrize(
    ("case", "after", "serving", "problem", "said"),
    [
        ("nothing is asked for", status(), PLAIN, None, None),
        ("about to begin", status(), ASKING, None, ("Unknown", "RolloutRequested")),
        ("the Deployment is away", status(), ASKING, "DeploymentNotFound", ("Unknown", "DeploymentNotFound")),
        ("another one first", status(last=rollout(V3, "Wait")), ASKING, None, ("Unknown", "RollingOut")),
        ("pinned", status(), BOTH, None, ("False", "Pinned")),
        ("under way", status(V1, record("Started"), rollout(V2, "Wait")), ASKING, None, ("Unknown", "RollingOut")),
        ("promoted", status(V2, record("Promoted")), ASKING, None, ("True", "Promoted")),
        ("failed", status(V1, record("Failed")), ASKING, None, ("False", "RolloutFailed")),
    ],
)
def test_what_is_said_of_it(
    case: str, after: EmbeddingModelStatus, serving: Serving, problem: Any, said: tuple[str, str] | None
) -> None:
    found = said_of(after, serving, None, Failure(problem, "why") if problem else None)
    assert ((found.status, found.reason) if found else None) == said, case


FOREIGN, _, FOREIGN_DATA = manifest("new", "hf://other/base")


@pytest.mark.parametrize(
    ("case", "version", "data", "sizes", "reason"),
    [
        ("it is whole", NEW, NEW_DATA, {"new": 1}, None),
        ("there is none", NEW, None, {}, "VersionNotFound"),
        ("the manifest of another version", NEW, OLD_DATA, {"new": 1}, "VersionInvalid"),
        ("a file is missing", NEW, NEW_DATA, {}, "VersionIncomplete"),
        ("a file was cut short", NEW, NEW_DATA, {"new": 0}, "VersionIncomplete"),
        ("another model's", FOREIGN, FOREIGN_DATA, {"new": 1}, "VersionOfAnotherModel"),
    ],
)
def test_a_version_is_promoted_only_if_the_store_holds_all_of_it(
    case: str, version: str, data: bytes | None, sizes: dict[str, int], reason: str | None
) -> None:
    folder = store_layout.version(version)
    asked = Promote(version=version, replaces=OLD)
    found = version_of_store(asked, data, OLD_DATA, {folder + name: size for name, size in sizes.items()})
    if reason is None:
        assert found == Target(NEW, NEW_DIGEST), case
    else:
        assert isinstance(found, Failure), case
        assert found.reason == reason, case
        assert version in found.message, case


@pytest.mark.parametrize(
    ("base", "reason", "words"),
    [
        (None, "VersionNotFound", "no manifest.json of the model's base"),
        (b"{}", "VersionInvalid", "manifest.json of the model's base cannot be read"),
        (b'{"formatVersion": 99}', "FormatTooNew", "manifest.json of the model's base cannot be read"),
    ],
)
def test_a_base_that_cannot_be_read_is_named_and_not_the_version(base: bytes | None, reason: str, words: str) -> None:
    found = version_of_store(Promote(version=NEW, replaces=OLD), NEW_DATA, base, {store_layout.version(NEW) + "new": 1})
    assert isinstance(found, Failure)
    assert (found.reason, words in found.message, NEW in found.message) == (reason, True, False)


def test_a_person_goes_before_a_task_and_a_pin_before_both() -> None:
    both = replace(SERVED, promote=target(V2), request=target(V3, "u"))
    begun = choose(both).rollout
    assert begun is not None
    assert (begun.to, begun.task_uid) == (V2, None)
    pinned = choose(replace(both, serving=PINNED, pinned=target(V3))).rollout
    assert pinned is not None
    assert pinned.to == V3


@pytest.mark.parametrize(("serving", "reason"), [(ASKING, None), (PLAIN, "PromoteWithdrawn"), (BOTH, "Pinned")])
def test_a_rollout_that_is_asked_for_no_longer_goes_back(serving: Serving, reason: str | None) -> None:
    found = lost_right(rollout(V2, "Wait"), [], None, serving, record("Started"))
    assert (found.reason if found else None) == reason


# By the reconciler


def asking(version: str = NEW, replaces: str = OLD, **serving: Any) -> Scene:
    """A model that serves the old version, and is asked to promote another one."""
    scene = Scene(rolloutTimeoutSeconds=60, **serving)
    scene.look()
    scene.edit(promote={"version": version, "replaces": replaces})
    return scene


def said(scene: Scene) -> tuple[str, str]:
    found = next(c for c in scene.status["conditions"] if c["type"] == "Promoted")
    return found["status"], found["reason"]


def carried_out() -> Scene:
    scene = asking()
    scene.until("Wait")
    assert said(scene) == ("Unknown", "RollingOut")
    scene.roll()
    scene.until("Done")
    assert (scene.told(), scene.status["current"]["version"], said(scene)) == (NEW, NEW, ("True", "Promoted"))
    return scene


def gone_back(scene: Scene) -> None:
    scene.look(2)
    assert scene.told() == OLD
    scene.roll()
    scene.until("Failed")


def forget_status(scene: Scene) -> None:
    """The model was restored without its status; its base is imported, as the store says."""
    model = copy.deepcopy(scene.kube.objects["embeddingmodels", "shop"])
    model["status"] = {name: model["status"][name] for name in ("baseVersion", "baseDigest")}
    scene.kube.put(MODELS, model)
    scene._restarted()


def test_it_is_carried_out_once_whatever_is_promoted_and_pinned_afterwards() -> None:
    scene = carried_out()
    scene.edit(rollbackTo=ANOTHER)
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.edit(rollbackTo=OLD)
    scene.until("Wait")
    scene.roll()
    scene.until("Done")
    scene.edit(rollbackTo=None)
    scene._restarted()
    scene.look(20, seconds=60)
    assert (scene.told(), scene.status["current"]["version"]) == (OLD, OLD), "what it replaced is current again"
    assert said(scene) == ("True", "Promoted")

    scene.edit(promote=None)
    scene.look()
    assert "promote" not in scene.status
    scene.edit(promote={"version": NEW, "replaces": OLD})
    scene.until("Wait")
    assert scene.told() == NEW, "asked for anew"


@pytest.mark.parametrize("live", [OLD, NEW, ANOTHER])
def test_a_model_that_lost_its_status_rolls_nothing_out(live: str) -> None:
    scene = carried_out()
    if live != NEW:
        scene.edit(rollbackTo=live)
        scene.until("Wait")
        scene.roll()
        scene.until("Done")
        scene.edit(rollbackTo=None)
        scene.look(2)
    forget_status(scene)
    before = list(scene.kube.written)
    scene.look(20, seconds=60)
    assert (scene.told(), scene.status["current"]["version"], scene.kube.written) == (live, live, before)
    assert said(scene) == ("False", "PromoteUnknown")


def test_an_operator_that_dies_after_any_look_carries_it_out_all_the_same_and_once() -> None:
    scene, steps = asking(), []
    for _ in range(30):
        scene.look()
        steps.append(scene.rollout.get("step"))
        if scene.rollout.get("step") == "Wait":
            scene.roll()
        scene._restarted()
    assert steps[-1] == "Done"
    assert [verb for verb, _ in scene.kube.written] == ["apply"]
    assert said(scene) == ("True", "Promoted")


def test_a_version_that_does_not_serve_goes_back_and_is_not_tried_again() -> None:
    scene = asking()
    scene.until("Wait")
    scene.until("RollingBack", seconds=20)
    gone_back(scene)
    scene.look(50, seconds=60)
    assert (scene.told(), said(scene)) == (OLD, ("False", "RolloutTimeout"))
    assert [verb for verb, _ in scene.kube.written] == ["apply", "apply"]
    assert scene.conditions[-1][:2] == ("True", "Serving")


def test_a_request_that_is_withdrawn_during_its_rollout_goes_back() -> None:
    scene = asking()
    scene.until("Wait")
    scene.edit(promote=None)
    scene.until("RollingBack")
    gone_back(scene)
    scene.look(3)
    assert (scene.told(), scene.rollout["reason"]) == (OLD, "PromoteWithdrawn")
    assert "promote" not in scene.status
    assert all(c["type"] != "Promoted" for c in scene.status["conditions"])


def test_a_version_that_is_not_whole_is_refused_until_it_is() -> None:
    scene = asking()
    del scene.store.kept[store_layout.version(NEW) + "new"]
    scene.look(3)
    assert (scene.rollout, said(scene), scene.conditions[-1][0]) == ({}, ("False", "VersionIncomplete"), "True")
    scene.store.kept[store_layout.version(NEW) + "new"] = b"x"
    scene.until("Wait")
    assert scene.told() == NEW


def test_a_store_that_is_away_is_waited_for() -> None:
    scene = asking()
    scene.store.away = StoreUnreachable("away")
    scene.look(2)
    assert (scene.rollout, said(scene)) == ({}, ("False", "StoreUnreachable"))
    scene.store.away = None
    scene.until("Wait")


def test_the_store_is_not_asked_for_a_version_while_its_rollout_cannot_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, asked = asking(), list[str]()
    get = scene.store.get_or_none

    async def watched(key: str) -> bytes | None:
        asked.append(key)
        return await get(key)

    monkeypatch.setattr(scene.store, "get_or_none", watched)
    scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["paused"] = True
    scene.look(3)
    assert (scene.rollout, said(scene)) == ({}, ("Unknown", "DeploymentPaused"))
    assert store_layout.manifest(NEW) not in asked
    del scene.kube.objects[DEPLOYMENTS.plural, "blue"]["spec"]["paused"]
    scene.until("Wait")
    assert scene.told() == NEW


def test_nothing_is_written_while_a_refusal_stays_the_same() -> None:
    scene = asking("v0123456789ab")
    scene.look()
    before = scene.kube.objects["embeddingmodels", "shop"]["metadata"]["resourceVersion"]
    scene.look(3, seconds=REFUSED_SECONDS)
    assert said(scene) == ("False", "VersionNotFound")
    assert scene.kube.objects["embeddingmodels", "shop"]["metadata"]["resourceVersion"] == before


def test_its_version_is_kept_in_the_store() -> None:
    scene = asking()
    model = scene.kube.objects["embeddingmodels", "shop"]
    assert NEW in in_use(model, read_spec(EmbeddingModelSpec, model["spec"]), EmbeddingModelStatus(), [], [])


def test_people_hear_of_what_it_came_to_once() -> None:
    scene = asking("v0123456789ab")
    before = EmbeddingModelStatus.model_validate(scene.status)
    scene.look()
    after = EmbeddingModelStatus.model_validate(scene.status)
    assert [(item.level, item.reason) for item in news(before, after)] == [("Warning", "VersionNotFound")]
    assert news(after, after) == []


def test_webhooks_hear_of_it_once_it_is_in_production() -> None:
    scene = carried_out()
    status = EmbeddingModelStatus.model_validate(scene.status)
    (told,) = happened(scene.kube.objects["embeddingmodels", "shop"], status, [])
    assert (told.event, told.subject, told.version) == ("Promoted", "shop", NEW)
