"""A task's rollout: only while the task lives and holds the lock."""

from typing import Any

import pytest

from blue.world import Blue, usual_serving

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(300)


def condition(blue: Blue, task: str, kind: str) -> dict[str, Any]:
    conditions = blue.kubectl.json("get", "ftt", task).get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), {})


def asking_for_a_version_that_never_gets_ready(blue: Blue, *, timeout: int) -> str:
    """Blue serves the base, which is returned; task `monday` asks for a version whose pods stay unready."""
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=timeout))
    base, _ = blue.imported("shop")
    version, digest = blue.publish("trained")
    blue.make_deployment(UNREADY=version)
    with blue.operator():
        blue.until(lambda: blue.current() == base)
    blue.asking_task("monday", version, digest)
    return base


def test_the_version_of_the_task_that_holds_the_lock_becomes_current(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
    version, digest = blue.publish("trained")
    uid = blue.asking_task("monday", version, digest)
    with blue.operator():
        blue.until(lambda: blue.current() == version, 90)
        status = blue.status()
        assert status["rollout"]["taskUid"] == uid
        assert (status["current"]["task"], status["current"]["metrics"]) == ("monday", {"ndcg@10": 0.5})
        assert blue.served() == [version]
        blue.until(lambda: condition(blue, "monday", "Succeeded").get("status") == "True")
        assert condition(blue, "monday", "Promoted")["status"] == "True"
        blue.until(lambda: "lock" not in blue.status())


def test_a_version_that_does_not_get_ready_fails_its_task_and_blue_stays(blue: Blue) -> None:
    base = asking_for_a_version_that_never_gets_ready(blue, timeout=12)
    with blue.operator():
        blue.until(lambda: condition(blue, "monday", "Failed").get("status") == "True", 90)
        assert condition(blue, "monday", "Failed")["reason"] == "RolloutFailed"
        assert (blue.current(), blue.served()) == (base, [base])


def test_deleting_the_task_in_the_middle_takes_blue_back(blue: Blue) -> None:
    base = asking_for_a_version_that_never_gets_ready(blue, timeout=120)
    with blue.operator():
        blue.until(lambda: blue.step() == "Wait")
        blue.kubectl("delete", "ftt", "monday", "--timeout=30s")
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "TaskDeleted"
        assert (blue.current(), blue.served()) == (base, [base])


def test_cancelling_the_task_in_the_middle_takes_blue_back_before_the_task_ends(blue: Blue) -> None:
    base = asking_for_a_version_that_never_gets_ready(blue, timeout=120)
    with blue.operator():
        blue.until(lambda: blue.step() == "Wait")
        blue.kubectl("patch", "ftt", "monday", "--type=merge", "-p", '{"spec":{"cancel":true}}')
        blue.until(lambda: condition(blue, "monday", "Failed").get("status") == "True", 90)
        assert condition(blue, "monday", "Failed")["reason"] == "Cancelled"
        assert condition(blue, "monday", "Promoted")["reason"] == "Cancelled"
        assert (blue.step(), blue.status()["rollout"]["reason"]) == ("Failed", "TaskCancelled")
        assert (blue.current(), blue.served()) == (base, [base])
        blue.until(lambda: "lock" not in blue.status())


def test_pinning_in_the_middle_takes_blue_back_and_is_no_failure_of_the_task(blue: Blue) -> None:
    base = asking_for_a_version_that_never_gets_ready(blue, timeout=120)
    with blue.operator():
        blue.until(lambda: blue.step() == "Wait")
        blue.pin(base)
        blue.until(lambda: condition(blue, "monday", "Succeeded").get("reason") == "Pinned", 90)
        assert condition(blue, "monday", "Promoted")["reason"] == "Pinned"
        assert (blue.current(), blue.served()) == (base, [base])


def test_a_task_that_lost_the_lock_gets_nothing(blue: Blue) -> None:
    blue.make_model(serving=usual_serving(rolloutTimeoutSeconds=120))
    base, _ = blue.imported("shop")
    version, digest = blue.publish("trained")
    never_ready, its_digest = blue.publish("other")
    blue.make_deployment(UNREADY=never_ready)
    with blue.operator():
        blue.until(lambda: blue.current() == base)
    blue.asking_task("stale", version, digest)
    holder = blue.asking_task("other", never_ready, its_digest)  # the Lease now names this one
    with blue.operator():
        blue.until(lambda: condition(blue, "stale", "Ready").get("reason") == "LockInconsistent")
        blue.until(lambda: blue.step() == "Wait")
        assert blue.status()["rollout"]["taskUid"] == holder
        assert blue.current() == base
        assert version not in blue.served()


def test_a_version_that_is_not_what_the_task_says_is_refused(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model()
    base, _ = blue.imported("shop")
    with blue.operator():
        blue.until(lambda: blue.current() == base)
    version, _ = blue.publish("trained")
    blue.asking_task("monday", version, "sha256:" + "5" * 64)
    with blue.operator():
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "VersionInvalid"
        assert (blue.current(), blue.served()) == (base, [base])
