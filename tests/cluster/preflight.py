"""Whether this machine can run the cluster, in one line if it cannot."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import ClusterError
from .paths import CHECKOUT, host_dirs

INSTEAD = "Or use a cluster that you have: make demo KUBE_CONTEXT=NAME"

NEEDED = {
    "/usr/bin/containerd": "containerd",
    "/usr/bin/ctr": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""What the node calls, and the Debian package that has it."""

BY_TESTS = {"curl": "curl", "jq": "jq"}
"""What fast tests call besides, as readers of the documentation do."""

BY_LANES = {
    "chromium-headless-shell": "chromium-headless-shell",  # opens the page of `bluetune ui`
    "java": "openjdk-17-jre-headless",  # runs the OpenSearch of tests/search_engine
    "mvn": "maven",  # fetches that OpenSearch
}
"""What slow tests and lanes call besides: 300 MB, which neither `make check` nor `make demo` needs."""


def missing_packages(needed: Mapping[str, str] = NEEDED) -> list[str]:
    """The Debian packages that are not installed, sorted."""
    return sorted(
        {
            package
            for program, package in needed.items()
            if not (Path(program).exists() if program.startswith("/") else shutil.which(program))
        }
    )


def check() -> None:
    """Raise ClusterError with what is missing and how to do without."""
    if sys.platform != "linux":
        raise ClusterError(f"the local cluster needs Linux; this is {sys.platform}. {INSTEAD}")
    if os.geteuid() != 0:
        raise ClusterError(f"the local cluster needs root (it makes network and mount namespaces). {INSTEAD}")
    if packages := missing_packages():
        raise ClusterError(f"missing on this machine: apt-get install -y {' '.join(packages)}. {INSTEAD}")
    probe = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    if probe.returncode:
        raise ClusterError(f"this machine lets nobody make namespaces ({probe.stderr.strip()}). {INSTEAD}")
    if unreadable := unreadable_paths():
        raise ClusterError(
            f"{unreadable[0]} is not readable by everyone, so pods, which do not run as root, cannot use the working "
            f"tree: chmod -R a+rX {' '.join(map(str, host_dirs()))}"
        )


def unreadable_paths() -> list[Path]:
    """A sample of what pods read of the working tree and its environment that others than the owner cannot read."""
    sample = [*host_dirs()[:1], CHECKOUT, Path(sys.prefix), Path(sys.executable).parent]
    packages = [*CHECKOUT.glob("*/bluetune_*"), CHECKOUT / "examples"]
    sample += [*packages, *(package.parent for package in packages)]
    sample += [file for package in packages for file in package.glob("**/*.py")]
    sample += Path(sys.prefix).glob("lib/python3*/site-packages")
    sample += Path(sys.prefix).glob("lib/python3*/site-packages/*.pth")

    def readable(path: Path) -> bool:
        mode = path.stat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        return mode & wanted == wanted

    return [path for path in sample if path.exists() and not readable(path)]
