"""The fields that bluetune owns in a Deployment, and what makes switching unsafe."""

import copy
from typing import Any

import pytest

from bluetune_api.base import ObjectReference
from bluetune_api.model import Fetcher as Of
from bluetune_api.model import Serving
from bluetune_api.pods import Resources
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.config import Config
from bluetune_operator.core.rollout.serving_patch import (
    Fetcher,
    cannot_patch,
    fetcher_of,
    most_unavailable,
    serving_patch,
    tells,
    unsafe,
)

V, D = "v000000000001", "sha256:" + "1" * 64
STORE = StoreSpec(
    endpoint="minio:9000",
    bucket="models",
    prefix="m",
    secure=False,
    credentials_secret_ref=ObjectReference(name="keys"),
)
ENV = Serving(deployment="blue", container="server")
INIT = Serving(deployment="blue", container="server", delivery="InitContainer", mount_path="/model")
FETCHER = Fetcher("trainer:1")


def patch(serving: Serving = ENV, version: str = V, fetcher: Fetcher = FETCHER) -> dict[str, Any]:
    return serving_patch(serving, STORE, "ns", version, D, fetcher)


def deployment(**spec: Any) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": "x",
        "readinessProbe": {"httpGet": {}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "env": [{"name": "A", "value": "b"}],
    }
    pod = {"containers": [{"name": "side", "image": "y"}, container]}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    return {
        "metadata": {"name": "blue"},
        "spec": {"replicas": 1, "strategy": strategy, "template": {"metadata": {}, "spec": pod}, **spec},
    }


def applied(live: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """A Deployment after the apply, as far as this test needs server-side apply's merge."""
    live, template = copy.deepcopy(live), wanted["spec"]["template"]
    live["spec"]["template"]["metadata"]["annotations"] = dict(template["metadata"]["annotations"])
    for container in live["spec"]["template"]["spec"]["containers"]:
        if container["name"] == "server":
            container["env"] = container["env"] + template["spec"]["containers"][0]["env"]
            container["volumeMounts"] = template["spec"]["containers"][0].get("volumeMounts", [])
    for field in ("initContainers", "volumes"):
        live["spec"]["template"]["spec"][field] = copy.deepcopy(template["spec"].get(field, []))
    return live


def test_env_delivery_owns_annotations_and_three_variables_and_nothing_else() -> None:
    assert patch() == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "blue", "namespace": "ns"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"bluetune.dev/version": V, "bluetune.dev/digest": D}},
                "spec": {
                    "containers": [
                        {
                            "name": "server",
                            "env": [
                                {"name": "BLUETUNE_VERSION", "value": V},
                                {"name": "BLUETUNE_URI", "value": f"s3://models/m/versions/{V}/"},
                                {"name": "BLUETUNE_DIGEST", "value": D},
                            ],
                        }
                    ]
                },
            }
        },
    }


