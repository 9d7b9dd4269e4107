"""What builds images: docker, or buildah and debootstrap where no docker engine answers."""

import configparser
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cluster.terminal import step

BUILD_SECONDS = 3600
SAVE_SECONDS = 1200
SUITE = "bookworm"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
LEFT_OUT = ("etc/resolv.conf", "etc/hostname", "var/cache/apt", "var/lib/apt/lists", "var/log")
"""Of debootstrap's tree: this machine's own, and what only fills space."""
PIP_SETTINGS = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries", "cert")
CA_IN_BUILD = "/run/secrets/ca.pem"


class BuildError(Exception):
    """A build that failed, with what to look at."""


class Engine(Protocol):
    """Builds and exports images; the arguments `name` are references with a tag."""

    def default_base(self) -> str | None:
        """The base image if the caller names none; None: the Dockerfile's own. May build it."""

    def has(self, name: str) -> bool:
        """Whether the image exists."""

    def build(self, dockerfile: str, name: str, base: str | None, context: Path, log: Path) -> None:
        """Build an image. Raises BuildError with the end of the log."""

    def save(self, name: str, archive: Path) -> None:
        """Write an image as an uncompressed archive. Raises BuildError."""

    def remove_others(self, name: str) -> None:
        """Forget the images of the same repository with other tags."""


class Docker:
    """A docker engine."""

    def default_base(self) -> str | None:
        return None

    def has(self, name: str) -> bool:
        return _succeeds("docker", "image", "inspect", name)

    def build(self, dockerfile: str, name: str, base: str | None, context: Path, log: Path) -> None:
        with build_secrets() as secrets:
            line = ["docker", "build", "--file", dockerfile, "--tag", name, *secrets]
            line += ["--build-arg", f"BASE={base}"] if base else []
            _run([*line, "."], log=log, cwd=context, env={"DOCKER_BUILDKIT": "1"}, timeout=BUILD_SECONDS)

    def save(self, name: str, archive: Path) -> None:
        _run(["docker", "save", "--output", str(archive), name], timeout=SAVE_SECONDS)

    def remove_others(self, name: str) -> None:
        repository = name.rsplit(":", 1)[0]
        listed = _run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository])
        for other in set(listed.split()) - {name}:
            _run(["docker", "image", "rm", other])


class Buildah:
    """buildah, with its storage in `folder`: layers are kept from one build to the next."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0 or not shutil.which("buildah") or not shutil.which("debootstrap"):
            raise BuildError(
                "no docker engine answers, and without one images are built by buildah and debootstrap, as root: "
                "start docker, or as root: apt-get install -y buildah debootstrap"
            )
        self._folder = folder
        self._buildah = ["buildah", "--root", str(folder / "storage"), "--runroot", "/run/bluetune-images"]
        self._buildah += ["--storage-driver", "overlay"]

    def default_base(self) -> str | None:
        made_of = f"{SUITE} {BASE_PACKAGES} {LEFT_OUT}"
        name = f"localhost/bluetune-base:{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
        if not self.has(name):
            with step(f"making the base image {name} with debootstrap"):
                self._bootstrap(name)
        return name

    def has(self, name: str) -> bool:
        return _succeeds(*self._buildah, "inspect", "--type", "image", name)

    def build(self, dockerfile: str, name: str, base: str | None, context: Path, log: Path) -> None:
        self._sweep()
        # chroot isolation and lowered limits: works where namespaces are few and limits cannot be raised
        line = [*self._buildah, "build", "--layers", "--isolation", "chroot"]
        line += ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--file", dockerfile, "--tag", name]
        line += ["--build-arg", f"BASE={base}"] if base else []
        with build_secrets() as secrets:
            _run([*line, *secrets, "."], log=log, cwd=context, timeout=BUILD_SECONDS)

    def save(self, name: str, archive: Path) -> None:
        archive.unlink(missing_ok=True)
        _run([*self._buildah, "push", "--quiet", name, f"docker-archive:{archive}:{name}"], timeout=SAVE_SECONDS)

    def remove_others(self, name: str) -> None:
        repository = name.rsplit(":", 1)[0]
        listed = _run([*self._buildah, "images", "--format", "{{.Name}}:{{.Tag}}"])
        for other in set(listed.split()) - {name}:
            if other.rsplit(":", 1)[0] == repository:
                # by its tag alone: the layers stay, and the next build finds them
                _run([*self._buildah, "rmi", other])

    def _sweep(self) -> None:
        """Remove what a killed build left behind."""
        _run([*self._buildah, "rm", "--all"])
        for left in self._folder.glob("rootfs-*"):
            shutil.rmtree(left)

    def _bootstrap(self, name: str) -> None:
        self._sweep()
        log = self._folder / "base.log"
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="rootfs-") as temporary:
            root = Path(temporary) / "root"
            line = ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(root)]
            _run(line, log=log, timeout=BUILD_SECONDS)
            for left_out in (root / path for path in LEFT_OUT):
                for path in left_out.iterdir() if left_out.is_dir() else [left_out]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            dockerfile = Path(temporary) / "Dockerfile"
            dockerfile.write_text('FROM scratch\nCOPY . /\nCMD ["python3"]\n')
            line = [*self._buildah, "build", "--file", str(dockerfile), "--tag", name, str(root)]
            _run(line, log=log, timeout=BUILD_SECONDS)


def docker_answers() -> bool:
    """Whether there is a docker engine to talk to."""
    try:
        return bool(shutil.which("docker")) and _succeeds("docker", "info")
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def build_secrets() -> Iterator[list[str]]:
    """Options that show this machine's pip settings and certificate authorities to a build, and not to the image."""
    settings = pip_settings()
    authorities = settings.pop("cert", None) or os.environ.get("SSL_CERT_FILE")
    with tempfile.TemporaryDirectory() as folder:
        options = []
        if authorities and Path(authorities).is_file():
            settings["cert"] = CA_IN_BUILD
            options += ["--secret", f"id=ca.pem,src={authorities}"]
        if settings:
            lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
            configuration = Path(folder) / "pip.conf"
            configuration.write_text("\n".join([*lines, ""]))
            options += ["--secret", f"id=pip.conf,src={configuration}"]
        yield options


def pip_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """How pip gets at packages on this machine: its configuration files, weakest first, then PIP_* variables."""
    environment = os.environ if environment is None else environment
    home = Path(environment.get("HOME", "/root"))
    places = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if chosen := environment.get("PIP_CONFIG_FILE"):
        places.append(Path(chosen))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(places, encoding="utf-8")
    found = dict(parser["global"]) if parser.has_section("global") else {}
    found |= {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_")
    }
    # a value of several lines, as extra-index-url may have, stays one value
    return {name: found[name].replace("\n", "\n  ") for name in PIP_SETTINGS if found.get(name)}


def _succeeds(*line: str) -> bool:
    return subprocess.run(line, capture_output=True, check=False, timeout=60).returncode == 0


def _run(
    line: list[str],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> str:
    """Run a command; return its output, or write it to `log`. Raises BuildError with the end of what it wrote."""
    with log.open("w+") if log else tempfile.TemporaryFile("w+") as output:
        try:
            code = subprocess.run(
                line,
                cwd=cwd,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        output.seek(0)
        text = output.read()
    if code != 0:
        how = f"did not end within {timeout:.0f} s" if code is None else f"failed with exit code {code}"
        where = f" (all of it: {log})" if log else ""
        tail = "\n".join(text.splitlines()[-20:])
        raise BuildError(f"{' '.join(line[:2])} … {line[-1]} {how}{where}:\n{tail}")
    return text
