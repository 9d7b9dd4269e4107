"""Where things lie: the cache that outlives clusters, the state of one cluster, fixed names and addresses."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_STATE = Path("/run/bluetune-testbed")

KUBERNETES = "1.36.4"
NODE = "node1"
NODE_IP = "10.90.0.1"
"""The node's own address, on its loopback device: API server, kubelet, DNS and the S3 servers. Pods reach it."""
API_SERVER = f"https://{NODE_IP}:6443"
POD_NET, POD_GATEWAY = "10.244.0.0/24", "10.244.0.1/24"
SERVICE_NET, API_SERVICE = "10.96.0.0/24", "10.96.0.1"

TESTED_NAMESPACE = "bluetune-tested"
TESTED_OPERATOR = f"system:serviceaccount:{TESTED_NAMESPACE}:bluetune"
"""Who an operator that tests start as a process is to the API server: what the chart's roles give rights to."""

MARKER = "BLUETUNE_CLUSTER"
"""Every process of a cluster, and every one that entered it, has its state folder under this name in its environment:
what `down` has to end can always be found, whoever died in between."""


def cache() -> Path:
    """The folder for what is built or downloaded once: BLUETUNE_CACHE, by default ~/.cache/bluetune."""
    return Path(os.environ.get("BLUETUNE_CACHE") or Path.home() / ".cache" / "bluetune").expanduser().resolve()


def binaries() -> Path:
    """The folder of the programs that `programs.build` makes."""
    return cache() / "testbed" / "bin"


def host_dirs() -> list[Path]:
    """What pods of the host image see of this machine beside /usr and /opt: checkout, environment, cache.

    A folder inside another one of the list is left out.
    """
    wanted = {CHECKOUT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), cache()}
    covered = [Path("/usr"), Path("/opt")]
    for folder in sorted(wanted, key=lambda path: len(path.parts)):
        if not any(folder.is_relative_to(other) for other in covered):
            covered.append(folder)
    return covered[2:]


@dataclass(frozen=True)
class State:
    """The folder of one cluster and the names in it."""

    root: Path = DEFAULT_STATE

    @staticmethod
    def chosen(folder: str | Path | None = None) -> "State":
        """The state named by the caller, by BLUETUNE_CLUSTER_STATE, or the default, in this order."""
        return State(Path(folder or os.environ.get("BLUETUNE_CLUSTER_STATE") or DEFAULT_STATE).resolve())

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.pki / "admin.kubeconfig"

    @property
    def audit(self) -> Path:
        """The API server's audit log, in files."""
        return self.root / "audit"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ready(self) -> Path:
        """Exists once the node is Ready and everything that `up` promises is there."""
        return self.root / "ready"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def images(self) -> Path:
        """containerd's store. The default cluster's outlives it, so that images are imported once."""
        name = "containerd" if self.root == DEFAULT_STATE else f"containerd-{self.digest}"
        return cache() / "testbed" / name

    @property
    def cgroup(self) -> str:
        """The control group that holds the groups of all pods."""
        return f"bluetune-{self.digest}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]
