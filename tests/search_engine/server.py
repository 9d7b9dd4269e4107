"""OpenSearch with its k-NN plugin, put together from Maven's artifacts once, and started for a test session.

`artifacts.txt` names every file with its sha256. They come by `mvn`, as that is set up on this machine, and lie
afterwards in the cache as a folder that OpenSearch starts from. Beside it lies what it was made by: another list makes
it again.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.paths import cache

LIST = Path(__file__).with_name("artifacts.txt")
VERSION = "2.19.1"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
FETCH_SECONDS, START_SECONDS = 600, 300
NOBODY = 65534
"""OpenSearch refuses to run as root."""
MODULES = {
    "lang-painless": "org.opensearch.painless.PainlessPlugin",  # what k-NN extends
    "transport-netty4": "org.opensearch.transport.Netty4Plugin",
}
"""Modules, which Maven has as jars alone, and their classes."""
DESCRIPTOR = """description={name}
name={name}
classname={class_name}
version={version}
opensearch.version={version}
java.version=11
extended.plugins=
has.native.controller=false
"""
SETTINGS = """cluster.name: tests
discovery.type: single-node
network.host: 127.0.0.1
http.port: 0
transport.port: 0
node.portsfile: true
cluster.routing.allocation.disk.threshold_enabled: false
"""
LOGGING = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p [%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class Artifact:
    """A file of Maven's."""

    sha256: str
    group: str
    name: str
    version: str
    kind: str
    folder: str

    @property
    def file(self) -> str:
        """What it is called."""
        return f"{self.name}-{self.version}.{self.kind}"

    def dependency(self) -> str:
        """As an entry of a pom, alone."""
        every = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
        return (
            f"<dependency><groupId>{self.group}</groupId><artifactId>{self.name}</artifactId>"
            f"<version>{self.version}</version><type>{self.kind}</type>{every}</dependency>"
        )


def artifacts() -> list[Artifact]:
    """The list."""
    found = list[Artifact]()
    for line in LIST.read_text().splitlines():
        if not line.startswith("#"):
            sha256, coordinates, folder = line.split()
            group, name, version, kind = coordinates.split(":")
            found.append(Artifact(sha256, group, name, version, kind, folder))
    return found


def built() -> Path:
    """The folder of OpenSearch, which nobody writes into; it is made unless it is there.

    Raises ClusterError if Maven or Java is missing, or a file is not the one of the list.
    """
    recipe = hashlib.sha256(LIST.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    home = cache() / "testbed" / f"opensearch-{VERSION}-{recipe}"
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / ".opensearch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(prefix=".opensearch-", dir=home.parent) as folder:
                new = Path(folder) / "home"
                _put_together(Path(folder) / "files", new)
                new.rename(home)
    return home


def _put_together(files: Path, home: Path) -> None:
    for program, package in (("mvn", "maven"), ("java", "openjdk-17-jre-headless")):
        if shutil.which(program) is None:
            raise ClusterError(
                f"{program} is missing: apt-get install -y {package}, or scripts/setup.sh --programs --lanes"
            )
    wanted = artifacts()
    _fetch(wanted, files)
    for one in wanted:
        with (files / one.file).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != one.sha256:
            raise ClusterError(f"{one.file} has the sha256 {found}, {LIST.name} says {one.sha256}")
        target = home / one.folder
        target.mkdir(parents=True, exist_ok=True)
        if one.kind == "zip":
            with zipfile.ZipFile(files / one.file) as archive:
                archive.extractall(target)
        else:
            shutil.copyfile(files / one.file, target / one.file)
    for name, class_name in MODULES.items():
        module = home / "modules" / name
        text = DESCRIPTOR.format(name=name, class_name=class_name, version=VERSION)
        (module / "plugin-descriptor.properties").write_text(text)
        (module / "plugin-security.policy").write_text("grant { permission java.security.AllPermission; };\n")
    (home / "config").mkdir()
    (home / "config" / "opensearch.yml").write_text(SETTINGS)
    (home / "config" / "log4j2.properties").write_text(LOGGING)


def _fetch(wanted: list[Artifact], files: Path) -> None:
    files.mkdir()
    pom = files / "pom.xml"
    entries = "".join(one.dependency() for one in wanted)
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion>"
        "<groupId>bluetune</groupId><artifactId>opensearch</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{entries}</dependencies></project>"
    )
    result = subprocess.run(
        ["mvn", "--batch-mode", "--quiet", "--file", pom, COPY, f"-DoutputDirectory={files}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS,
        check=False,
    )
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-15:])
        raise ClusterError(f"the files of OpenSearch cannot be fetched (mvn's exit code {result.returncode}):\n{tail}")


@contextmanager
def running() -> Iterator[str]:
    """The address of an OpenSearch of its own, with a heap of 512 MB; it ends with the block, or with this process."""
    with tempfile.TemporaryDirectory(prefix="bluetune-opensearch-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(built(), home)
        (home / "tmp").mkdir()
        as_nobody = list[str]()
        if os.geteuid() == 0:
            as_nobody = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
            Path(folder).chmod(0o755)
            for path in (home, *home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen(
                ["setpriv", *as_nobody, "--pdeathsig", "KILL", *_java(home)],
                cwd=home,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _address(process, home, Path(folder) / "log")
        finally:
            process.kill()  # its data goes, too
            process.wait(30)


def _java(home: Path) -> list[str]:
    return [
        "java",
        "-Xms512m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.security.manager=allow",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={home / 'config'}",
        "-Dopensearch.distribution.type=tar",
        "-Dopensearch.bundled_jdk=false",
        "-Dlog4j2.disable.jmx=true",
        "-cp",
        f"{home / 'lib'}/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]


def _address(process: subprocess.Popen[bytes], home: Path, log: Path) -> str:
    ports, deadline = home / "logs" / "http.ports", time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ports.exists() and (lines := ports.read_text().split()):
            return f"http://{lines[0]}"
        time.sleep(0.1)
    tail = "\n".join(log.read_text().splitlines()[-15:])
    raise ClusterError(f"OpenSearch does not start (exit code {process.poll()}):\n{tail}")
