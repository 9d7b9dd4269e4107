"""Bringing a cluster up and down, and getting into it."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import images, pki, preflight, processes, programs, s3
from .errors import ClusterError
from .namespaces import network_of
from .paths import CHECKOUT, KUBERNETES, MARKER, State, binaries
from .terminal import step

UP_SECONDS = 180
PACKAGE = Path(__file__).resolve().parent


class Cluster:
    """One cluster, named by its state folder, whether it runs or not."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State.chosen()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; its address is only reachable inside the cluster's network."""
        return self.state.kubeconfig

    def is_up(self) -> bool:
        """Whether the cluster runs and has been Ready."""
        return self.state.ready.exists() and processes.node(self.state) is not None

    def node_pid(self) -> int:
        """The number here of the cluster's first process. Raises ClusterError if there is none."""
        pid = processes.node(self.state)
        if pid is None:
            raise ClusterError(f"no cluster runs at {self.state.root}; start one: make up")
        return pid

    def environment(self) -> dict[str, str]:
        """What a process in the cluster's network needs on top of its own environment."""
        folders = [str(binaries()), str(Path(sys.prefix) / "bin"), os.environ.get("PATH", os.defpath)]
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": ":".join(folders), MARKER: str(self.state.root)}

    def up(self) -> bool:
        """Start the cluster unless it runs; return whether this call started it.

        Raises ClusterError if this machine cannot run it, if it does not come up, or if the running one serves another
        checkout (its pods would run that one's code).
        """
        preflight.check()
        programs.build()
        lock = self.state.images.parent / f"{self.state.digest}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if self.is_up():
                self._same_checkout()
                return False
            self._remove()
            with step(f"starting Kubernetes {KUBERNETES}, containerd, MinIO"):
                self._start()
        return True

    def down(self) -> None:
        """End every process of the cluster and remove its state; nothing happens if there is none.

        Raises ClusterError if something could not be ended or removed.
        """
        self._remove()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in the cluster's network for the time of a `with`, with kubectl and the kubeconfig at hand.

        It moves the calling thread; threads and processes started meanwhile are there too.
        """
        inside = self.environment()
        before = {name: os.environ.get(name) for name in inside}
        with network_of(self.node_pid()):
            os.environ.update(inside)
            try:
                yield
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value

    def command(self, line: Sequence[str]) -> list[str]:
        """The command line that runs `line` in the cluster's network."""
        return ["nsenter", f"--net=/proc/{self.node_pid()}/ns/net", "--", *line]

    def run(self, *line: str, timeout: float = 60, stdin: str | None = None) -> str:
        """Run a command in the cluster's network from anywhere and return its output; raises CalledProcessError."""
        return subprocess.run(
            self.command(line),
            env=os.environ | self.environment(),
            input=stdin,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=timeout,
        ).stdout

    def load(self, archive: Path) -> None:
        """Import a container image archive (docker-archive or oci-archive) for pods to run."""
        if not archive.exists():
            raise ClusterError(f"{archive} does not exist")
        images.import_archive(self.state, archive, "nsenter", "-t", str(self.node_pid()), "--mount", "--net", "--")

    def s3(self, kind: s3.Kind = "minio") -> s3.Server:
        """Address and keys of an S3 server in the cluster's network; SeaweedFS is started when first asked for."""
        server = s3.servers(self.state)[kind]
        if kind == "seaweedfs":
            with (self.state.root / "seaweedfs.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                with self.entered():
                    if not s3.listening(server):
                        s3.start(server, self.state.root / "s3" / kind, self.state.logs / f"{kind}.log")
        return server

    def _start(self) -> None:
        pki.write_certificates(self.state.pki)
        s3.write_servers(self.state)
        (self.state.root / "checkout").write_text(str(CHECKOUT))
        spaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
        log = self.state.root / "node.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["unshare", *spaces, sys.executable, str(PACKAGE), processes.NODE_COMMAND, str(self.state.root)],
                env=_clean(os.environ) | self.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_SECONDS
        while not self.state.ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                processes.end_all(self.state)
                raise ClusterError(f"the cluster did not come up:\n{log.read_text()}(logs are in {self.state.logs})")
            time.sleep(0.05)

    def _same_checkout(self) -> None:
        other = (self.state.root / "checkout").read_text()
        if other != str(CHECKOUT):
            raise ClusterError(
                f"the cluster at {self.state.root} runs the code in {other}, not in {CHECKOUT}: make down first, "
                "or set BLUETUNE_CLUSTER_STATE to another folder"
            )

    def _remove(self) -> None:
        if left := processes.end_all(self.state):
            raise ClusterError(f"these processes do not end: {', '.join(map(str, left))}")
        _remove_cgroups(self.state.cgroup)
        _remove_tree(self.state.root)
        if self.state.images.name != State().images.name:
            _remove_tree(self.state.images)


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what must not reach the node: the caller's clusters and S3 keys."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "MINIO_", "KUBE"))}


def _remove_cgroups(name: str) -> None:
    """Remove the pods' control groups, in every hierarchy (cgroup v1) or the only one (v2)."""
    top = Path("/sys/fs/cgroup")
    for group in [*top.glob(f"*/{name}"), *top.glob(name)]:
        for folder, _, _ in os.walk(group, topdown=False):
            _retry(partial(os.rmdir, folder), f"the control group {folder}")


def _remove_tree(folder: Path) -> None:
    """Remove a folder; mounts of a cluster that just ended may still be on their way out."""

    def remove() -> None:
        if folder.exists():
            shutil.rmtree(folder)

    _retry(remove, str(folder))


def _retry(action: Callable[[], None], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except FileNotFoundError:
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} cannot be removed: {error}") from error
            time.sleep(0.1)
