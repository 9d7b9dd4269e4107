"""The container images of operator and trainer, built when something they are made of has changed.

    python scripts/images.py build              build them; print their references
    python scripts/images.py load               build them and import them into the local cluster
    python scripts/images.py export DIR         build them and write them as archives, for another cluster

An image's tag is the hash of its inputs: what has been built or imported is never built or imported again. Docker does
it where its engine answers; else buildah, as root, on a base image that debootstrap makes, so that no container
registry is needed. --base (or BLUETUNE_BASE_IMAGE) names another base.
"""

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / "tests"), str(Path(__file__).resolve().parent)]

from image_engines import Buildah, BuildError, Docker, Engine, docker_answers  # noqa: E402 beside this file
from image_inputs import IMAGES, Image, reference  # noqa: E402

from cluster.errors import ClusterError  # noqa: E402 from tests/, which is not installed
from cluster.images import ctr  # noqa: E402
from cluster.lifecycle import Cluster  # noqa: E402
from cluster.paths import cache  # noqa: E402
from cluster.terminal import say, step  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder / "lock"):
            engine: Engine = Docker() if docker_answers() else Buildah(folder)
            built = build(engine, folder, options.base)
            if options.command == "load":
                load(engine, folder, built)
            elif options.command == "export":
                export(engine, options.folder, built)
    except (BuildError, ClusterError, subprocess.CalledProcessError) as error:
        say(f"images: {error}")
        return 1
    print("\n".join(built.values()))
    return 0


def build(engine: Engine, folder: Path, base: str | None) -> dict[Image, str]:
    """Build what is not there yet; return each image's reference."""
    base = base or engine.default_base()
    built: dict[Image, str] = {}
    for image in IMAGES:
        name = built[image] = reference(image, CHECKOUT, base or "")
        if engine.has(name):
            say(f"  ✓ {name} is there, built from the same files")
            continue
        with step(f"building {name} (log: {folder / image.name}.log)"):
            engine.build(image.dockerfile, name, base, CHECKOUT, folder / f"{image.name}.log")
        engine.remove_others(name)
    return built


def load(engine: Engine, folder: Path, built: dict[Image, str]) -> None:
    """Import images into the local cluster, which must run, unless they are there; remove older ones of ours."""
    cluster = Cluster()
    for image, name in built.items():
        there = _images(cluster, "list", "--quiet").split()
        if name in there:
            say(f"  ✓ {name} is in the cluster")
            continue
        archive = folder / f"{image.name}.tar"
        try:
            with step(f"exporting {name}"):
                engine.save(name, archive)
            with step(f"importing {name} ({archive.stat().st_size / 1e9:.2f} GB) into the cluster"):
                cluster.load(archive)
        finally:
            archive.unlink(missing_ok=True)
        if older := [other for other in there if other.startswith(f"localhost/{image.name}:")]:
            _images(cluster, "remove", *older)


def _images(cluster: Cluster, *arguments: str) -> str:
    return cluster.run(*ctr(cluster.state), "images", *arguments)


def export(engine: Engine, folder: Path, built: dict[Image, str]) -> None:
    """Write each image to `folder`/NAME.tar, uncompressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in built.items():
        with step(f"exporting {name} to {folder / image.name}.tar"):
            engine.save(name, folder / f"{image.name}.tar")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One build at a time on this machine."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another build of images"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="images", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--base", default=os.environ.get("BLUETUNE_BASE_IMAGE"), help="base image (BLUETUNE_BASE_IMAGE)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build the images")
    commands.add_parser("load", help="build them and import them into the local cluster")
    command = commands.add_parser("export", help="build them and write archives")
    command.add_argument("folder", type=Path, metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
