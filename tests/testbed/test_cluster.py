"""What the operator's tests and the demo take for granted of the cluster."""

import secrets
import socket
import urllib.request
from typing import Any

import pytest

from cluster import images
from cluster.forward import forwarded
from cluster.kubectl import Kubectl, KubectlError
from cluster.lifecycle import Cluster


def pod(name: str, *command: str, limits: dict[str, str] | None = None) -> dict[str, Any]:
    """A pod as restricted as namespaces of tests demand, on the image that runs the working tree."""
    container = {
        "name": "main",
        "image": images.HOST,
        "command": list(command),
        "resources": {"limits": limits or {"memory": "512Mi"}},
        "terminationMessagePath": "/tmp/end",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def test_a_restricted_pod_runs_the_working_trees_environment(kubectl: Kubectl) -> None:
    code = "import bluetune_api, os; print(os.getuid(), bluetune_api.__file__)"
    kubectl.apply(pod("tree", "python", "-c", code))
    kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/tree")
    user, path = kubectl("logs", "tree").split()
    assert user == "65532"
    assert path.endswith("crds/bluetune_api/__init__.py")


def test_a_pod_that_is_not_restricted_is_refused(kubectl: Kubectl) -> None:
    root = pod("root", "id")
    root["spec"]["securityContext"] = {}
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        kubectl.apply(root)


def test_the_pods_gateway_keeps_its_address_whoever_comes(cluster: Cluster) -> None:
    before = cluster.run("ip", "-br", "link", "show", "cni0")
    cluster.run("ip", "link", "add", "lowest", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "peer")
    try:
        cluster.run("ip", "link", "set", "lowest", "master", "cni0")
        assert cluster.run("ip", "-br", "link", "show", "cni0").split()[2] == before.split()[2]
    finally:
        cluster.run("ip", "link", "delete", "lowest")


def test_the_node_has_one_gpu_and_a_second_pod_waits_for_it(kubectl: Kubectl) -> None:
    gpu = {"nvidia.com/gpu": "1"}
    kubectl.apply(pod("first", "sleep", "60", limits=gpu))
    kubectl.wait("condition=Ready", "pod/first")
    kubectl.apply(pod("second", "true", limits=gpu))
    kubectl.wait("jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable", "pod/second")
    kubectl("delete", "pod", "first", "--now")
    kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/second")


def test_too_much_memory_is_ended_and_said(kubectl: Kubectl) -> None:
    kubectl.apply(pod("greedy", "python", "-c", "x = bytes(range(256)) * (1 << 20)", limits={"memory": "64Mi"}))
    kubectl.wait("jsonpath={.status.phase}=Failed", "pod/greedy")
    [status] = kubectl.json("get", "pod", "greedy")["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"


def test_a_service_is_reached_by_name_from_a_pod_and_by_a_forwarded_port(kubectl: Kubectl, cluster: Cluster) -> None:
    server = pod("web", "python", "-m", "http.server", "8000", "--directory", "/usr/share/common-licenses")
    server["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    kubectl.apply(server, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service})
    kubectl.wait("condition=Ready", "pod/web")
    code = "import urllib.request; print(urllib.request.urlopen('http://web/GPL-3', timeout=20).status)"
    kubectl.apply(pod("client", "python", "-c", code))
    kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/client")
    assert kubectl("logs", "client").strip() == "200"
    address = kubectl.json("get", "service", "web")["spec"]["clusterIP"]
    with urllib.request.urlopen(f"http://{address}/GPL-3", timeout=10) as answer:
        assert answer.status == 200
    with forwarded(cluster, f"{kubectl.namespace}/web", 80) as port:
        assert port > 0  # it listens outside, where a browser is; from in here it is not to be seen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


def test_an_image_that_cannot_be_pulled_leaves_the_node_ready(kubectl: Kubectl) -> None:
    broken = pod("broken", "id")
    broken["spec"]["containers"][0] |= {
        "image": "localhost/nosuch:1",
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}},
    }
    kubectl.apply(broken)
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    kubectl.wait(f"{reason}=ImagePullBackOff", "pod/broken")
    kubectl.wait(f"{reason}=ErrImagePull", "pod/broken")  # tried again: the sandbox is there, the container is not
    assert kubectl.json("get", "node", "node1")["status"]["conditions"][-1]["status"] == "True"
    kubectl.apply(pod("after", "id"))
    kubectl.wait("jsonpath={.status.phase}=Succeeded", "pod/after")


def test_exec_and_logs_reach_a_running_pod(kubectl: Kubectl) -> None:
    word = secrets.token_hex(8)
    kubectl.apply(pod("talks", "sh", "-c", f"echo {word}; sleep 60"))
    kubectl.wait("condition=Ready", "pod/talks")
    assert kubectl("logs", "talks").strip() == word
    assert kubectl("exec", "talks", "--", "id", "-u").strip() == "65532"
