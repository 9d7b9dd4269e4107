"""The programs of the cluster, built from Go modules once and kept in the cache.

Beside each program lies `NAME.built-from`, the recipe it was made by. A program whose recipe is another one, or that is
missing, is built again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .paths import KUBERNETES, binaries
from .preflight import INSTEAD
from .terminal import say, step

GO = Path(__file__).resolve().parent / "go"
GO_MINIMUM = (1, 26)
FLAGS = ("-trimpath", "-buildvcs=false")
BUILD_SECONDS = 1800


@dataclass(frozen=True)
class Program:
    """One program: a package of go/go.mod, or, with a version, a module of its own."""

    name: str
    package: str
    version: str | None = None
    stamped: bool = False
    """Whether the Kubernetes version is linked in (charts' kubeVersion checks read it from the API server)."""

    @property
    def ldflags(self) -> str:
        if not self.stamped:
            return "-s -w"
        values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        return " ".join(["-s -w", *(f"-X {p}.{name}={value}" for p in packages for name, value in values.items())])

    def recipe(self) -> str:
        """What the program is made from, as one line: equal lines mean an equal program."""
        source = self.version or sources_digest(self.package)
        return f"{self.package} {source} {' '.join(FLAGS)} {self.ldflags if not self.version else ''}".strip() + "\n"

    def command(self, output: Path) -> list[str]:
        """The go command that leaves the program in the folder `output`."""
        if self.version:
            return ["go", "install", *FLAGS, f"{self.package}@{self.version}"]
        return ["go", "build", *FLAGS, "-ldflags", self.ldflags, "-o", str(output / self.name), self.package]


PROGRAMS = (
    *(
        Program(name, f"k8s.io/kubernetes/cmd/{name}", stamped=True)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    ),
    Program("kubelet", "./kubelet", stamped=True),
    Program("etcd", "go.etcd.io/etcd/server/v3"),
    Program("pause", "./pause"),
    Program("coredns", "github.com/coredns/coredns", "v1.14.0"),
    Program("helm", "helm.sh/helm/v4/cmd/helm", "v4.2.4"),
    Program("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"),
)

NEIGHBOURS = (Program("kueue", "sigs.k8s.io/kueue/cmd/kueue", "v0.17.0"),)
"""Controllers of others that some tests put beside the operator: built when those tests want them."""


def sources_digest(package: str) -> str:
    """sha256 over what a package of go/go.mod is built from."""
    digest = hashlib.sha256()
    own = sorted((GO / package).glob("*.go")) if package.startswith("./") else []
    for file in (GO / "go.mod", GO / "go.sum", *own):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def missing(folder: Path, wanted: Sequence[Program] = PROGRAMS) -> list[Program]:
    """Of the programs that are wanted, those that have to be built into `folder`."""

    def marker(program: Program) -> str | None:
        file = folder / f"{program.name}.built-from"
        return file.read_text() if file.exists() and (folder / program.name).exists() else None

    return [program for program in wanted if marker(program) != program.recipe()]


def build(wanted: Sequence[Program] = PROGRAMS) -> Path:
    """Build what is missing and return the folder of the programs. Two builds at a time wait for each other.

    Raises ClusterError if Go is missing or too old, or a program does not build.
    """
    folder = binaries()
    folder.mkdir(parents=True, exist_ok=True)
    if not missing(folder, wanted):
        return folder
    with _only_one(folder / ".lock"):
        todo = missing(folder, wanted)
        if todo:
            check_go()
            what = "1 program" if len(todo) == 1 else f"{len(todo)} programs"
            say(f"Building {what} into {folder}, once (one takes up to 4 minutes on 2 cores, all 11 minutes):")
        for program in todo:
            with step(f"building {program.name}"):
                _build(program, folder)
    return folder


def module_folder(program: Program) -> Path:
    """Where the sources of a program's module are; they are fetched if they are not in Go's cache."""
    assert program.version is not None
    module = program.package.partition("/cmd/")[0]
    found = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{program.version}"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=os.environ | {"GOWORK": "off"},
        timeout=BUILD_SECONDS,
    )
    return Path(json.loads(found.stdout)["Dir"])


def check_go() -> None:
    """Raise ClusterError unless a Go toolchain that can build the programs is on the PATH."""
    wanted = ".".join(map(str, GO_MINIMUM))
    if not shutil.which("go"):
        raise ClusterError(f"Go {wanted} or later is needed to build Kubernetes and is not on the PATH. {INSTEAD}")
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("go").split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < GO_MINIMUM:
        raise ClusterError(f"Go {wanted} or later is needed to build Kubernetes; `go` is {version}. {INSTEAD}")


def _build(program: Program, folder: Path) -> None:
    temporary, log = folder / ".new", folder / f"{program.name}.log"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "" if program.version else "-mod=readonly",
        "GOBIN": str(temporary),
    }
    with log.open("w") as output:
        result = subprocess.run(
            program.command(temporary),
            cwd="/" if program.version else GO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=BUILD_SECONDS,
            check=False,
        )
    if result.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise ClusterError(f"building {program.name} failed (go's exit code {result.returncode}):\n{tail}")
    (temporary / program.name).replace(folder / program.name)
    (folder / f"{program.name}.built-from").write_text(program.recipe())
    log.unlink()


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build is at work; waiting for it.")
            deadline = time.monotonic() + BUILD_SECONDS
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(1)
            else:
                raise ClusterError(f"another build still holds {lock} after {BUILD_SECONDS} s") from None
        yield
