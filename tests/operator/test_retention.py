"""Old versions go, whole or not at all, whenever the operator dies."""

import json
import time

import pytest

from blue.world import Blue, kill, usual_serving
from bluetune_api import store_layout
from bluetune_api.records import Manifest
from bluetune_api.store_layout import RETIRED, VERSIONS

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(300)


def versions(blue: Blue) -> set[str]:
    """Versions that exist; each must have all its files."""
    store, found = blue.store(), set()
    for version in store.folders(VERSIONS):
        info = store.stat(store_layout.manifest(version))
        if info is None:
            continue
        found.add(version)
        for file in Manifest.model_validate_json(store.get(store_layout.manifest(version))).files:
            assert store.stat(store_layout.version(version) + file.path) is not None, f"{version} lacks {file.path}"
    return found


def keep(blue: Blue, count: int) -> None:
    patch = json.dumps({"spec": {"retention": {"keepVersions": count}}})
    blue.kubectl("patch", "emodel", "shop", "--type=merge", "-p", patch)


def touch(blue: Blue, number: int) -> None:
    """A change of the model, after which old versions are looked for."""
    patch = json.dumps({"spec": {"serving": {"rolloutTimeoutSeconds": number}}})
    blue.kubectl("patch", "emodel", "shop", "--type=merge", "-p", patch)


def leftovers(blue: Blue) -> list[str]:
    """What belongs to no version."""
    store, there = blue.store(), versions(blue)
    keys = [info.key for folder in (VERSIONS, "indexes/", "evidence/", RETIRED) for info in store.list(folder)]
    return [key for key in keys if key.split("/")[1].removesuffix(".json") not in there]


def test_old_versions_go_whole_and_those_in_use_stay_when_the_operator_dies_meanwhile(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model(serving=usual_serving())
    base, _ = blue.imported("shop")
    old = [blue.publish(f"old {n}")[0] for n in range(2)]
    pinned, _ = blue.publish("pinned")
    blue.store().put(store_layout.index(old[0]) + "table/data.lance", b"vectors")
    blue.store().put(store_layout.kept_evidence(old[0], "of-a-task"), b"{}")
    half = store_layout.version("v00000000dead") + "config.json"
    blue.store().put(half, b"somebody is publishing")
    time.sleep(1.1)  # the store's times are whole seconds
    newest = [blue.publish(f"new {n}")[0] for n in range(2)]
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(pinned)
        blue.until(lambda: blue.condition("Ready").get("reason") == "Pinned")
        blue.pin(None)
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving")
    assert versions(blue) == {base, pinned, *old, *newest}
    keep(blue, 2)
    for death in range(3):
        process = blue.start_operator(BLUETUNE_CRASH_AFTER=str(2 + 2 * death))  # the status, and some more
        touch(blue, 100 + death)  # after any change of the model old versions are looked for
        try:
            assert process.wait(60) == 137
        finally:
            kill(process)
        versions(blue)
    with blue.operator():
        touch(blue, 200)
        blue.until(lambda: versions(blue) == {base, pinned, *newest} and leftovers(blue) == [half])
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving")
    assert blue.current() == pinned


def test_nothing_goes_while_a_task_holds_the_model_and_the_removal_is_told(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    old = [blue.publish(f"old {n}")[0] for n in range(3)]
    time.sleep(1.1)
    newer, digest = blue.publish("newer")
    other, _ = blue.publish("other")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
    blue.asking_task("monday", newer, digest)
    blue.make_deployment(UNREADY=newer)
    with blue.operator():
        keep(blue, 2)
        blue.until(lambda: blue.step() == "Wait")
        time.sleep(8)
        assert versions(blue) == {base, newer, other, *old}
        blue.kubectl("delete", "ftt", "monday", "--timeout=30s")
        blue.until(lambda: versions(blue) == {base, newer, other}, 60)
        told = blue.until(
            lambda: blue.kubectl.json("get", "events", "--field-selector=reason=VersionsRemoved")["items"]
        )
        assert all(version in told[0]["message"] for version in old)
