"""What the images are made of, and the name that follows from it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("cli/bluetune", "crds/bluetune_api", "operator/bluetune_operator", "trainer_image/bluetune_trainer")
SHARED = (".dockerignore", "LICENSE", "README.md", "pyproject.toml", "locks/build.txt")


@dataclass(frozen=True)
class Image:
    """An image of this project."""

    name: str
    dockerfile: str
    lock: str


IMAGES = (
    Image("bluetune-operator", "operator/Dockerfile", "locks/operator.txt"),
    Image("bluetune-trainer", "trainer_image/Dockerfile", "locks/trainer.txt"),
)


def inputs(image: Image, checkout: Path) -> Iterator[Path]:
    """The files that the image depends on, in a fixed order."""
    yield from (checkout / name for name in (*SHARED, image.dockerfile, image.lock))
    for package in PACKAGES:
        found = (checkout / package).rglob("*")
        yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def reference(image: Image, checkout: Path, base: str) -> str:
    """The image's name, tagged with a hash of all that it is made of: files, their names, the base image."""
    digest = hashlib.sha256(base.encode())
    for path in inputs(image, checkout):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.relative_to(checkout)} {content}".encode())
    return f"localhost/{image.name}:{digest.hexdigest()[:12]}"
