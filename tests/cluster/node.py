"""The node: process 1 of the cluster's namespaces. It sets the network up, starts every program, and reaps.

Ending this process ends all of the cluster: the kernel kills a PID namespace with its first process, and mounts and
addresses go with the namespaces.
"""

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from . import configs, images, runtime, s3
from .errors import ClusterError
from .paths import API_SERVER, NODE, NODE_IP, POD_GATEWAY, State, binaries, host_dirs

PRIVATE_FOLDERS = (
    "/run/netns",
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
)
"""Fixed folders that the node's programs write to, whatever their settings: hidden, so that nothing is left there."""

GPU = "nvidia.com/gpu"
BRIDGE_MAC = "02:00:0a:f4:00:01"


MAX_RESTARTS = 5
"""Of the kubelet, which service managers start again on other nodes. One that ends each time is broken."""


class Node:
    """What runs in the node, by name."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts = 0

    def start(self, name: str, *arguments: str, program: str | None = None, **environment: str) -> None:
        """Start a program with its output in logs/NAME.log."""
        with (self.state.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [program or str(binaries() / name), *arguments],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until `condition` holds. Raises ClusterError when time is up or a program has ended."""
        deadline, error = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except (OSError, KeyError, ValueError) as problem:  # not there yet: refused, 404, not ready
                error = problem
            for name, process in self.running.items():
                if process.poll() is not None:
                    tail = "\n".join((self.state.logs / f"{name}.log").read_text(errors="replace").splitlines()[-10:])
                    raise ClusterError(f"{name} ended with exit code {process.returncode}:\n{tail}")
            time.sleep(0.05)
        raise ClusterError(f"{what} did not come up in {seconds:.0f} s ({error}); see {self.state.logs}")

    def start_kubelet(self) -> None:
        """Start it, or start it again."""
        self.start(
            "kubelet",
            f"--config={self.state.root}/kubelet.yaml",
            f"--kubeconfig={self.state.pki}/node.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
            f"--root-dir={self.state.root}/kubelet",
            f"--cert-dir={self.state.root}/kubelet/pki",
        )

    def reap(self) -> None:
        """Wait for children, orphans of pods among them, write down which program ended, and start the kubelet again.

        It never returns.
        """
        while True:
            names = {process.pid: name for name, process in self.running.items()}
            try:
                pid, status = os.wait()
            except ChildProcessError:
                time.sleep(1)
                continue
            if pid in names:
                with (self.state.root / "ended").open("a") as file:
                    file.write(f"{names[pid]} {os.waitstatus_to_exitcode(status)}\n")
                if names[pid] == "kubelet" and self.restarts < MAX_RESTARTS:
                    self.restarts += 1
                    time.sleep(1)
                    self.start_kubelet()


def main(state: State) -> None:
    """Bring the node up, touch `state.ready`, and stay."""
    node = Node(state)
    state.logs.mkdir(exist_ok=True)
    configs.write(state)
    _write_runtime(state)
    _isolate()
    node.start("etcd", *configs.etcd(state))
    for_runtime = {"TESTBED_HOST_DIRS": ":".join(map(str, host_dirs())), "TESTBED_CGROUP": state.cgroup}
    config = f"{state.root}/containerd.toml"
    node.start("containerd", "-c", config, program="/usr/bin/containerd", **for_runtime)
    node.start("kube-apiserver", *configs.api_server(state))
    server = s3.servers(state)["minio"]
    node.running["minio"] = s3.start(server, state.root / "s3" / "minio", state.logs / "minio.log")
    node.wait_for(state.containerd_socket.exists, "containerd", 20)
    node.wait_for(lambda: _ctr_answers(state), "containerd", 20)
    _remove_old_containers(state)
    images.import_own(state, binaries() / "pause")
    node.wait_for(lambda: api(state, "/readyz") == "ok", "the API server", 60)
    node.start("kube-controller-manager", *configs.controllers(state))
    node.start("kube-scheduler", *configs.scheduler(state))
    node.start_kubelet()
    node.start("kube-proxy", f"--config={state.root}/proxy.yaml")
    node.start("coredns", "-conf", f"{state.root}/Corefile")
    node.wait_for(lambda: _node_ready(state), "the node", 60)
    _add_gpu(state)
    node.wait_for(lambda: _allocatable(state).get(GPU) == "1", "the simulated GPU", 30)
    state.ready.touch()
    node.reap()


def api(state: State, path: str, *, method: str = "GET", body: bytes | None = None, content_type: str = "") -> str:
    """One request to the API server as administrator; raises OSError (urllib's errors are) if it fails."""
    context = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
    context.load_cert_chain(state.pki / "admin.crt", state.pki / "admin.key")
    headers = {"Content-Type": content_type} if content_type else {}
    request = urllib.request.Request(f"{API_SERVER}{path}", data=body, headers=headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request, context=context, timeout=5) as response:  # noqa: S310 https, see above
        answer: bytes = response.read()
    return answer.decode()


def _isolate() -> None:
    """Private mounts and network. What pods mount must be seen by the kubelet: hence shared within the namespace."""
    _run("mount", "--make-rshared", "/")
    for folder in PRIVATE_FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", folder)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "addr", "add", f"{NODE_IP}/32", "dev", "lo")
    # of its own, or it takes the lowest one of its ports: it changes as pods come and go, and they talk to the old one
    _run("ip", "link", "add", "cni0", "address", BRIDGE_MAC, "type", "bridge")
    _run("ip", "addr", "add", POD_GATEWAY, "dev", "cni0")
    _run("ip", "link", "set", "cni0", "up")
    _run("ip", "route", "add", "default", "dev", "cni0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _write_runtime(state: State) -> None:
    """runtime.py as a program, for an interpreter that starts fast: no site packages, no pyenv."""
    program = state.root / "runtime"
    program.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{Path(runtime.__file__).read_text()}")
    program.chmod(0o755)


def _ctr_answers(state: State) -> bool:
    return subprocess.run([*images.ctr(state), "version"], capture_output=True, check=False, timeout=10).returncode == 0


def _remove_old_containers(state: State) -> None:
    """Records of a cluster that was killed: the store is the same, the containers are gone. Its images stay."""
    listed = subprocess.run(
        [*images.ctr(state), "containers", "ls", "-q"], capture_output=True, text=True, check=True, timeout=30
    )
    for container in listed.stdout.split():
        _run(*images.ctr(state), "containers", "rm", container)


def _node_ready(state: State) -> bool:
    status = json.loads(api(state, f"/api/v1/nodes/{NODE}"))["status"]
    accounts = json.loads(api(state, "/api/v1/namespaces/default/serviceaccounts"))["items"]
    return bool(accounts) and any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def _add_gpu(state: State) -> None:
    """One GPU that is none: the scheduler hands it out like a real one, so Jobs ask and queue for it."""
    patch = [{"op": "add", "path": f"/status/capacity/{GPU.replace('/', '~1')}", "value": "1"}]
    api(
        state,
        f"/api/v1/nodes/{NODE}/status",
        method="PATCH",
        body=json.dumps(patch).encode(),
        content_type="application/json-patch+json",
    )


def _allocatable(state: State) -> dict[str, str]:
    found: dict[str, str] = json.loads(api(state, f"/api/v1/nodes/{NODE}"))["status"]["allocatable"]
    return found


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