def test_init_container_delivery_fetches_before_the_server_starts() -> None:
    pod = patch(INIT)["spec"]["template"]["spec"]
    fetch = pod["initContainers"][0]
    assert fetch["command"] == ["bluetune-trainer", "fetch", "--version", V, "--digest", D, "--into", "/model"]
    assert {"name": "bluetune-model", "mountPath": "/model"} in fetch["volumeMounts"]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "bluetune-model", "mountPath": "/model"}]
    assert [v["name"] for v in pod["volumes"]] == ["bluetune-model", "bluetune-tmp"]
    assert fetch["securityContext"]["readOnlyRootFilesystem"]
    secret = {"secretKeyRef": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"}}
    assert {"name": "AWS_ACCESS_KEY_ID", "valueFrom": secret} in fetch["env"]


@pytest.mark.parametrize("serving", [ENV, INIT])
def test_a_deployment_tells_a_version_when_all_owned_fields_are_there(serving: Serving) -> None:
    live = applied(deployment(), patch(serving))
    assert tells(live, patch(serving))
    assert not tells(deployment(), patch(serving))
    assert not tells(live, patch(serving, "v000000000002"))


def test_a_new_release_of_bluetune_restarts_no_blue_pod() -> None:
    live = applied(deployment(), patch(INIT))
    assert tells(live, patch(INIT, fetcher=Fetcher("trainer:2")))
    fetch = live["spec"]["template"]["spec"]["initContainers"][0]
    fetch["env"] = [v for v in fetch["env"] if v["name"] != "AWS_SESSION_TOKEN"]  # which an older release did not set
    assert tells(live, patch(INIT))
    fetch["env"] = [v for v in fetch["env"] if v["name"] != "AWS_SECRET_ACCESS_KEY"]
    assert not tells(live, patch(INIT))


def fetch_of(serving: Serving, fetcher: Fetcher) -> dict[str, Any]:
    container: dict[str, Any] = patch(serving, fetcher=fetcher)["spec"]["template"]["spec"]["initContainers"][0]
    return container


def test_the_fetcher_has_requests_and_limits_which_the_model_may_set() -> None:
    small = {"cpu": "100m", "memory": "256Mi"}
    assert fetch_of(INIT, FETCHER)["resources"] == {"requests": small, "limits": {"cpu": "1", "memory": "512Mi"}}
    own = INIT.model_copy(update={"fetcher": Of(resources=Resources(limits={"memory": "2Gi"}))})
    expected = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    assert fetch_of(own, FETCHER)["resources"] == expected


def test_the_fetcher_is_not_root_beside_a_server_that_is_unless_the_platform_assigns_users() -> None:
    security = fetch_of(INIT, FETCHER)["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (10001, 10001, True)
    assigned = fetch_of(INIT, Fetcher("operator:1", fixed_ids=False))["securityContext"]
    assert not {"runAsUser", "runAsGroup"} & set(assigned)


def test_the_fetcher_is_the_operators_image() -> None:
    config = Config(trainer_image="trainer:1", fetcher_image="operator:1", fetcher_image_pull_policy="Never")
    assert fetcher_of(config) == Fetcher("operator:1", "Never", fixed_ids=True)
    alone = Config(trainer_image="trainer:1", trainer_image_pull_policy="Always", fixed_ids=False)
    assert fetcher_of(alone) == Fetcher("trainer:1", "Always", fixed_ids=False)


def test_another_image_size_or_user_of_the_fetcher_restarts_no_blue_pod() -> None:
    live = applied(deployment(), patch(INIT))
    assert tells(live, patch(INIT, fetcher=Fetcher("operator:2", "Never", fixed_ids=False)))
    own = INIT.model_copy(update={"fetcher": Of(resources=Resources(limits={"memory": "2Gi"}))})
    assert tells(live, patch(own))


def test_a_variable_overwritten_by_others_is_seen() -> None:
    live = applied(deployment(), patch())
    live["spec"]["template"]["spec"]["containers"][1]["env"][-1]["value"] = "other"
    assert not tells(live, patch())


@pytest.mark.parametrize(
    ("live", "reason", "words"),
    [
        (None, "DeploymentNotFound", "create it"),
        (deployment(template={"spec": {"containers": [{"name": "web"}]}}), "ContainerNotFound", "only web"),
        (deployment(paused=True), "DeploymentPaused", "kubectl rollout resume"),
        (deployment(), None, ""),
    ],
)
def test_what_cannot_be_patched(live: dict[str, Any] | None, reason: str | None, words: str) -> None:
    failure = cannot_patch(live, ENV)
    assert (failure.reason if failure else None) == reason
    assert words in (failure.message if failure else "")


def without_probe() -> dict[str, Any]:
    live = deployment()
    del live["spec"]["template"]["spec"]["containers"][1]["readinessProbe"]
    return live


def stopping(hook: dict[str, Any] | None, grace: int | None = None) -> dict[str, Any]:
    live = deployment()
    pod = live["spec"]["template"]["spec"]
    pod["containers"][1]["lifecycle"] = {"preStop": hook} if hook is not None else {"postStart": {}}
    if grace is not None:
        pod["terminationGracePeriodSeconds"] = grace
    return live


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (deployment(), None),
        (deployment(strategy=rolling(1, 0)), None),
        (deployment(replicas=4), None),
        (deployment(replicas=0, strategy=rolling(0, 1)), None),
        (deployment(strategy={"type": "Recreate"}), "RollingUpdate"),
        (deployment(strategy=rolling(0, 1)), "maxUnavailable: 0"),
        (deployment(strategy=rolling(0, "25%")), "maxUnavailable: 0"),
        (deployment(replicas=3, strategy=rolling(1, "100%")), "all 3 pods"),
        (without_probe(), "readinessProbe"),
        (stopping(None), "no preStop hook"),
        (stopping({"sleep": {"seconds": 0}}), "lifecycle.preStop.sleep.seconds: 5"),
        (stopping({"exec": {"command": ["sleep", "5"]}}), None),
        (stopping({"sleep": {"seconds": 30}}), "terminationGracePeriodSeconds=30 leaves no time"),
        (stopping({"sleep": {"seconds": 30}}, 31), None),
        (stopping({"httpGet": {"path": "/drain", "port": 1}}, 0), "terminationGracePeriodSeconds=0"),
    ],
)
def test_what_would_drop_requests(live: dict[str, Any], words: str | None) -> None:
    failure = unsafe(live, ENV)
    assert (failure is None) == (words is None)
    assert (words or "") in (failure.message if failure else "")


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [(1, "25%", "25%", 0), (10, "25%", "25%", 2), (1, 0, "25%", 1), (4, 1, 4, 4), (1, 0, 0, 1)],
)
def test_rounding_is_the_deployment_controllers(
    replicas: int, surge: int | str, unavailable: int | str, expected: int
) -> None:
    assert most_unavailable(replicas, surge, unavailable) == expected
