"""The operator dies at every point of a rollout, and the end is the same."""

import time

import pytest

from blue.world import Blue, kill, reindex, usual_serving

pytest_plugins = ["blue.fixtures"]
STEPS = ("Reindex", "Patch", "Wait", "Verify", "Promote")


@pytest.mark.timeout(400)
def test_killed_after_every_single_write_the_rollout_ends_the_same(blue: Blue) -> None:
    """Each operator lives for one write of its own (its Lease is the first), so each write is followed by a death."""
    blue.make_deployment()
    blue.make_model(serving=usual_serving(reindex=reindex("true"), rolloutTimeoutSeconds=300))
    base, _ = blue.imported("shop")
    deaths, deadline = 0, time.monotonic() + 300
    while blue.current() != base:
        assert time.monotonic() < deadline, blue.status()
        process = blue.start_operator(BLUETUNE_CRASH_AFTER="1")
        try:
            while process.poll() is None and blue.current() != base:
                time.sleep(0.2)
        finally:
            deaths += process.poll() == 137
            kill(process)
    assert deaths >= len(STEPS)
    jobs = blue.kubectl.json("get", "jobs", "-l", "bluetune.dev/job=reindex")["items"]
    assert [j["metadata"]["name"] for j in jobs] == [f"shop-reindex-{base[1:]}"]
    with blue.operator():
        blue.until(lambda: blue.condition("Ready").get("reason") == "Serving")
    assert blue.served() == [base]
    assert blue.status().get("history") in (None, [])
    rollouts = {r["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for r in _replica_sets(blue)}
    assert rollouts == {"1", "2"}, "the Deployment was changed once"


@pytest.mark.timeout(400)
def test_killed_on_the_way_back_blue_serves_the_version_before(blue: Blue) -> None:
    serving = usual_serving(verify={"port": 8080, "timeoutSeconds": 5})
    blue.make_model(serving=serving)
    base, _ = blue.imported("shop")
    bad, _ = blue.publish("bad")
    blue.make_deployment(LYING=bad)  # its pods are ready, so the way back takes a while
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        blue.pin(bad)
        blue.until(lambda: blue.step() == "RollingBack", 90)
    # the operator is dead now, in the middle of the way back
    for _ in range(2):
        process = blue.start_operator(BLUETUNE_CRASH_AFTER="1")
        process.wait(60)
    with blue.operator():
        rollout = blue.until(lambda: blue.step() == "Failed" and blue.status()["rollout"])
        assert rollout["reason"] == "VerifyFailed"
        assert (blue.current(), blue.served()) == (base, [base])


def _replica_sets(blue: Blue) -> list[dict[str, dict[str, dict[str, str]]]]:
    found: list[dict[str, dict[str, dict[str, str]]]] = blue.kubectl.json("get", "replicasets")["items"]
    return found
