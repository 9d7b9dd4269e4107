"""People search while blue is switched."""

import threading
import time
import urllib.request
from collections import Counter

import pytest

from blue.world import Blue, blue_deployment, usual_serving

pytest_plugins = ["blue.fixtures"]


@pytest.mark.timeout(300)
def test_every_request_during_a_rollout_and_a_way_back_is_answered(blue: Blue) -> None:
    base_serving = usual_serving(rolloutTimeoutSeconds=20)
    blue.make_model(serving=base_serving)
    base, _ = blue.imported("shop")
    better, _ = blue.publish("better")
    bad, _ = blue.publish("bad")
    deployment = blue_deployment("blue", {"UNREADY": bad})
    pod = deployment["spec"]["template"]["spec"]
    # requests keep coming until kube-proxy has heard that a pod is leaving
    pod["terminationGracePeriodSeconds"] = 6
    pod["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "blue"},
        "spec": {"selector": {"app": "blue"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    blue.kubectl.apply(deployment, service)
    address = blue.kubectl.json("get", "service", "blue")["spec"]["clusterIP"]
    with blue.operator():
        blue.until(lambda: blue.current() == base)
        answers: Counter[str] = Counter()
        over = threading.Event()

        def search() -> None:
            while not over.wait(0.05):
                try:
                    with urllib.request.urlopen(f"http://{address}/version", timeout=5) as answer:
                        answers[str(answer.status)] += 1
                except OSError as error:
                    answers[str(error)] += 1

        people = [threading.Thread(target=search) for _ in range(2)]
        for person in people:
            person.start()
        try:
            blue.pin(better)
            blue.until(lambda: blue.current() == better)
            blue.pin(bad)
            blue.until(lambda: blue.step() == "Failed", 90)
            time.sleep(1)
        finally:
            over.set()
            for person in people:
                person.join(10)
    assert blue.current() == better
    assert set(answers) == {"200"}, answers
    assert answers["200"] > 100
